//! What a test came to, as data: the command line draws it.

use std::time::Duration;

use super::compare::TableDifference;
use super::hostile::VariantOutcome;
use crate::model::attempt::ChangeTrace;
use crate::model::record::RecordState;

/// A test that ran, or could not.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The path of the test file.
    pub path: String,
    /// The line of the test's name, from 1.
    pub line: usize,
    /// The test's name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub verdict: Verdict,
    /// The same under hostile conditions, where that was asked for and the test passed.
    pub variants: Vec<VariantOutcome>,
}

/// What a test came to.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Everything is as expected.
    Passed,
    /// Something is not.
    Failed {
        /// What is not.
        mismatches: Vec<Mismatch>,
        /// What happened.
        seen: Seen,
    },
    /// It could not be run, for example because the script that makes the tables is broken.
    Broken(String),
}

impl Outcome {
    /// Whether everything is as expected, also under hostile conditions.
    pub fn is_passed(&self) -> bool {
        self.verdict.is_passed() && !self.variants.iter().any(VariantOutcome::is_failed)
    }
}

impl Verdict {
    /// Whether everything is as expected.
    pub fn is_passed(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

/// One thing that is not as expected.
#[derive(Clone, Debug)]
pub enum Mismatch {
    /// A single value: the answer's status, the record's state or reason, the number of calls.
    Value {
        /// What it is: `status`.
        what: &'static str,
        /// As expected.
        expected: String,
        /// As it is.
        found: String,
    },
    /// The rows of a table.
    Rows(TableDifference),
    /// The rows of a table cannot be compared, and why.
    Table {
        /// The table.
        table: String,
        /// Why not.
        reason: String,
    },
}

/// What happened during a test; nothing in it is secret.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The answer's status.
    pub status: u16,
    /// The answer's body.
    pub body: String,
    /// The answer's headers, by lower-case name.
    pub headers: Vec<(String, String)>,
    /// What a handshake showed, by name.
    pub shown: Vec<(String, String)>,
    /// The worst state of the delivery's records; none when nothing was stored.
    pub worst: Option<RecordState>,
    /// What happened to rows.
    pub changes: Vec<ChangeTrace>,
    /// The delivery's records.
    pub records: Vec<SeenRecord>,
    /// The calls that were made, with the status of the answer where there was one: `GET https://… → 404`.
    pub calls: Vec<String>,
}

/// A record as a test saw it at the end.
#[derive(Clone, Debug)]
pub struct SeenRecord {
    /// Its place in the delivery, from 0.
    pub number: u32,
    /// Its state, as a word.
    pub state: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why it is in that state, where there is something to say.
    pub reason: Option<String>,
    /// The name of its event, once it is known.
    pub event: Option<String>,
}
