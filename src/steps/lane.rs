//! `gone`, `id`, `lane` and `coalesce`: what decides how a record is queued.

use std::time::Duration;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, options, report_expected};
use crate::config::shape::Shape;
use crate::config::source::Spanned;
use crate::config::units::format_duration;
use crate::config::yaml::{Content, Node};
use crate::expr::reads::Reads;
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Condition, Value};
use crate::model::delivery::DeliveryId;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};
use crate::model::lane::AdmittedLane;
use crate::model::record::SenderId;

/// How long a sender's own id is remembered without `remember`.
pub const REMEMBER: Duration = Duration::from_secs(7 * 86_400);

/// The most lanes that one record can be in.
const MOST_LANES: usize = 8;

/// `coalesce: 2s`, or `{ quiet: 2s, most: 20s }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coalesce {
    /// How long a lane must be quiet.
    pub quiet: Duration,
    /// The longest that arrivals can put the work off.
    pub most: Duration,
}

options! {
    /// How long a lane must be quiet before its work is done.
    pub struct CoalesceOptions {
        /// How long a lane must be quiet before its work is done.
        quiet: Duration,
        /// The longest that arrivals can put the work off; ten times `quiet` by default.
        most: Option<Spanned<Duration>>,
    }
}

impl FromYaml for Coalesce {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let (quiet, most) = match &node.content {
            Content::Map(_) => CoalesceOptions::from_yaml(node, diagnostics).map(|options| (options.quiet, options.most))?,
            _ => (Duration::from_yaml(node, diagnostics)?, None),
        };
        if let Some(most) = most.as_ref().filter(|most| most.value < quiet) {
            let (most_text, quiet) = (format_duration(most.value), format_duration(quiet));
            let message =
                format!("`most: {most_text}` is shorter than `quiet: {quiet}`, so nothing could ever be quiet for long enough");
            diagnostics.report(
                Diagnostic::error("most-before-quiet", most.span, message)
                    .hint("`most` is how long arrivals can put the work off altogether, such as `{ quiet: 2s, most: 20s }`"),
            );
        }
        Some(Self { quiet, most: most.map_or(quiet * 10, |most| most.value).max(quiet) })
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![Duration::shape(), CoalesceOptions::shape()])
    }
}

/// How the records of a route are queued.
#[derive(Clone, Debug, Default)]
pub struct Queueing {
    /// When it holds the thing no longer exists.
    pub gone: Option<Condition>,
    /// The sender's own id.
    pub id: Option<Value>,
    /// How long that is remembered.
    pub remember: Duration,
    /// What records run one at a time; with several, a record is in all of these lanes.
    pub lanes: Vec<Value>,
    /// Whether every record can run by itself: a route without a lane that only inserts.
    pub each_by_itself: bool,
    /// Whether consecutive records of equal work become one.
    pub coalesce: Option<Coalesce>,
}

impl Queueing {
    /// Adds the places it looks at.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        self.gone.iter().for_each(|gone| gone.add_reads(engine, reads));
        self.id.iter().chain(&self.lanes).for_each(|value| value.add_reads(engine, reads));
    }

    /// Whether the thing no longer exists.
    pub fn is_gone(&self, document: &EventDocument) -> Result<bool, Failure> {
        let holds = self.gone.as_ref().map_or(Ok(false), |gone| gone.holds(Context::from(document)));
        holds.map_err(|error| Failure::permanent(Step::Admission, format!("`gone`: {}", error.0)))
    }

    /// The sender's own id of the record. A missing, null or empty one is an error: without it nothing could be told apart.
    pub fn sender_id(&self, document: &EventDocument) -> Result<Option<SenderId>, Failure> {
        let Some(value) = &self.id else { return Ok(None) };
        let failed = |reason: String| Failure::permanent(Step::Admission, format!("`id`: {reason}"));
        let id = value.text(Context::from(document)).map_err(|error| failed(error.0))?;
        if id.is_empty() {
            return Err(failed(format!("`{}` is empty", value.origin())));
        }
        Ok(Some(SenderId { id, remember: self.remember }))
    }

    /// The lane the record waits in, with the others that it must head before it runs.
    pub fn lane(&self, document: &EventDocument, delivery: DeliveryId, number: u32) -> Result<AdmittedLane, Failure> {
        let failed = |reason: String| Failure::permanent(Step::Admission, format!("`lane`: {reason}"));
        let mut labels = match self.lanes.as_slice() {
            [] if self.each_by_itself => vec![format!("{delivery}/{number}")],
            [] => vec![String::new()],
            [lane] => vec![lane.text(Context::from(document)).map_err(|error| failed(error.0))?],
            lanes => labels(lanes, document).map_err(failed)?,
        };
        let label = labels.remove(0);
        let Coalesce { quiet, most } = self.coalesce.unwrap_or(Coalesce { quiet: Duration::ZERO, most: Duration::ZERO });
        Ok(AdmittedLane { label, quiet, most, others: labels })
    }
}

/// The lanes of a list, each once. What is missing or empty is left out, as the old number is of what is created.
fn labels(lanes: &[Value], document: &EventDocument) -> Result<Vec<String>, String> {
    let mut labels = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let label = lane.part(Context::from(document)).map_err(|error| error.0)?;
        labels.extend(label.filter(|label| !labels.contains(label)));
    }
    if labels.is_empty() {
        let origins: Vec<String> = lanes.iter().map(|lane| format!("`{}`", lane.origin())).collect();
        return Err(format!("all of {} are missing or empty", origins.join(", ")));
    }
    Ok(labels)
}

/// Compiles `lane`: one value, or a list of them.
pub fn compile_lanes(node: Option<&Node>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<Value>> {
    let Some(node) = node else { return Some(Vec::new()) };
    match &node.content {
        Content::List(items) if items.is_empty() => {
            report_expected("a text or a path, or a list of them", node, diagnostics);
            None
        }
        Content::List(items) if items.len() > MOST_LANES => {
            let message = format!("a record can be in {MOST_LANES} lanes at most; found {}", items.len());
            diagnostics.report(
                Diagnostic::error("too-many-lanes", node.span, message)
                    .hint("name the lanes of the things that the record moves; for more, one lane that covers them all"),
            );
            None
        }
        Content::List(items) if items.len() > 1 => {
            let lanes: Vec<_> = items.iter().map(|item| Value::compile_part(item, compiler, diagnostics)).collect();
            lanes.into_iter().collect()
        }
        Content::List(items) => Value::compile_text(&items[0], compiler, diagnostics).map(|lane| vec![lane]),
        _ => Value::compile_text(node, compiler, diagnostics).map(|lane| vec![lane]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expr::jsonpath::Path;

    #[test]
    fn an_id_that_tells_nothing_apart_is_none() {
        let path = Path::compile("$.body.id").expect("a path");
        let queueing = Queueing { id: Some(Value::Path(path)), remember: REMEMBER, ..Queueing::default() };
        let found = |body: serde_json::Value| {
            let mut document = EventDocument::default();
            document.set("body", body);
            queueing.sender_id(&document).map(|id| id.expect("an id").id).map_err(|failure| failure.reason)
        };
        assert_eq!(found(json!({ "id": 7 })), Ok("7".to_owned()));
        assert_eq!(found(json!({ "id": "" })), Err("`id`: `$.body.id` is empty".to_owned()));
        assert!(found(json!({})).is_err_and(|reason| reason.contains("is missing")));
        assert!(found(json!({ "id": null })).is_err());
    }
}
