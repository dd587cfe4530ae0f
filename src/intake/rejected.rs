//! Rejected requests: they are no deliveries and nothing of them is stored. The last ones of each source stay in memory, masked, for
//! those who set a sender up and wonder why it is refused.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::authenticate::{Arrived, Gate};
use super::rejection::Rejection;
use crate::auth::caller::Refusal;
use crate::clock::Timestamp;
use crate::config::yaml::shorten;
use crate::model::delivery::Request;
use crate::secret::Mask;
use crate::store::api_keys;

/// The most of one source.
const MOST_OF_A_SOURCE: usize = 100;
/// The most bytes of all sources together, as JSON.
const MOST_BYTES: usize = 16 << 20;
/// The longest that a list of headers, a query or a body may be, as JSON.
const LONGEST: usize = 8 << 10;

/// The most keys that are looked for in one part of a request.
const MOST_KEYS: usize = 10;
/// The largest body that is looked at, in bytes.
const LARGEST_BODY: usize = 4 << 10;

/// A request that was refused, with its secrets masked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RejectedRequest {
    /// When; RFC 3339.
    pub at: String,
    /// The sender's address.
    pub peer: Option<String>,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// All values of each query parameter.
    pub query: Json,
    /// All values of each header, by lower-case name with `_`.
    pub headers: Json,
    /// The body, where it was read and is small.
    pub body: Json,
    /// The status of the answer.
    pub status: u16,
    /// What the sender was told.
    pub told: String,
    /// What the sender was not told.
    pub findings: Vec<String>,
}

/// The last ones of each source.
#[derive(Debug, Default)]
pub struct Rejected {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    sources: HashMap<String, Ring>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Ring {
    /// With the bytes that each takes.
    requests: VecDeque<(RejectedRequest, usize)>,
    bytes: usize,
}

impl Rejected {
    /// Keeps a request that was refused; what was found wrong with it goes on with its secrets masked.
    pub(super) async fn note(&self, gate: &Gate, arrived: Arrived<'_>, rejection: Rejection, now: Timestamp) -> Rejection {
        if !rejection.is_the_senders() {
            return rejection;
        }
        let source = arrived.source;
        let small = arrived.request.body.len() <= LARGEST_BODY;
        let body = if small { arrived.request.body.clone() } else { Bytes::new() };
        let request = Request { body, ..arrived.request.clone() };
        let received = source.admission.read_unverified(&request, arrived.params);
        let integration = gate.integration_of(source, &received.document).await.ok().flatten();
        let mut mask = source.mask_for(&received.document, integration.as_deref());
        cover_api_keys(&request, &mut mask);
        let masked: Option<Json> = serde_json::from_str(&source.masked_view(&request, &received, &mask)).ok();
        let mut masked = masked.unwrap_or_default();
        let mut part = |name: &str| masked.get_mut(name).map_or(Json::Null, Json::take);
        let findings: Vec<String> = rejection.findings().iter().map(|finding| mask.text(finding)).collect();
        let kept = RejectedRequest {
            at: now.to_string(),
            peer: request.peer.map(|peer| peer.to_string()),
            method: request.method.clone(),
            path: part("path").as_str().unwrap_or_default().to_owned(),
            query: part("query"),
            headers: part("headers"),
            body: part("body"),
            status: rejection.status().as_u16(),
            told: rejection.told(),
            findings: findings.clone(),
        };
        self.keep(&source.name, kept);
        match rejection {
            Rejection::Unauthorized(refusal) => Rejection::Unauthorized(Refusal { findings, ..refusal }),
            other => other,
        }
    }

    /// Keeps one; the oldest ones make room for it.
    pub(super) fn keep(&self, source: &str, mut request: RejectedRequest) {
        for part in [&mut request.query, &mut request.headers, &mut request.body] {
            if part.to_string().len() > LONGEST {
                *part = Json::String("too long to be kept".to_owned());
            }
        }
        request.path = shorten(&request.path);
        let bytes = serde_json::to_string(&request).map_or(0, |text| text.len());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = kept.sources.entry(source.to_owned()).or_default();
        ring.requests.push_back((request, bytes));
        ring.bytes += bytes;
        let full = ring.requests.len() > MOST_OF_A_SOURCE;
        kept.bytes += bytes;
        if full {
            kept.drop_oldest_of(source);
        }
        while kept.bytes > MOST_BYTES {
            let Some(largest) = kept.largest() else { break };
            kept.drop_oldest_of(&largest);
        }
    }

    /// Those of a source, the newest first.
    pub fn of(&self, source: &str) -> Vec<RejectedRequest> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.sources
            .get(source)
            .into_iter()
            .flat_map(|ring| ring.requests.iter().rev())
            .map(|(request, _)| request.clone())
            .collect()
    }
}

/// Covers keys of ours wherever they stand: a rightful sender may have put one into the wrong place.
fn cover_api_keys(request: &Request, mask: &mut Mask) {
    let headers = request.headers.iter().map(|(_, value)| value.as_ref());
    for text in [request.path.as_bytes(), request.query.as_bytes(), &request.body].into_iter().chain(headers) {
        let text = String::from_utf8_lossy(text);
        for (at, _) in text.match_indices(api_keys::PREFIX).take(MOST_KEYS) {
            let letters = text[at..].chars().take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'));
            mask.cover_value(&letters.collect::<String>());
        }
    }
}

impl Kept {
    fn drop_oldest_of(&mut self, source: &str) {
        let Some(ring) = self.sources.get_mut(source) else { return };
        if let Some((_, bytes)) = ring.requests.pop_front() {
            self.bytes -= bytes;
            ring.bytes -= bytes;
        }
        if ring.requests.is_empty() {
            self.sources.remove(source);
        }
    }

    /// The source that takes the most room.
    fn largest(&self) -> Option<String> {
        self.sources.iter().max_by_key(|(_, ring)| ring.bytes).map(|(source, _)| source.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(number: usize, body: Json) -> RejectedRequest {
        RejectedRequest {
            at: number.to_string(),
            peer: None,
            method: "POST".into(),
            path: "/in/a".into(),
            query: json!({}),
            headers: json!({}),
            body,
            status: 401,
            told: String::new(),
            findings: Vec::new(),
        }
    }

    #[test]
    fn the_last_hundred_of_each_source_are_kept() {
        let rejected = Rejected::default();
        for number in 0..150 {
            rejected.keep("a", request(number, Json::Null));
        }
        rejected.keep("b", request(7, json!("x".repeat(9000))));
        let of_a = rejected.of("a");
        assert_eq!((of_a.len(), of_a[0].at.as_str(), of_a[99].at.as_str()), (100, "149", "50"));
        assert_eq!(rejected.of("b")[0].body, "too long to be kept");
        assert!(rejected.of("c").is_empty());
    }

    #[test]
    fn all_together_take_a_bounded_room() {
        let rejected = Rejected::default();
        for source in 0..25 {
            for number in 0..100 {
                rejected.keep(&source.to_string(), request(number, json!("x".repeat(8000))));
            }
        }
        let kept = rejected.kept.lock().expect("not poisoned");
        let bytes: usize = kept.sources.values().flat_map(|ring| &ring.requests).map(|(_, bytes)| bytes).sum();
        assert!(bytes == kept.bytes && bytes <= MOST_BYTES, "{bytes}");
    }
}
