//! One call as it is asked for and the answer as it is given back.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use sha2::{Digest, Sha256};

use super::api::{Api, CacheRule};
use crate::clock::Timestamp;
use crate::secret::{MASK, Mask};

/// A call to be made. It has no `Debug`: its URL, headers and body may hold secrets.
#[derive(Clone)]
pub struct Call {
    /// The name under `enrich`.
    pub name: String,
    /// The API that is called.
    pub api: Arc<Api>,
    /// GET, POST, …
    pub method: Method,
    /// Absolute, with its query.
    pub url: Url,
    /// Sent as they are, never logged.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Content type and content.
    pub body: Option<(String, Bytes)>,
    /// Tenant and integration; nothing is shared across scopes.
    pub scope: String,
    /// An answer serves this call only if its request began later than this.
    pub fresh_after: Timestamp,
    /// Whether the call reads only other answers and constants; then any identical call in flight serves it.
    pub reference: bool,
    /// For how long its answer may serve later calls, if at all.
    pub cache: Option<CacheRule>,
    /// The attempt that it is part of: when that is held and goes on later, it is given the answers that it had. Failed attempts
    /// begin anew, so each has a name of its own.
    pub attempt: Option<String>,
    /// Covers secrets in the trace and in reasons.
    pub mask: Arc<Mask>,
    /// Whether something is sent, rather than asked: then a redirect that would have something else fetched instead is an answer.
    pub is_forward: bool,
}

impl Call {
    /// The URL without what is secret in it.
    pub(super) fn masked_url(&self) -> String {
        masked_url(&self.url, &self.mask)
    }

    /// Equal for calls that ask the same of the same provider for the same tenant and integration.
    pub(super) fn identity(&self) -> Identity {
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        for text in [&self.scope, &self.api.name, self.method.as_str(), self.url.as_str()] {
            part(text.as_bytes());
        }
        part(&self.headers.len().to_le_bytes());
        for (name, value) in &self.headers {
            part(name.as_str().as_bytes());
            part(value.as_bytes());
        }
        if let Some((content_type, content)) = &self.body {
            part(content_type.as_bytes());
            part(content);
        }
        Identity(digest.finalize().into())
    }
}

/// `url` without what `mask` knows, and without a password in any case.
pub(super) fn masked_url(url: &Url, mask: &Mask) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() && shown.set_password(Some("")).is_err() {
        return MASK.to_owned();
    }
    mask.text(shown.as_str())
}

/// What makes two calls the same, as a digest so that no secret stays behind in a map.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity([u8; 32]);

impl Identity {
    /// The same call as one of this attempt's.
    pub(super) fn of_attempt(self, attempt: &str) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(attempt).finalize().into())
    }
}

/// A complete answer whose status the API's retry rule does not cover.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// Decompressed.
    pub body: Bytes,
    /// When the request that brought this answer was begun.
    pub began_at: Timestamp,
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Answer({}, {} bytes, began at {})", self.status, self.body.len(), self.began_at)
    }
}
