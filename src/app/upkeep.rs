//! Upkeep while the program runs: what has been kept long enough goes, and the lanes are looked after, in small steps with pauses
//! between them, so that deliveries never wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::metrics::Metrics;
use crate::store::retention::{Keep, Removed, Round, Sweep};
use crate::store::{Store, StoreError};

/// How often lanes are looked after, and how often what has been kept long enough goes.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const ROUND_EVERY: Duration = Duration::from_secs(300);
/// The most steps of one look at lanes that find nothing to do, and the longest that a look takes; the next look goes on from there.
const IDLE_STEPS: usize = 500;
const SWEEP_LIMIT: Duration = Duration::from_secs(45);
/// The shortest pause after a step; it is at least three times as long as the step took.
const PAUSE: Duration = Duration::from_millis(10);

/// What keeps the state in order.
pub struct Upkeep {
    store: Store,
    keep: Keep,
    metrics: Arc<Metrics>,
    sweep: Sweep,
}

impl Upkeep {
    /// Keeps `store` in order; nothing is done yet.
    pub fn new(store: Store, keep: Keep, metrics: Arc<Metrics>) -> Self {
        Self { store, keep, metrics, sweep: Sweep::default() }
    }

    /// Does what is to be done whenever it is time, until it is dropped, which may be at any moment.
    pub async fn run(mut self) {
        let mut round_at = Instant::now();
        loop {
            if let Err(error) = self.look_after_lanes().await {
                tracing::warn!(%error, "lanes could not be looked after; it is tried again");
            }
            if round_at <= Instant::now() {
                round_at = Instant::now() + ROUND_EVERY;
                if let Err(error) = self.remove_old().await {
                    tracing::warn!(%error, "what has been kept long enough could not be removed; it is tried again");
                }
            }
            sleep(SWEEP_EVERY).await;
        }
    }

    /// One round of removing what has been kept long enough. Nothing where another server on the same state has just begun one.
    pub async fn remove_old(&self) -> Result<Removed, StoreError> {
        // a little less than the time between rounds, so that a server does not miss its own turn
        let Some(mut round) = Round::begin(&self.store, self.keep, ROUND_EVERY * 9 / 10).await? else {
            return Ok(Removed::default());
        };
        let outcome = self.all_steps(&mut round).await;
        let removed = round.removed();
        let Removed { bodies, days, deliveries, pages } = removed;
        if removed != Removed::default() {
            tracing::info!(bodies, days, deliveries, pages, "removed what has been kept long enough");
        }
        for (what, count) in [("bodies", bodies), ("days_of_bodies", days), ("deliveries", deliveries)] {
            self.metrics.count_removed(what, count);
        }
        outcome.map(|()| removed)
    }

    async fn all_steps(&self, round: &mut Round) -> Result<(), StoreError> {
        loop {
            let started = Instant::now();
            if !round.step(&self.store).await? {
                return Ok(());
            }
            pause_after(started).await;
        }
    }

    /// Looks at lanes where the last look ended, until all have been seen or it has been long enough.
    pub async fn look_after_lanes(&mut self) -> Result<(), StoreError> {
        if !Sweep::is_due(&self.store, SWEEP_EVERY * 9 / 10).await? {
            return Ok(());
        }
        let until = Instant::now() + SWEEP_LIMIT;
        let mut idle_steps = 0;
        while idle_steps < IDLE_STEPS && Instant::now() < until {
            let started = Instant::now();
            let swept = self.sweep.step(&self.store).await?;
            for lane in &swept.wrong {
                let (lane_id, waiting, open, awake) = (lane.lane_id, lane.waiting, lane.open, lane.is_awake);
                tracing::error!(lane.id = lane_id, waiting, open, awake, "a lane contradicts its records: please report this");
            }
            self.metrics.count_wrong_lanes(swept.wrong.len() as u64);
            self.metrics.count_removed("lanes", swept.removed);
            if swept.came_round {
                return Ok(());
            }
            // where every record has a lane of its own, they come by the thousand
            idle_steps += usize::from(swept.removed + swept.noted == 0);
            pause_after(started).await;
        }
        Ok(())
    }
}

async fn pause_after(started: Instant) {
    sleep(PAUSE.max(started.elapsed() * 3)).await;
}
