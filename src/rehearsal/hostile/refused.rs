//! Requests that must be refused: with a byte that is another one, and with credentials from long ago.

use super::Finding;
use super::run::Stage;
use crate::intake::address::Addresses;
use crate::rehearsal::cases::Case;
use crate::rehearsal::equip::{Age, Equipped};
use crate::rehearsal::report::Mismatch;
use crate::rehearsal::run::{equip, look_at, receive};
use crate::rehearsal::send::{Credential, WebhookBody, WebhookRequest};
use crate::rehearsal::signed;

/// Each credential with another byte, and the body where it is signed.
pub(super) async fn flipped(stage: &Stage<'_>) -> Result<Finding, String> {
    let Stage { suite, case, project, .. } = stage;
    let Equipped { request, placed, .. } = equip(suite, case, project, Age::Fresh).await?;
    if let Some(other) = other_body(stage, &request)? {
        let finding = must_be_refused(stage, &other, "a byte of the body was changed after it was signed").await?;
        if !matches!(finding, Finding::Same) {
            return Ok(finding);
        }
    }
    for (place, value) in &placed {
        let mut other = request.clone();
        if place.first().is_some_and(|block| block == "params") {
            other.path = other.path.replace(value.as_str(), &with_another_byte(value));
        } else {
            other.put(place, &with_another_byte(value))?;
        }
        let why = format!("a byte of the credential at `$.{}` was changed", place.join("."));
        let finding = must_be_refused(stage, &other, &why).await?;
        if !matches!(finding, Finding::Same) {
            return Ok(finding);
        }
    }
    Ok(Finding::Same)
}

/// Credentials from long ago.
pub(super) async fn stale(stage: &Stage<'_>) -> Result<Finding, String> {
    let request = equip(stage.suite, stage.case, &stage.project, Age::Stale).await?.request;
    must_be_refused(stage, &request, "it was signed too long ago").await
}

async fn must_be_refused(stage: &Stage<'_>, request: &WebhookRequest, why: &str) -> Result<Finding, String> {
    let mut seen = receive(&stage.project, request).await?;
    if (400..500).contains(&seen.status) {
        return Ok(Finding::Same);
    }
    stage.project.settle().await?;
    look_at(stage.suite, &stage.project, &mut seen).await?;
    let mismatch = Mismatch::Value { what: "status", expected: "401".to_owned(), found: seen.status.to_string() };
    Ok(Finding::Different { reason: format!("{why}, and it was let in"), mismatches: vec![mismatch], seen: Box::new(seen) })
}

/// The request with another byte in its body, where the signature covers that.
fn other_body(stage: &Stage<'_>, request: &WebhookRequest) -> Result<Option<WebhookRequest>, String> {
    let signatures = stage.case.credentials.iter().filter_map(|credential| match credential {
        Credential::Signature(scheme, signing, fields) => Some((scheme, *signing, fields)),
        _ => None,
    });
    let text = String::from_utf8_lossy(&request.bytes()).into_owned();
    let other =
        WebhookRequest { headers: request.all_headers(), body: WebhookBody::Text(with_another_byte(&text)), ..request.clone() };
    for (scheme, signing, fields) in signatures {
        let now = stage.project.tools.store.clock().now();
        let with = signed::With { source: &stage.suite.source, fields, now, addresses: &Addresses::default() };
        // where the signature stays the same, it says nothing of the body
        let (mut first, mut second) = (request.clone(), other.clone());
        let first = signed::sign(&mut first, scheme, signing, with)?;
        match signed::sign(&mut second, scheme, signing, with) {
            Ok(second) if first == second => {}
            // a body that carries its own signature may not be one any more
            Ok(_) | Err(_) => return Ok(Some(other)),
        }
    }
    Ok(None)
}

/// The text with another letter or digit at three quarters of it, or as near as there is one: not at the end, where base64 has
/// bits that nobody reads.
fn with_another_byte(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let start = bytes.len() * 3 / 4;
    let at = (start..bytes.len()).chain((0..start).rev()).find(|at| bytes[*at].is_ascii_alphanumeric());
    if let Some(at) = at {
        bytes[at] = match bytes[at] {
            b'9' => b'0',
            b'z' => b'a',
            b'Z' => b'A',
            // hex digits stay hex digits
            b'f' => b'a',
            b'F' => b'A',
            other => other + 1,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Case {
    /// Whether it is sent with a token whose end we say.
    pub(super) fn has_token_with_an_end(&self) -> bool {
        let has_token = self.credentials.iter().any(|credential| matches!(credential, Credential::Claims(..)));
        has_token && !self.claims.contains_key("exp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_byte_is_another_one() {
        for text in ["a", "htk_abcdef", "sha256=9f86d081884c7d65", "{\"a\":9}", "a|||||||"] {
            let other = with_another_byte(text);
            let differing = text.bytes().zip(other.bytes()).filter(|(one, other)| one != other).count();
            assert_eq!((differing, other.len()), (1, text.len()), "{text} {other}");
        }
        assert_eq!(with_another_byte("||"), "||");
    }
}
