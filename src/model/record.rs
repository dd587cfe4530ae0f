//! A record: one item of a delivery, the unit of queueing, duplicates, retries and replay.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::delivery::DeliveryId;
use super::lane::AdmittedLane;
use super::tenant::Tenant;
use crate::clock::Timestamp;
use crate::secret::Mask;

/// The id of a record in the state database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct RecordId(pub i64);

/// A record as admission made it.
#[derive(Clone, Debug)]
pub struct AdmittedRecord {
    /// Its place in the delivery, from 0.
    pub number: u32,
    /// Whose it is. Where integrations are found by a field, one delivery holds records of several tenants and belongs to none.
    pub tenant: Option<Tenant>,
    /// The integration it came by.
    pub integration: Option<i64>,
    /// The event's name, when one could be told.
    pub event: Option<String>,
    /// SHA-256 of this record's part of the delivery.
    pub item_sha256: [u8; 32],
    /// Hash of everything that its route reads of it; only where the route coalesces.
    pub work_hash: Option<[u8; 32]>,
    /// The sender's own id, hashed with nothing else, and how long a second one is a duplicate.
    pub sender_id: Option<SenderId>,
    /// What is to become of it.
    pub fate: Fate,
}

impl AdmittedRecord {
    /// The same with secrets taken out of what people will see of it.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        self.event = self.event.map(|event| mask.text(&event));
        self.fate = match self.fate {
            Fate::Queue(lane) => Fate::Queue(lane),
            Fate::Ignore(reason) => Fate::Ignore(mask.text(&reason)),
            Fate::Bury(reason) => Fate::Bury(mask.text(&reason)),
        };
        self
    }
}

/// What admission decided about a record.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It waits in this lane.
    Queue(AdmittedLane),
    /// No route wants it, or one says to ignore it; the reason.
    Ignore(String),
    /// It cannot be understood; the reason. It can be replayed once the route file is mended.
    Bury(String),
}

/// The sender's own id of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderId {
    /// The id as text.
    pub id: String,
    /// How long it is remembered.
    pub remember: Duration,
}

/// The states of a record as people see them (`delivery.md` section 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    /// Queued.
    Waiting,
    /// A worker has it.
    Running,
    /// An attempt failed; another will come.
    Retrying,
    /// Its pool is paused, or its lane waits for a record of several lanes.
    Held,
    /// Its rows are written.
    Done,
    /// Nothing was to be done.
    Ignored,
    /// A newer record ran for it.
    Superseded,
    /// Given up on.
    Dead,
    /// Given up on by a person.
    Discarded,
}

impl RecordState {
    /// All of them, in the order in which they are explained.
    pub const ALL: [RecordState; 9] = [
        Self::Waiting,
        Self::Running,
        Self::Retrying,
        Self::Held,
        Self::Done,
        Self::Ignored,
        Self::Superseded,
        Self::Dead,
        Self::Discarded,
    ];

    /// The word that people see and type.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Done => "done",
            Self::Ignored => "ignored",
            Self::Superseded => "superseded",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }

    /// Whether there is still work to do.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running | Self::Retrying | Self::Held)
    }
}

impl fmt::Display for RecordState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

impl FromStr for RecordState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words = || Self::ALL.map(RecordState::word).join(", ");
        Self::ALL
            .into_iter()
            .find(|state| state.word() == text)
            .ok_or_else(|| format!("`{text}` is no state; one of {}", words()))
    }
}

/// A record as it is listed and shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordSummary {
    /// The delivery it is an item of.
    pub delivery: DeliveryId,
    /// Its place in the delivery, from 0.
    pub number: u32,
    /// Which time it is being run for, from 1.
    pub run: u32,
    /// The source's name.
    pub source: String,
    /// The tenant's name, when it has one.
    pub tenant: Option<String>,
    /// The integration it came by, when it came by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<i64>,
    /// The event's name, when one could be told.
    pub event: Option<String>,
    /// The lane as the route file renders it, when it has one.
    pub lane: Option<String>,
    /// Its state.
    pub state: RecordState,
    /// Why it is in that state, where there is something to say.
    pub reason: Option<String>,
    /// How many others of its lane wait for it, while it backs off.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub blocks: u64,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the delivery arrived.
    pub received_at: String,
    /// When the next attempt is due, while it waits for one.
    pub next_at: Option<String>,
    /// When it reached its final state.
    pub finished_at: Option<String>,
    /// The delivery whose record ran for it, when superseded.
    pub superseded_by: Option<DeliveryId>,
    /// How many of its forwards are not sent yet.
    #[serde(default, skip_serializing_if = "is_none")]
    pub forwards_open: u32,
    /// How many of its forwards were given up on.
    #[serde(default, skip_serializing_if = "is_none")]
    pub forwards_dead: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A record that a worker holds.
#[derive(Clone, Debug)]
pub struct ClaimedRecord {
    /// Its id.
    pub id: RecordId,
    /// The id of its first run: records came in the order of these.
    pub first_run: RecordId,
    /// Its position in the lane.
    pub position: i64,
    /// The delivery it is an item of.
    pub delivery: DeliveryId,
    /// Its place in the delivery, from 0.
    pub number: u32,
    /// Which time it is being run for, from 1.
    pub run: u32,
    /// Whose it is, when its source has tenants.
    pub tenant: Option<Tenant>,
    /// The integration it came by when it was admitted.
    pub integration: Option<i64>,
    /// Hash of everything that its route reads of it; only where the route coalesces.
    pub work_hash: Option<[u8; 32]>,
    /// SHA-256 of its part of the delivery.
    pub item_sha256: [u8; 32],
    /// How many attempts have failed before.
    pub attempts: u32,
    /// When the delivery arrived.
    pub received_at: Timestamp,
    /// When its first attempt of this run failed, if one did.
    pub first_failed_at: Option<Timestamp>,
    /// How many lanes besides its own it waits in.
    pub gates: u32,
    /// The newest record that had taken effect in its lane when others were first let past it, if they were; 0 for none.
    pub passed: Option<RecordId>,
    /// Who sent the delivery.
    pub caller: super::caller::StoredCaller,
    /// Whether its forwards are sent when it is done; not those of what is only applied again.
    pub forwards: bool,
}
