//! Upkeep of the target databases while the program runs: what our tables there have held long enough goes, once a day, in small steps
//! with pauses between them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::metrics::Metrics;
use crate::store::retention::{is_turn_for_targets, targets_forget_before};
use crate::store::{Store, StoreError};
use crate::target::clean_up::CleanUp;
use crate::target::{Database, Targets};

/// How long after the start the first round begins; a server that is restarted again and again does not begin one each time.
const FIRST_AFTER: Duration = Duration::from_secs(15 * 60);
/// How often there is a round.
const ROUND_EVERY: Duration = Duration::from_secs(86_400);
/// How often a server asks whether it is its turn.
const ASK_EVERY: Duration = Duration::from_secs(60 * 60);
/// The shortest pause after a step; it is at least three times as long as the step took.
const PAUSE: Duration = Duration::from_millis(10);

/// What keeps our tables in the targets small.
pub struct TargetUpkeep {
    store: Store,
    targets: Targets,
    metrics: Arc<Metrics>,
}

impl TargetUpkeep {
    /// Looks after `targets`; nothing is done yet.
    pub fn new(store: Store, targets: Targets, metrics: Arc<Metrics>) -> Self {
        Self { store, targets, metrics }
    }

    /// Does a round whenever it is time, until it is dropped, which may be at any moment.
    pub async fn run(self) {
        sleep(FIRST_AFTER).await;
        loop {
            let next = match self.clean_up().await {
                Ok(Some(_)) => ROUND_EVERY,
                Ok(None) => ASK_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "what the databases have held long enough could not be removed; it is tried again");
                    ASK_EVERY
                }
            };
            sleep(next).await;
        }
    }

    /// One round through all databases: how many rows are gone. None where another server on the same state has begun one. A database that
    /// is down is left for the next round.
    pub async fn clean_up(&self) -> Result<Option<u64>, StoreError> {
        if !is_turn_for_targets(&self.store, ROUND_EVERY * 9 / 10).await? {
            return Ok(None);
        }
        let before = targets_forget_before(&self.store).await?;
        let mut removed = 0;
        for name in self.targets.names() {
            let Some(database) = self.targets.database(name) else { continue };
            removed += clean_up(database, CleanUp::before(before)).await;
        }
        self.metrics.count_removed("rows_in_targets", removed);
        Ok(Some(removed))
    }
}

async fn clean_up(database: &Database, mut walk: CleanUp) -> u64 {
    loop {
        let started = Instant::now();
        match walk.step(database).await {
            Ok(true) => sleep(PAUSE.max(started.elapsed() * 3)).await,
            Ok(false) => break,
            Err(failure) => {
                tracing::warn!(
                    database = database.name(),
                    reason = failure.reason,
                    "our tables could not be cleaned up; it is tried again"
                );
                break;
            }
        }
    }
    if walk.removed() > 0 {
        tracing::info!(database = database.name(), rows = walk.removed(), "removed what has been kept long enough");
    }
    walk.removed()
}
