//! A provider's answer: whether it counts, what it says, and what went wrong when it says nothing that can be used.

use serde_json::{Value as Json, json};

use crate::http_client::call::Answer;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

/// The answer as paths and templates see it: `answer: { status, headers, body }`.
pub(super) fn document_of(answer: &Answer) -> Result<EventDocument, Failure> {
    let headers: Json = answer.headers.iter().map(|(name, value)| (name.replace('-', "_"), json!(value))).collect();
    Ok(document(answer.status, &headers, body_of(answer)?))
}

/// The same of parts.
pub(super) fn document(status: u16, headers: &Json, body: Json) -> EventDocument {
    let mut document = EventDocument::default();
    document.set("answer", json!({ "status": status, "headers": headers, "body": body }));
    document
}

/// JSON whatever it is called; plain text where the provider says that it is that.
fn body_of(answer: &Answer) -> Result<Json, Failure> {
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Json::Null);
    }
    let error = match serde_json::from_slice(&answer.body) {
        Ok(json) => return Ok(json),
        Err(error) => error,
    };
    let kind = answer.headers.iter().find(|(name, _)| name == "content-type").map_or("", |(_, value)| value.as_str());
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let reason = match kind.as_str() {
        "text/plain" | "text/csv" => return Ok(Json::String(String::from_utf8_lossy(&answer.body).into_owned())),
        "" | "application/json" => None,
        kind if kind.ends_with("+json") => None,
        // most often a page that says that the provider is being repaired, so it may pass
        kind => Some(format!("the answer is `{kind}`; expected JSON")),
    };
    let place = || format!("at line {}, column {}", error.line(), error.column());
    Err(Failure::passing(
        Step::Enrich,
        reason.unwrap_or_else(|| match error.is_eof() {
            true => format!("the answer's JSON ends too early, {}", place()),
            false => format!("the answer is not JSON {}", place()),
        }),
    ))
}

/// What a status means that is no answer. Credentials that came with the request are that record's trouble alone.
pub(super) fn failure_of(status: u16, credentials_came_along: bool) -> Failure {
    match status {
        401 if credentials_came_along => {
            Failure::passing(Step::Enrich, "the API refuses the credentials that came with the request (401)")
        }
        401 => Failure::refused_credentials(
            Step::Enrich,
            "the API refuses the credentials (401)\nhint: everything of this source and tenant waits until they are changed",
        ),
        408 | 425 | 429 | 500.. => Failure::passing(Step::Enrich, format!("the API answered {status}")),
        _ => Failure::permanent(Step::Enrich, format!("the API answered {status}")),
    }
}
