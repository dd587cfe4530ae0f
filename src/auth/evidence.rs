//! What a request shows of its sender: everything that a scheme may look at, gathered once. Schemes decide; this only holds.

use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::expr::scope::SecretValues;
use crate::model::delivery::Request;
use crate::model::event::EventDocument;

/// One request as the schemes see it.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// The request as it came: the bytes of the wire, which signatures are over.
    pub request: &'a Request,
    /// Its head as a document; the decoded body too where a scheme looks into it.
    pub document: &'a EventDocument,
    /// The whole URL as the sender used it, before any proxy of ours: `https://hooks.example.com/in/shop?a=1`.
    pub url: &'a str,
    /// When it arrived.
    pub now: Timestamp,
    /// The source it is for.
    pub source: &'a str,
    /// The secret fields of the integration it is for, as far as that is known before the sender is verified.
    pub fields: &'a SecretValues,
}

impl Evidence<'_> {
    /// The sender's address, behind the proxies that are trusted.
    pub fn client(&self) -> Option<IpAddr> {
        self.request.peer
    }
}
