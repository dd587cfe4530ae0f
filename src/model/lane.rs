//! Lanes: records of one lane run one at a time, in order. A claim is a lease on a lane.

use std::time::Duration;

use super::record::ClaimedRecord;
use crate::clock::Timestamp;

/// The lane that a record was admitted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittedLane {
    /// The lane as the route file renders it; source and tenant are added by the store.
    pub label: String,
    /// How long the lane must be quiet before its work is due; zero without `coalesce`.
    pub quiet: Duration,
    /// The longest that arrivals can put the work off, counted from the first of them.
    pub most: Duration,
    /// The other lanes that it must head before it runs, each once and none of them `label`.
    pub others: Vec<String>,
}

impl AdmittedLane {
    /// All of its lanes, its own first.
    pub fn all(&self) -> Vec<&str> {
        std::iter::once(&self.label).chain(&self.others).map(String::as_str).collect()
    }
}

/// A lane that a record holds besides its own while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLane {
    /// The lane's row in the state database.
    pub lane_id: i64,
    /// The lane's hash.
    pub hash: [u8; 16],
}

/// What waits in a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaneKind {
    /// Records.
    Records,
    /// What follows from them and goes elsewhere.
    Forwards,
}

/// A lease on a lane, with the records that wait in it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The lane's row in the state database.
    pub lane_id: i64,
    /// The lane's hash: what the target's fence is kept under.
    pub lane_hash: [u8; 16],
    /// Raised with each claim; a lower one can no longer finish or write.
    pub fence: i64,
    /// The pool (source × tenant) the lane belongs to.
    pub pool_id: i64,
    /// The source's name.
    pub source: String,
    /// The tenant, when the source has one.
    pub tenant: Option<super::tenant::Tenant>,
    /// The highest position that was finished in this lane, if any was.
    pub done_position: Option<i64>,
    /// The first run of the newest record that took effect in this lane or another that is held, if one did.
    pub done_record: Option<super::record::RecordId>,
    /// The other lanes that are held with this one.
    pub others: Vec<HeldLane>,
    /// When the claim was made, by the store's clock.
    pub claimed_at: Timestamp,
    /// When the lease ends unless it is prolonged.
    pub lease_ends_at: Timestamp,
    /// The open records from the head of the lane, in order; at most 1000.
    pub records: Vec<ClaimedRecord>,
    /// The forward at the head of the lane, where that is one of forwards; then it has no records.
    pub forward: Option<super::forward::ClaimedForward>,
}
