//! The pipeline: from a record's event document to row operations. `worker`, tests and the demo run it alike.

use std::time::Duration;

use tokio::time::Instant;

use super::enrich::{Enrich, Enriched};
use super::map::Write;
use super::write_options::Verb;
use crate::clock::Timestamp;
use crate::expr::notes;
use crate::expr::scope::SecretValues;
use crate::http_client::client::HttpClient;
use crate::model::attempt::CallTrace;
use crate::model::change::Change;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};
use crate::secret::GrowingMask;

/// What a route fetches and writes.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    /// The calls.
    pub enrich: Enrich,
    /// The writes, in file order.
    pub writes: Vec<Write>,
}

/// What a run is handed.
pub struct RunContext<'a> {
    /// The outgoing client.
    pub http: &'a HttpClient,
    /// The secrets that may go out.
    pub secrets: &'a SecretValues,
    /// What nothing is shared across: source, tenant and integration.
    pub scope: &'a str,
    /// Names this attempt, so that one that was held finds the answers again that it had; a failed one does not.
    pub attempt: &'a str,
    /// Whether credentials came with the request, so that a refusal says nothing about those of others.
    pub credentials_came_along: bool,
    /// An answer counts only if its request began after this.
    pub fresh_after: Timestamp,
    /// Takes secrets out of the trace, those that logins give among them.
    pub mask: &'a GrowingMask,
    /// The tenant whose rows these are.
    pub tenant: Option<&'a str>,
    /// How many attempts have failed before this one.
    pub failed_before: u32,
    /// No further call begins after this: an attempt is not to hold a worker for as long as a slow provider likes.
    pub calls_until: Instant,
}

/// How long an attempt goes on making calls, whatever their number.
pub const LONGEST_FETCH: Duration = Duration::from_secs(5 * 60);

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Planned {
    /// These row operations.
    Changes(Vec<Change>),
    /// Nothing, and why.
    Nothing(String),
}

impl Pipeline {
    /// Fetches, then maps; `gone` is in the document from then on. The calls made are added to `calls` also when it fails.
    pub async fn run(
        &self,
        document: &mut EventDocument,
        gone: bool,
        context: &RunContext<'_>,
        calls: &mut Vec<CallTrace>,
    ) -> Result<Planned, Failure> {
        let enriched = if gone { Enriched::Complete } else { self.enrich.run(document, context, calls).await? };
        let gone = match enriched {
            Enriched::Complete => gone,
            Enriched::Ignore(name) => return Ok(Planned::Nothing(format!("call `{name}`: the API has no such thing"))),
            Enriched::Gone(name) if just_created(document) && context.failed_before == 0 => {
                return Err(Failure::passing(
                    Step::Enrich,
                    format!("call `{name}`: the API does not have what was just created yet (404)"),
                ));
            }
            Enriched::Gone(_) => true,
        };
        document.set("gone", serde_json::json!(gone));
        self.map(document, gone, context.tenant).map(Planned::Changes)
    }

    /// Whether it makes rows and changes none, so that its records may come in any order.
    pub fn only_inserts(&self) -> bool {
        self.writes.iter().all(|write| write.verb == Verb::Insert)
    }

    /// The row operations for a document that has its answers.
    pub fn map(&self, document: &mut EventDocument, gone: bool, tenant: Option<&str>) -> Result<Vec<Change>, Failure> {
        let (changes, noted) = notes::watch(|| {
            let mut changes = Vec::new();
            for write in &self.writes {
                changes.extend(write.changes(document, gone, tenant)?);
            }
            Ok(changes)
        });
        document.add_notes(noted);
        changes
    }
}

/// A provider may answer 404 for a moment after it said that it created something.
fn just_created(document: &EventDocument) -> bool {
    document.get("event").and_then(|event| event.as_str()).is_some_and(|event| event.to_ascii_lowercase().ends_with("created"))
}
