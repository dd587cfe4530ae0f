//! What forwards of a tried record would send. Nothing is sent but a login, where one needs it.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::http_client::call::Call;
use crate::model::delivery::Request;
use crate::model::event::EventDocument;
use crate::model::failure::Failure;
use crate::secret::Mask;
use crate::steps::forward::{Asking, Forward, HOP, asked_for, hops};
use crate::steps::forward_request::Sending;
use crate::steps::pipeline::RunContext;

/// One request that would be sent once the rows are written.
#[derive(Clone, Debug, Serialize)]
pub struct TriedForward {
    /// Its name under `forward`.
    pub name: String,
    /// `POST`, …; nothing when it cannot be made.
    pub method: Option<String>,
    /// Masked.
    pub url: Option<String>,
    /// Names and masked values.
    pub headers: Vec<(String, String)>,
    /// Masked.
    pub body: Option<String>,
    /// Why it cannot be made.
    pub reason: Option<String>,
}

/// What forwards are tried with.
#[derive(Clone, Copy)]
pub(super) struct Trying<'a> {
    pub(super) request: &'a Request,
    pub(super) source: &'a str,
    pub(super) now: Timestamp,
}

/// Makes the requests of those that would be sent.
pub(super) async fn try_forwards(
    forwards: &[Forward],
    document: &EventDocument,
    Trying { request, source, now }: Trying<'_>,
    context: &RunContext<'_>,
) -> Result<Vec<TriedForward>, Failure> {
    let hops = hops(request.header(HOP));
    let gone = document.get("gone").is_some_and(|gone| **gone == true);
    let asking = Asking { gone, hops, secrets: context.secrets, now };
    let mut tried = Vec::new();
    for asked in asked_for(forwards, document, asking)? {
        let Some(forward) = forwards.iter().find(|forward| forward.name == asked.target) else { continue };
        let sending = Sending { id: asked.id, request, hops, now, source };
        let made = forward.made(document, sending, context, None, &mut Vec::new()).await;
        let mask = context.mask.now();
        tried.push(match made {
            Ok((call, _)) => shown(&call, asked.dead, &mask),
            Err(failure) => TriedForward {
                name: asked.target,
                method: None,
                url: None,
                headers: Vec::new(),
                body: None,
                reason: Some(mask.text(&failure.reason)),
            },
        });
    }
    Ok(tried)
}

fn shown(call: &Call, dead: Option<String>, mask: &Mask) -> TriedForward {
    let text = |bytes: &[u8]| mask.text(&String::from_utf8_lossy(bytes));
    TriedForward {
        name: call.name.clone(),
        method: Some(call.method.to_string()),
        url: Some(mask.text(call.url.as_str())),
        headers: call.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body: call.body.as_ref().map(|(_, content)| text(content)),
        reason: dead,
    }
}
