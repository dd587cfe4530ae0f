//! The one thread that writes the state: it gathers what waits into rounds, one after the other, until it is told to stop.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::Connection as _;
use sqlx::SqliteConnection;
use tokio::sync::{Notify, oneshot};

use super::checkpoint::{Checkpoints, truncate_log};
use super::connect::log_path;
use crate::clock::{Clock, Timestamp};
use crate::store::error::StoreError;
use crate::store::onboarding;
use crate::store::queue::claim::Turn;
use crate::store::queue::sender_ids::forget_expired;
use crate::store::sql::{Connection, query};
use crate::store::writing::gathering::{Gathering, refuse_appends};
use crate::store::writing::message::Mailbox;
use crate::store::writing::round::{Memory, perform};
use crate::store::writing::thread;

/// Upkeep is done this often, in microseconds.
const UPKEEP_EVERY: i64 = 60_000_000;

/// What the writer's thread is made of.
pub(crate) struct WriterParts {
    pub(crate) connection: SqliteConnection,
    pub(crate) mailbox: Mailbox,
    pub(crate) path: PathBuf,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) clock: Clock,
    pub(crate) work_arrived: Arc<Notify>,
    /// Held until the last commit.
    pub(crate) lock: File,
}

/// Starts the thread. What it returns is resolved when the thread has ended and the lock is released.
pub(crate) fn start(parts: WriterParts) -> Result<oneshot::Receiver<()>, StoreError> {
    let path = parts.path.clone();
    thread::start(|| run(parts)).map_err(|error| StoreError::CannotOpen { path, reason: error.to_string() })
}

async fn run(parts: WriterParts) {
    let WriterParts { connection, mailbox, path, max_bytes, clock, work_arrived, lock } = parts;
    let mut connection = Connection::Sqlite(connection);
    let next_row = next_row(&mut connection).await.unwrap_or(1);
    let mut memory = Memory { next_row, rows_end: i64::MAX, turn: Turn::default() };
    let mut gathering = Gathering::new(mailbox);
    let checkpoints = Checkpoints::start(&path).await;
    let mut upkeep_at = clock.now();
    while let Some(mut round) = gathering.next().await {
        if let Some(reason) = fullness(&path, max_bytes) {
            refuse_appends(&mut round, &reason);
        }
        let now = clock.now();
        if !round.is_empty() && perform(&mut connection, round, &mut memory, &clock).await.work_is_due {
            // The first wakes all that wait now, the second leaves a permit for one that is about to.
            work_arrived.notify_waiters();
            work_arrived.notify_one();
        }
        if upkeep_at <= now {
            upkeep_at = Timestamp::from_micros(now.as_micros().saturating_add(UPKEEP_EVERY));
            do_upkeep(&mut connection, now).await;
        }
        if let Connection::Sqlite(connection) = &mut connection {
            checkpoints.after_commit(connection).await;
        }
    }
    checkpoints.stop().await;
    let Connection::Sqlite(mut connection) = connection else { return };
    truncate_log(&mut connection).await;
    if let Err(error) = connection.close().await {
        tracing::warn!(error = %error, "the state file was not closed cleanly; it is whole, and checked when it is opened again");
    }
    drop(lock);
}

async fn next_row(connection: &mut Connection) -> Result<i64, StoreError> {
    query("select coalesce(max(delivery_row), 0) + 1 as next from delivery").fetch_one(connection).await?.get("next")
}

/// Why nothing more may be appended, when the state has reached 95 % of its bound.
fn fullness(path: &std::path::Path, max_bytes: Option<u64>) -> Option<String> {
    let bound = max_bytes?;
    let length = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let used = length(path) + length(&log_path(path));
    (used >= bound / 100 * 95).then(|| format!("the state holds {used} of at most {bound} bytes"))
}

async fn do_upkeep(connection: &mut Connection, now: Timestamp) {
    let done = [forget_expired(connection, now).await, onboarding::forget_old(connection, now).await];
    for error in done.into_iter().filter_map(Result::err) {
        tracing::warn!(error = %error, "upkeep of the state failed; it is tried again");
    }
}
