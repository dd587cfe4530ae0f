//! A failure: the fault of a payload, a provider's API or a database, as data. What to do about it is `worker/retry`'s to say.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The step in which something failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The body could not be read as its format.
    Decode,
    /// Event, extract, gone, id or lane.
    Admission,
    /// A call to a provider.
    Enrich,
    /// A value for a row.
    Map,
    /// The target database.
    Write,
    /// A request to another system.
    Forward,
    /// Ours.
    Engine,
}

/// Whether another try may help.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It will fail the same way until someone mends something: dead at once.
    Never,
    /// It may help, after the usual back-off.
    Later,
    /// The other side said when, or a budget did; not before. Holds the pool and is no attempt when `hold` is set.
    NotBefore {
        /// Microseconds since the Unix epoch.
        at: i64,
        /// Whether everything of this source and tenant must wait.
        hold: bool,
    },
    /// The other side refuses our credentials: everything of this source and tenant waits until they change.
    Credentials,
}

/// Why a record could not be brought to its rows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Where.
    pub step: Step,
    /// In words for the person who has to mend it; secrets masked before it is stored.
    pub reason: String,
    /// Whether another try may help.
    pub retry: Retry,
}

impl Failure {
    /// A failure that stays until someone mends something.
    pub fn permanent(step: Step, reason: impl Into<String>) -> Self {
        Self { step, reason: reason.into(), retry: Retry::Never }
    }

    /// A failure that may pass.
    pub fn passing(step: Step, reason: impl Into<String>) -> Self {
        Self { step, reason: reason.into(), retry: Retry::Later }
    }

    /// The other side refuses our credentials.
    pub fn refused_credentials(step: Step, reason: impl Into<String>) -> Self {
        Self { step, reason: reason.into(), retry: Retry::Credentials }
    }

    /// Everything of this source and tenant waits until `at`.
    pub fn held_until(step: Step, at: Timestamp, reason: impl Into<String>) -> Self {
        Self { step, reason: reason.into(), retry: Retry::NotBefore { at: at.as_micros(), hold: true } }
    }

    /// Whether it is only a wait for a limit, a provider that asks for patience or an open circuit.
    pub fn is_held(&self) -> bool {
        matches!(self.retry, Retry::NotBefore { hold: true, .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}
