//! `gone`, `id`, `lane` and `coalesce`: what decides how a record is queued.

use std::time::Duration;

use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, options};
use crate::config::shape::Shape;
use crate::config::yaml::{Content, Node};
use crate::expr::template::Context;
use crate::expr::value::{Condition, Value};
use crate::model::delivery::DeliveryId;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};
use crate::model::lane::AdmittedLane;
use crate::model::record::SenderId;

/// How long a sender's own id is remembered without `remember`.
pub const REMEMBER: Duration = Duration::from_secs(7 * 86_400);

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
        most: Option<Duration>,
    }
}

impl FromYaml for Coalesce {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let (quiet, most) = match &node.content {
            Content::Map(_) => CoalesceOptions::from_yaml(node, diagnostics).map(|options| (options.quiet, options.most))?,
            _ => (Duration::from_yaml(node, diagnostics)?, None),
        };
        Some(Self { quiet, most: most.unwrap_or(quiet * 10).max(quiet) })
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
    /// What records run one at a time.
    pub lane: Option<Value>,
    /// Whether every record can run by itself: a route without a lane that only inserts.
    pub each_by_itself: bool,
    /// Whether consecutive records of equal work become one.
    pub coalesce: Option<Coalesce>,
}

impl Queueing {
    /// Whether the thing no longer exists.
    pub fn is_gone(&self, document: &EventDocument) -> Result<bool, Failure> {
        let holds = self.gone.as_ref().map_or(Ok(false), |gone| gone.holds(Context::from(document)));
        holds.map_err(|error| Failure::permanent(Step::Admission, format!("`gone`: {}", error.0)))
    }

    /// The sender's own id of the record. A missing or null one is an error: without it nothing could be told apart.
    pub fn sender_id(&self, document: &EventDocument) -> Result<Option<SenderId>, Failure> {
        let Some(id) = &self.id else { return Ok(None) };
        let id = id
            .text(Context::from(document))
            .map_err(|error| Failure::permanent(Step::Admission, format!("`id`: {}", error.0)))?;
        Ok(Some(SenderId { id, remember: self.remember }))
    }

    /// The lane the record waits in.
    pub fn lane(&self, document: &EventDocument, delivery: DeliveryId, number: u32) -> Result<AdmittedLane, Failure> {
        let label = match &self.lane {
            Some(lane) => lane
                .text(Context::from(document))
                .map_err(|error| Failure::permanent(Step::Admission, format!("`lane`: {}", error.0)))?,
            None if self.each_by_itself => format!("{delivery}/{number}"),
            None => String::new(),
        };
        let Coalesce { quiet, most } = self.coalesce.unwrap_or(Coalesce { quiet: Duration::ZERO, most: Duration::ZERO });
        Ok(AdmittedLane { label, quiet, most })
    }
}
