//! An attempt: one try at a record, with its trace. Everything in it is masked before it gets here.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::failure::Failure;
use crate::clock::Timestamp;

/// What one try did, step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1, over all runs of the record.
    pub number: u32,
    /// RFC 3339.
    pub started_at: String,
    /// Milliseconds from start to end.
    pub took_ms: u64,
    /// The version of the source's files that ran, in hex.
    pub bundle: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The keys that each step added to the event document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepTrace>,
    /// The calls that were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallTrace>,
    /// What happened to rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeTrace>,
    /// What its steps did that is worth telling, masked: which moment an ambiguous local time was taken for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Outcome {
    /// The rows are written.
    Done,
    /// Nothing was to be done.
    Ignored {
        /// Why not.
        reason: String,
    },
    /// It failed.
    Failed {
        /// Where and why.
        failure: Failure,
    },
}

/// The keys that one step added to the event document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTrace {
    /// `request`, `decode`, `auth`, `extract`, `enrich`, …
    pub step: String,
    /// What it added, masked.
    pub added: Json,
}

/// One call to a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallTrace {
    /// The name under `enrich`.
    pub name: String,
    /// `GET`, …
    pub method: String,
    /// Masked.
    pub url: String,
    /// The answer's status, when there was one.
    pub status: Option<u16>,
    /// Milliseconds, retries included.
    pub took_ms: u64,
    /// Short retries inside the attempt.
    pub retries: u32,
    /// Whether it was answered by another call in flight.
    pub shared: bool,
    /// Whether an answer that was kept served it, without a request.
    #[serde(default)]
    pub cached: bool,
    /// When the request began that brought the answer; not kept.
    #[serde(skip)]
    pub began_at: Option<Timestamp>,
    /// Size of the answer's body in bytes.
    pub bytes: u64,
    /// Why there is no answer that counts, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The beginning of the answer's body, masked; kept for failed attempts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What happened to rows because of one change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeTrace {
    /// The named database.
    pub database: String,
    /// The table.
    pub table: String,
    /// `insert`, `upsert`, `replace`, `delete`.
    pub verb: String,
    /// The columns that found the row or rows, masked.
    pub key: Json,
    /// Rows added.
    pub inserted: u64,
    /// Rows brought to new values.
    pub updated: u64,
    /// Rows taken away.
    pub deleted: u64,
    /// Whether nothing was changed because what is there is newer, or has the same version and may have come later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
}
