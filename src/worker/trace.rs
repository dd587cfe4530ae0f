//! What is kept of an attempt: the document step by step, calls, changes, all of it masked and of bounded size.

use serde_json::{Map, Value as Json, json};

use super::credentials::Credentials;
use crate::clock::Timestamp;
use crate::model::attempt::{Attempt, CallTrace, ChangeTrace, Outcome, StepTrace};
use crate::model::event::EventDocument;
use crate::secret::Mask;

/// The largest value of one step that is kept, in bytes of JSON.
const LARGEST: usize = 32 * 1024;

/// An attempt while it runs.
pub(super) struct Trace {
    started_at: Timestamp,
    number: u32,
    pub(super) bundle: String,
    pub(super) credentials: Option<Credentials>,
    pub(super) mask: Mask,
    pub(super) steps: Vec<StepTrace>,
    pub(super) calls: Vec<CallTrace>,
    pub(super) changes: Vec<ChangeTrace>,
    /// What is worth telling of the steps; not masked yet.
    pub(super) notes: Vec<String>,
}

impl Trace {
    pub(super) fn start(number: u32, started_at: Timestamp) -> Self {
        let (steps, calls, changes, notes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (bundle, mask) = (String::new(), Mask::default());
        Self { started_at, number, bundle, credentials: None, mask, steps, calls, changes, notes }
    }

    /// Keeps what a step added to the document; the request itself is kept beside the delivery.
    pub(super) fn step(&mut self, step: &str, document: &EventDocument, names: &[&str]) {
        let added: Map<String, Json> =
            names.iter().filter_map(|name| Some(((*name).to_owned(), Json::clone(document.get(name)?)))).collect();
        if added.is_empty() {
            return;
        }
        let mut masked = self.mask.document(&Json::Object(added));
        if let Json::Object(fields) = &mut masked {
            for field in fields.values_mut() {
                let size = field.to_string().len();
                if size > LARGEST {
                    *field = json!(format!("… {size} bytes of JSON, not kept"));
                }
            }
        }
        self.steps.push(StepTrace { step: step.to_owned(), added: masked });
    }

    /// Keeps what happened to rows.
    pub(super) fn changed(&mut self, changes: Vec<ChangeTrace>) {
        let masked = changes.into_iter().map(|change| ChangeTrace { key: self.mask.json(&change.key), ..change });
        self.changes.extend(masked);
    }

    /// The finished attempt.
    pub(super) fn end(mut self, outcome: Outcome, now: Timestamp) -> Attempt {
        if !matches!(outcome, Outcome::Failed { .. }) {
            self.calls.iter_mut().for_each(|call| call.body = None);
        }
        let outcome = match outcome {
            Outcome::Ignored { reason } => Outcome::Ignored { reason: self.mask.text(&reason) },
            Outcome::Failed { mut failure } => {
                failure.reason = self.mask.text(&failure.reason);
                Outcome::Failed { failure }
            }
            Outcome::Done => Outcome::Done,
        };
        let notes = self.notes.iter().map(|note| self.mask.text(note)).collect();
        Attempt {
            number: self.number,
            started_at: self.started_at.to_string(),
            took_ms: u64::try_from(now.since(self.started_at).as_millis()).unwrap_or(u64::MAX),
            bundle: self.bundle,
            outcome,
            steps: self.steps,
            calls: self.calls,
            changes: self.changes,
            notes,
        }
    }
}
