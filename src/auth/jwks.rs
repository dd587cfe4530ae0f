//! The public keys of an issuer: fetched through the guarded client, kept for a while, fetched again when a token names a key that
//! is not known. What cannot be fetched is nobody's fault but ours: then nobody is refused, but asked to come again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use reqwest::{Method, Url};
use serde_json::Value as Json;

use super::evidence::Evidence;
use super::secret::SecretSource;
use crate::clock::Timestamp;
use crate::http_client::api::Api;
use crate::http_client::call::Call;
use crate::http_client::client::HttpClient;
use crate::secret::Mask;

/// How long fetched keys are used without asking again.
const FRESH: Duration = Duration::from_secs(600);
/// How long they are used while they cannot be fetched.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// The shortest time between two fetches, whatever keys tokens name.
const APART: Duration = Duration::from_secs(10);
/// The largest set of keys that is read, in bytes, and the most keys of it that are tried.
const LARGEST: u64 = 256 << 10;
const MOST_KEYS: usize = 64;

/// Where the keys of a scheme come from.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    /// A shared secret.
    Secret(SecretSource),
    /// A set that stands beside the route file, or one key of it in PEM.
    File(Arc<KnownKeys>),
    /// A set that the issuer publishes.
    Url(Arc<Fetched>),
}

/// Keys that are known.
#[derive(Clone)]
pub(super) enum KnownKeys {
    /// A set of JSON Web Keys.
    Set(JwkSet),
    /// One public key in PEM.
    Pem(AlgorithmFamily, DecodingKey),
}

impl std::fmt::Debug for KnownKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KnownKeys")
    }
}

/// A set at a URL, as it was last fetched.
pub(super) struct Fetched {
    url: Url,
    api: Arc<Api>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    keys: Option<(Arc<JwkSet>, Timestamp)>,
    asked_at: Option<Timestamp>,
    /// How many are being fetched.
    under_way: usize,
}

/// A fetch that is under way, until it is dropped.
struct UnderWay<'f>(&'f Fetched);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
    }
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Fetched({})", self.url)
    }
}

/// Reads a set of JSON Web Keys, or one public key in PEM.
pub(super) fn read(text: &str) -> Result<KnownKeys, String> {
    if text.trim_start().starts_with("-----BEGIN") {
        let pem = text.as_bytes();
        let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (AlgorithmFamily::Rsa, key));
        let ec = || DecodingKey::from_ec_pem(pem).map(|key| (AlgorithmFamily::Ec, key));
        let ed = || DecodingKey::from_ed_pem(pem).map(|key| (AlgorithmFamily::Ed, key));
        let found = rsa.or_else(|_| ec()).or_else(|_| ed());
        return found.map(|(family, key)| KnownKeys::Pem(family, key)).map_err(|_| "it holds no public key in PEM".to_owned());
    }
    let json = serde_json::from_str(text).map_err(|error| format!("it is neither a JSON Web Key Set nor PEM: {error}"))?;
    set_of(json).map(KnownKeys::Set)
}

/// The keys of a set, or one key by itself. Those of a kind that is not known here are left out, as RFC 7517 (section 5) asks: an
/// issuer may have keys for others in its set.
fn set_of(mut json: Json) -> Result<JwkSet, String> {
    let written = match json.get_mut("keys").map(Json::take) {
        Some(Json::Array(keys)) => keys,
        Some(_) => return Err("it is no JSON Web Key Set: `keys` is no list".to_owned()),
        None if json.get("kty").is_some() => vec![json],
        None => return Err("it has no JSON Web Key: neither `keys` nor `kty` is there".to_owned()),
    };
    if written.is_empty() {
        return Err("the set has no keys".to_owned());
    }
    let mut unread = None;
    let read =
        written.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).map_err(|error| unread = Some(error)).ok());
    let keys: Vec<Jwk> = read.collect();
    match unread {
        Some(error) if keys.is_empty() => Err(format!("it has no JSON Web Key of a kind that is known: {error}")),
        _ => Ok(JwkSet { keys }),
    }
}

impl KnownKeys {
    /// The keys that a token with this algorithm and key id may be signed with.
    pub(super) fn matching(&self, algorithm: Algorithm, key_id: Option<&str>) -> Vec<DecodingKey> {
        match self {
            Self::Set(set) => matching(set, algorithm, key_id),
            Self::Pem(family, key) => {
                if *family == algorithm.family() {
                    vec![key.clone()]
                } else {
                    Vec::new()
                }
            }
        }
    }
}

/// What an issuer's key says of itself must fit: its kind, its use and its algorithm. A public key is never a shared secret.
fn matching(set: &JwkSet, algorithm: Algorithm, key_id: Option<&str>) -> Vec<DecodingKey> {
    let fits = |key: &&Jwk| {
        let family = match key.algorithm {
            AlgorithmParameters::RSA(_) => Some(AlgorithmFamily::Rsa),
            AlgorithmParameters::EllipticCurve(_) => Some(AlgorithmFamily::Ec),
            AlgorithmParameters::OctetKeyPair(_) => Some(AlgorithmFamily::Ed),
            _ => None,
        };
        let named = key.common.key_algorithm.map(|named| named.to_string());
        let is_for_signing = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        let is_named = key_id.is_none() || key.common.key_id.is_none() || key.common.key_id.as_deref() == key_id;
        family == Some(algorithm.family())
            && is_for_signing
            && is_named
            && named.is_none_or(|named| named.eq_ignore_ascii_case(&format!("{algorithm:?}")))
    };
    set.keys.iter().filter(fits).take(MOST_KEYS).filter_map(|key| DecodingKey::from_jwk(key).ok()).collect()
}

