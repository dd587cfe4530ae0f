//! One round of removing, step by step: each step is one short job of the writer, so that deliveries come in between.

use std::collections::VecDeque;
use std::time::Duration;

use uuid::Uuid;

use super::turn::{Duty, take};
use super::{bodies, deliveries, former_lanes, space};
use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::postgres::old_days;
use crate::store::queue::sender_ids::forget_expired;
use crate::store::state::Store;

/// How long what is done is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Raw requests, from when they came. What is open, dead or asked to run again keeps its own, whatever its age.
    pub bodies: Duration,
    /// Deliveries with their records and attempts, from when they came and the last of them was finished; at least as long as bodies.
    pub records: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { bodies: day * 30, records: day * 180 }
    }
}

/// What a round removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Raw requests, but for those that went with a day.
    pub bodies: u64,
    /// Days of raw requests that went whole.
    pub days: u64,
    /// Deliveries with their records and attempts.
    pub deliveries: u64,
    /// Pages that the file gave back.
    pub pages: u64,
}

/// A round under way.
pub struct Round {
    keep: Keep,
    stage: Stage,
    removed: Removed,
}

enum Stage {
    /// Senders' ids whose time is over.
    SenderIds,
    /// Which days are old is not known yet.
    Days,
    /// Whole days are left to go. The flag tells that one is in use and left for the next round.
    SomeDays(VecDeque<i64>, bool),
    Bodies(bodies::Cursor),
    Deliveries(Uuid),
    FormerLanes(Vec<u8>),
    Space,
    Over,
}

impl Round {
    /// Begins a round, unless another process that shares the state began one within `every`.
    pub async fn begin(store: &Store, keep: Keep, every: Duration) -> Result<Option<Self>, StoreError> {
        let is_ours = take(store, Duty::Retention, every).await?;
        Ok(is_ours.then(|| Self { keep, stage: Stage::SenderIds, removed: Removed::default() }))
    }

    /// Does the next step; says whether there may be more.
    pub async fn step(&mut self, store: &Store) -> Result<bool, StoreError> {
        let now = store.clock().now();
        let (bodies_before, records_before) = (now - self.keep.bodies, now - self.keep.records.max(self.keep.bodies));
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::SenderIds => match forget_ids(store).await? {
                true => Stage::SenderIds,
                false => Stage::Days,
            },
            Stage::Days => Stage::SomeDays(old_days::all(store, bodies_before).await?, false),
            Stage::SomeDays(days, is_put_off) => self.drop_a_day(store, days, is_put_off).await?,
            Stage::Bodies(cursor) => self.remove_bodies(store, cursor, bodies_before).await?,
            Stage::Deliveries(after) => self.remove_deliveries(store, after, records_before).await?,
            Stage::FormerLanes(after) => match former_lanes::remove_some(store, after).await? {
                Some(after) => Stage::FormerLanes(after),
                None => Stage::Space,
            },
            Stage::Space => match space::give_back_some(store).await? {
                0 => Stage::Over,
                pages => {
                    self.removed.pages += pages;
                    Stage::Space
                }
            },
            Stage::Over => Stage::Over,
        };
        Ok(!matches!(self.stage, Stage::Over))
    }

    /// What it removed so far.
    pub fn removed(&self) -> Removed {
        self.removed
    }

    /// Bodies of days that cannot go whole go one by one, but not while one of these days is only in use.
    async fn drop_a_day(&mut self, store: &Store, mut days: VecDeque<i64>, is_put_off: bool) -> Result<Stage, StoreError> {
        let Some(day) = days.pop_front() else {
            return Ok(if is_put_off { Stage::Deliveries(Uuid::nil()) } else { Stage::Bodies(bodies::Cursor::default()) });
        };
        let mut is_in_use = false;
        match old_days::remove(store, day).await {
            Ok(is_gone) => self.removed.days += u64::from(is_gone),
            Err(StoreError::Refused(_)) => is_in_use = true,
            Err(error) => return Err(error),
        }
        Ok(Stage::SomeDays(days, is_put_off || is_in_use))
    }

    async fn remove_bodies(&mut self, store: &Store, cursor: bodies::Cursor, before: Timestamp) -> Result<Stage, StoreError> {
        let step = bodies::remove_some(store, cursor, before).await?;
        self.removed.bodies += step.removed;
        Ok(step.next.map_or(Stage::Deliveries(Uuid::nil()), Stage::Bodies))
    }

    async fn remove_deliveries(&mut self, store: &Store, after: Uuid, before: Timestamp) -> Result<Stage, StoreError> {
        let step = deliveries::remove_some(store, after, before).await?;
        self.removed.deliveries += step.removed;
        Ok(step.next.map_or(Stage::FormerLanes(Vec::new()), Stage::Deliveries))
    }
}

async fn forget_ids(store: &Store) -> Result<bool, StoreError> {
    store.writer().run(move |connection, now| Box::pin(forget_expired(connection, now))).await
}
