//! What a simulated API answers while recorded requests are played: their recorded answers and nothing else. What forwards send is
//! kept, to be looked at.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use reqwest::Url;

use crate::http_client::recorded::RecordedAnswer;
use crate::steps::forward::ID;

/// What a forward sent to a simulated API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentHere {
    /// The forward's id.
    pub id: String,
    /// `POST`, …
    pub method: String,
    /// As it was meant: at the origin that is simulated.
    pub url: String,
    /// By lower-case name.
    pub headers: Vec<(String, String)>,
    /// As text.
    pub body: String,
}

/// The recorded answers of one origin.
pub(super) struct Staged {
    origin: String,
    answers: Vec<RecordedAnswer>,
    used: BTreeSet<usize>,
    sent: Vec<SentHere>,
}

impl Staged {
    /// Those of the answers that are this origin's.
    pub(super) fn new(origin: &str, answers: &[RecordedAnswer]) -> Self {
        let own = answers.iter().filter(|answer| answer.url.origin().ascii_serialization() == origin).cloned();
        Self { origin: origin.to_owned(), answers: own.collect(), used: BTreeSet::new(), sent: Vec::new() }
    }

    /// What forwards have sent so far, in order.
    pub(super) fn sent(&self) -> Vec<SentHere> {
        self.sent.clone()
    }

    /// The answer to a request for `target`: its path and query. Several to the same request are given in turn, the last one repeats;
    /// what a forward sends needs none.
    pub(super) fn answer(
        &mut self,
        method: &Method,
        target: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: &str,
    ) -> Response<Body> {
        let Ok(url) = Url::parse(&format!("{}{target}", self.origin)) else { return refused("it is no URL") };
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let id = headers.iter().find(|(name, _)| name.as_str() == ID).map(|(_, value)| text(value));
        if let Some(id) = &id {
            self.sent.push(SentHere {
                id: id.clone(),
                method: method.to_string(),
                url: url.to_string(),
                headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                body: body.to_owned(),
            });
        }
        let same: Vec<usize> = (0..self.answers.len()).filter(|index| self.answers[*index].is_for(method, &url)).collect();
        let fitting = || same.iter().copied().filter(|index| self.answers[*index].missing_header(headers).is_none());
        let Some(index) = fitting().find(|index| !self.used.contains(index)).or_else(|| fitting().last()) else {
            let missing = same.first().and_then(|index| self.answers[*index].missing_header(headers));
            return match (missing, id) {
                (Some(name), _) => refused(&format!("its header `{name}` is not what the recorded one requires")),
                (None, None) => refused("none is recorded"),
                (None, Some(_)) => Response::new(Body::empty()),
            };
        };
        self.used.insert(index);
        answered(&self.answers[index])
    }
}

fn answered(answer: &RecordedAnswer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// An answer that is not tried again, nor taken for one that says that something is gone.
fn refused(reason: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("There is no recorded answer to this request: {reason}")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(url: &str, required: &[(&str, &str)], status: u16) -> RecordedAnswer {
        let required_headers = required.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let url = url.parse().expect("a URL");
        RecordedAnswer { method: Method::GET, url, required_headers, status, headers: Vec::new(), body: bytes::Bytes::new() }
    }

    fn header(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    }

    #[test]
    fn only_what_is_recorded_for_the_origin_is_answered() {
        let answers = [
            recorded("https://api.example/a?y=2&x=1", &[], 429),
            recorded("https://api.example/a?x=1&y=2", &[], 200),
            recorded("https://api.example/b", &[("x-key", "k")], 200),
            recorded("https://other.example/c", &[], 200),
        ];
        let mut staged = Staged::new("https://api.example", &answers);
        let mut ask = |target: &str, headers: &[(HeaderName, HeaderValue)]| {
            staged.answer(&Method::GET, target, headers, "").status().as_u16()
        };
        assert_eq!([ask("/a?x=1&y=2", &[]), ask("/a?x=1&y=2", &[]), ask("/a?x=1&y=2", &[])], [429, 200, 200]);
        assert_eq!([ask("/b", &[]), ask("/b", &[header("x-key", "no")]), ask("/b", &[header("x-key", "k")])], [400, 400, 200]);
        assert_eq!(ask("/c", &[]), 400, "of another origin");
    }

    #[test]
    fn what_forwards_send_is_kept() {
        let mut staged = Staged::new("https://api.example", &[]);
        let answer = staged.answer(&Method::POST, "/hook?a=1", &[header(ID, "7")], "x=1");
        assert_eq!(answer.status(), 200);
        let sent = staged.sent();
        assert_eq!(
            (sent[0].id.as_str(), sent[0].url.as_str(), sent[0].body.as_str()),
            ("7", "https://api.example/hook?a=1", "x=1")
        );
    }
}
