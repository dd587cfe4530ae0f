//! A delivery: one received webhook request, kept byte for byte, and what admission made of it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::caller::StoredCaller;
use super::record::AdmittedRecord;
use crate::clock::Timestamp;

/// The id of a delivery: a UUIDv7, made before the commit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct DeliveryId(pub Uuid);

impl DeliveryId {
    /// A new id that sorts by `at`.
    pub fn at(at: Timestamp) -> Self {
        let micros = u64::try_from(at.as_micros()).unwrap_or(0);
        let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
        let moment = uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos);
        Self(Uuid::new_v7(moment))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl FromStr for DeliveryId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A request as it came in. The body and the query are untouched bytes and text of the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `POST`, `GET`, …
    pub method: String,
    /// The path as sent, still percent-encoded, without the query.
    pub path: String,
    /// What stood behind `?`, still encoded; empty when there was none.
    pub query: String,
    /// All headers in order, names in lower case as on the wire.
    pub headers: Vec<(String, Bytes)>,
    /// The body's bytes.
    pub body: Bytes,
    /// The sender's address, when known.
    pub peer: Option<IpAddr>,
}

impl fmt::Debug for Request {
    /// Never the query, headers or body: they may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Request({} {}, {} bytes)", self.method, self.path, self.body.len())
    }
}

impl Request {
    /// The first value of a header, by its lower-case wire name, when it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// A delivery on its way into the inbox: authenticated, decoded and split; nothing about it can fail any more but the commit.
#[derive(Clone, Debug)]
pub struct AdmittedDelivery {
    /// Its id, made before the commit.
    pub id: DeliveryId,
    /// The source's name.
    pub source: String,
    /// When its last byte was read.
    pub received_at: Timestamp,
    /// Who sent it.
    pub caller: StoredCaller,
    /// The request, byte for byte; sealed by the store.
    pub request: Request,
    /// What may be seen of the request: JSON `{method, path, query, headers, body}` with secrets masked.
    pub masked: String,
    /// The version of the source's files that admitted it.
    pub bundle_hash: [u8; 32],
    /// Hash of what in those files decides event, lane and id.
    pub admit_hash: [u8; 32],
    /// One for each item; never empty.
    pub records: Vec<AdmittedRecord>,
}

/// What the inbox did with a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// It is on disk.
    Stored,
    /// All its records were known by the sender's own ids; nothing was stored. Names the first delivery that brought them.
    Duplicate(DeliveryId),
}
