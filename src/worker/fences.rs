//! After an older state was restored, leases would have lower fences than those that the targets remember, and every lane would be
//! lost for ever. So the fences of the state are moved past the highest of each target before work begins; a target that cannot be
//! reached then is asked until it can.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::deliver::Tools;
use crate::store::lanes;

/// How long the start waits for the targets.
const AT_START: Duration = Duration::from_secs(5);
/// How often one that could not be reached is asked again.
const EVERY: Duration = Duration::from_secs(5);

/// Asks all targets once; the names of those that did not answer in time.
pub(super) async fn catch_up(tools: &Tools) -> Vec<String> {
    let mut left: Vec<String> = tools.targets.names().map(str::to_owned).collect();
    // those that answer count, however long another one takes
    let _ = timeout(AT_START, catch_up_with(tools, &mut left)).await;
    left
}

/// Asks these until all of them have answered.
pub(super) async fn catch_up_late(tools: Tools, mut left: Vec<String>, mut stop: watch::Receiver<bool>) {
    while !left.is_empty() && !*stop.borrow() {
        tokio::select! {
            () = sleep(EVERY) => catch_up_with(&tools, &mut left).await,
            _ = stop.changed() => {}
        }
    }
}

/// Asks these side by side, and takes those that answered out of `left` as they do.
async fn catch_up_with(tools: &Tools, left: &mut Vec<String>) {
    let ask = |name: String| async move {
        let highest = match tools.targets.database(&name) {
            Some(database) => database.highest_fence().await,
            None => Ok(0),
        };
        (name, highest)
    };
    let mut asked: FuturesUnordered<_> = left.iter().cloned().map(ask).collect();
    while let Some((name, highest)) = asked.next().await {
        let highest = match highest {
            Ok(highest) => highest,
            Err(failure) => {
                tracing::debug!(database = name, reason = failure.reason, "its fences cannot be read yet");
                continue;
            }
        };
        match lanes::raise_fences(&tools.store, highest).await {
            Ok(raised) => {
                left.retain(|one| *one != name);
                if raised {
                    tracing::warn!(
                        database = name,
                        fence = highest,
                        "the state is older than this database: it was restored; leases go on above what the database remembers"
                    );
                }
            }
            Err(error) => tracing::error!(%error, "the fences cannot be raised"),
        }
    }
}