impl Fetched {
    /// A set that is fetched when it is first needed.
    pub(super) fn new(url: Url, allow_private: bool) -> Self {
        let mut api = Api::new("jwks", vec![url.origin().ascii_serialization()], format!("jwks/{url}"));
        api.timeout = Duration::from_secs(5);
        api.max_answer = LARGEST;
        api.allow_private = allow_private;
        Self { url, api: Arc::new(api), state: Mutex::default() }
    }

    /// The keys that a token may be signed with. Asks the issuer when none is known or those that are have become old.
    pub(super) async fn matching(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        evidence: &Evidence<'_>,
        http: &HttpClient,
    ) -> Result<Vec<DecodingKey>, String> {
        let now = evidence.now;
        let known = self.state().keys;
        let found = known.as_ref().map(|(set, _)| matching(set, algorithm, key_id)).unwrap_or_default();
        let is_fresh = known.as_ref().is_some_and(|(_, at)| now.since(*at) < FRESH);
        let fetch = if is_fresh && !found.is_empty() { None } else { self.may_ask(now) };
        let Some(_under_way) = fetch else { return self.answer(known, found, now, "it was asked a moment ago") };
        match self.fetch(evidence.source, now, http).await {
            Ok(set) => {
                let found = matching(&set, algorithm, key_id);
                self.state.lock().unwrap_or_else(PoisonError::into_inner).keys = Some((set, now));
                Ok(found)
            }
            Err(reason) => self.answer(known, found, now, &reason),
        }
    }

    /// What is known, as long as it may still be used.
    fn answer(
        &self,
        known: Option<(Arc<JwkSet>, Timestamp)>,
        found: Vec<DecodingKey>,
        now: Timestamp,
        reason: &str,
    ) -> Result<Vec<DecodingKey>, String> {
        match known {
            Some((_, at)) if now.since(at) < STALE => Ok(found),
            _ => Err(format!("the issuer's keys cannot be had from `{}`: {reason}", self.url)),
        }
    }

    fn may_ask(&self, now: Timestamp) -> Option<UnderWay<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // whoever waits for the first keys joins the call that is under way
        let joins = state.keys.is_none() && state.under_way > 0;
        if !joins {
            if state.asked_at.is_some_and(|at| now.since(at) < APART) {
                return None;
            }
            state.asked_at = Some(now);
        }
        state.under_way += 1;
        Some(UnderWay(self))
    }

    async fn fetch(&self, source: &str, now: Timestamp, http: &HttpClient) -> Result<Arc<JwkSet>, String> {
        let call = Call {
            name: "jwks".to_owned(),
            api: Arc::clone(&self.api),
            method: Method::GET,
            url: self.url.clone(),
            headers: Vec::new(),
            body: None,
            scope: format!("jwks/{source}"),
            fresh_after: now,
            reference: true,
            is_forward: false,
            cache: None,
            attempt: None,
            mask: Arc::new(Mask::default()),
        };
        let (_, answer) = http.call(&call).await;
        let answer = answer.map_err(|failure| failure.reason)?;
        if answer.status != 200 {
            return Err(format!("the answer was {}", answer.status));
        }
        let json = serde_json::from_slice(&answer.body).map_err(|error| format!("it is no JSON Web Key Set: {error}"))?;
        set_of(json).map(Arc::new)
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_not_asked_again_at_once_while_none_of_its_keys_is_known() {
        let fetched = Fetched::new(Url::parse("https://issuer.example/jwks").expect("a url"), false);
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let first = fetched.may_ask(at(0));
        let joining = fetched.may_ask(at(1));
        assert!(first.is_some() && joining.is_some());
        drop((first, joining));
        assert!(fetched.may_ask(at(9)).is_none());
        assert!(fetched.may_ask(at(10)).is_some());
    }

    #[test]
    fn keys_of_a_kind_that_is_not_known_leave_the_others_good() {
        let known = r#"{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
        let others =
            [r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#, r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#, "7"];
        let set = format!("{{\"keys\":[{},{known}]}}", others.join(","));
        for (text, count) in [(known, 1), (set.as_str(), 1)] {
            let keys = read(text).map(|keys| keys.matching(Algorithm::ES256, Some("a")).len());
            assert_eq!(keys, Ok(count), "{text}");
        }
        for (text, reason) in [
            ("{\"keys\":[7]}".to_owned(), "no JSON Web Key of a kind that is known"),
            ("{\"keys\":[]}".to_owned(), "the set has no keys"),
            ("{\"keys\":{}}".to_owned(), "`keys` is no list"),
            ("{}".to_owned(), "neither `keys` nor `kty` is there"),
            ("[".to_owned(), "neither a JSON Web Key Set nor PEM"),
        ] {
            let found = read(&text).err().unwrap_or_default();
            assert!(found.contains(reason), "{text}: {found}");
        }
    }
}
