//! What target databases must go on knowing: what was applied, for as long as a record may run again.

use std::time::Duration;

use super::turn::{Duty, take};
use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::sql::{Texts, query};
use crate::store::state::Store;

/// The shortest that marks, fences and versions are kept.
const AT_LEAST: Duration = Duration::from_secs(90 * 86_400);
/// Clocks that differ, and attempts under way, make no difference.
const MARGIN: Duration = Duration::from_secs(86_400);

/// Whether this process is to clean up in the targets now: where it shares the state, no other one has begun to within `every`.
pub async fn is_turn_for_targets(store: &Store, every: Duration) -> Result<bool, StoreError> {
    take(store, Duty::Targets, every).await
}

/// What targets were told before this moment no record asks for any more: no request is kept that is as old, and without its request
/// none can run again.
pub async fn targets_forget_before(store: &Store) -> Result<Timestamp, StoreError> {
    const OLDEST: Texts = Texts {
        sqlite: "select received_at as oldest from delivery where delivery_row = (select min(delivery_row) from delivery_raw)",
        postgres: "select min(received_on) * 86400000000 as oldest from delivery_raw",
    };
    let found = store.read_first(query(OLDEST)).await?;
    let oldest: Option<i64> = found.map(|row| row.get("oldest")).transpose()?.flatten();
    let forgotten = store.clock().now() - AT_LEAST;
    Ok(oldest.map_or(forgotten, |oldest| forgotten.min(Timestamp::from_micros(oldest) - MARGIN)))
}
