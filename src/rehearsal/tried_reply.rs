//! What the sender of a tried request would be answered.

use serde::Serialize;

use crate::config::units::format_duration;
use crate::model::event::EventDocument;
use crate::secret::Mask;
use crate::steps::reply::Reply;

/// The answer in place of the delivery's id. Nothing in it is secret.
#[derive(Clone, Debug, Serialize)]
pub struct TriedReply {
    /// Its status; nothing when it cannot be made.
    pub status: Option<u16>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Option<String>,
    /// How long its sender would wait for the records to end, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// Why it cannot be made: the sender would be told the delivery's id.
    pub reason: Option<String>,
}

/// Makes it of the document as it is now.
pub(super) fn try_reply(reply: &Reply, document: &EventDocument, mask: &Mask) -> TriedReply {
    let wait = reply.wait.map(format_duration);
    match reply.render(document) {
        Ok(answered) => TriedReply {
            status: Some(answered.status),
            headers: answered.headers.into_iter().map(|(name, value)| (name, mask.text(&value))).collect(),
            body: Some(mask.text(&answered.body)).filter(|body| !body.is_empty()),
            wait,
            reason: None,
        },
        Err(error) => TriedReply { status: None, headers: Vec::new(), body: None, wait, reason: Some(mask.text(&error.0)) },
    }
}
