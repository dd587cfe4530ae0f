//! Forwards: requests to other systems that are made once a record is done. Each is a job of its own, with its own lane, attempts and
//! end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::attempt::Attempt;
use super::delivery::DeliveryId;
use super::record::{RecordId, RecordState};
use crate::clock::Timestamp;

/// The id of a forward: a UUIDv7, made before the commit and sent along with every try.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ForwardId(pub Uuid);

impl ForwardId {
    /// A new id that sorts by `at`.
    pub fn at(at: Timestamp) -> Self {
        Self(DeliveryId::at(at).0)
    }
}

impl fmt::Display for ForwardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl FromStr for ForwardId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A forward that a record which is done asks for.
#[derive(Clone, Debug)]
pub struct NewForward {
    /// Its id.
    pub id: ForwardId,
    /// Its name under `forward`.
    pub target: String,
    /// What it is made of besides the request; sealed by the store.
    pub content: ForwardContent,
    /// Why it is never sent, if it is not.
    pub dead: Option<String>,
}

/// What a forward is made of besides its record's request, which is kept anyway: what was fetched for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForwardContent {
    /// The answers that it reads, by the names of their calls.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub answers: Map<String, Json>,
    /// Whether the thing no longer existed.
    #[serde(default)]
    pub gone: bool,
}

/// A forward that a worker holds.
#[derive(Clone, Debug)]
pub struct ClaimedForward {
    /// Its id.
    pub id: ForwardId,
    /// Its name under `forward`.
    pub target: String,
    /// Its position in the lane.
    pub position: i64,
    /// The record that asked for it.
    pub record: RecordId,
    /// The delivery that this is an item of.
    pub delivery: DeliveryId,
    /// Its place in the delivery, from 0.
    pub number: u32,
    /// How many tries have failed before.
    pub attempts: u32,
    /// When the delivery arrived.
    pub received_at: Timestamp,
    /// When its first try failed, if one did.
    pub first_failed_at: Option<Timestamp>,
}

/// A forward as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForwardSummary {
    /// Its id, which is sent along as `webhook-id`.
    pub id: ForwardId,
    /// The record that asked for it: its place in the delivery, from 0.
    pub number: u32,
    /// Which run of it.
    pub run: u32,
    /// Its name under `forward`.
    pub target: String,
    /// Waiting, running, retrying, held, done, dead or discarded.
    pub state: RecordState,
    /// Why it is in that state, where there is something to say.
    pub reason: Option<String>,
    /// How many tries were made.
    pub attempts: u32,
    /// When the next one is due, while it waits for one.
    pub next_at: Option<String>,
    /// When it reached its final state.
    pub finished_at: Option<String>,
    /// The last try, secrets masked.
    pub last: Option<Attempt>,
}
