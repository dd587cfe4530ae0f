//! The one thread that writes the state: it gathers what waits into rounds, one after the other, until it is told to stop. After a
//! failed fsync it stops by itself, for nobody knows what is on the disk then.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::SqliteConnection;
use tokio::sync::Notify;

use super::checkpoint::{Checkpoints, truncate_log};
use super::ground::Ground;
use crate::clock::{Clock, Timestamp};
use crate::store::error::StoreError;
use crate::store::onboarding;
use crate::store::sql::{Connection, query};
use crate::store::writing::gathering::{Gathering, next_round, refuse_appends};
use crate::store::writing::message::Mailbox;
use crate::store::writing::round::{Ending, Memory, Round, perform};
use crate::store::writing::thread::{self, End};

/// Upkeep is done this often.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

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

/// Starts the thread.
pub(crate) fn start(parts: WriterParts) -> Result<End, StoreError> {
    let path = parts.path.clone();
    thread::start(|| run(parts)).map_err(|error| StoreError::CannotOpen { path, reason: error.to_string() })
}

async fn run(parts: WriterParts) -> Result<(), String> {
    let WriterParts { connection, mailbox, path, max_bytes, clock, work_arrived, lock } = parts;
    let mut connection = Connection::Sqlite(connection);
    // begun at another number, everything that comes would be refused
    let next_row = next_row(&mut connection).await.map_err(|error| error.to_string())?;
    let memory = Memory { next_row, rows_end: i64::MAX, ..Memory::default() };
    let ground = Ground::new(&path, max_bytes);
    let checkpoints = Checkpoints::start(&path).await;
    let mut writer = Writer { connection, memory, ground, clock, work_arrived, upkeep_at: Timestamp::from_micros(0) };
    let ended = writer.write(Gathering::new(mailbox), &checkpoints).await;
    checkpoints.stop().await;
    if ended.is_err() {
        // closing would copy into the file what may never have reached the disk; the next start reads what did
        std::mem::forget(writer.connection);
        return ended;
    }
    let Connection::Sqlite(mut connection) = writer.connection else { return Ok(()) };
    let _ = truncate_log(&mut connection).await;
    if let Err(error) = connection.close().await {
        tracing::warn!(error = %error, "the state file was not closed cleanly; it is whole, and checked when it is opened again");
    }
    drop(lock);
    Ok(())
}

struct Writer {
    connection: Connection,
    memory: Memory,
    ground: Ground,
    clock: Clock,
    work_arrived: Arc<Notify>,
    upkeep_at: Timestamp,
}

impl Writer {
    /// Round after round; fails when nothing may be written any more.
    async fn write(&mut self, mut gathering: Gathering, checkpoints: &Checkpoints) -> Result<(), String> {
        let mut kept = Vec::new();
        self.upkeep_at = self.clock.now();
        loop {
            let round = tokio::select! {
                round = next_round(&mut gathering, &mut kept) => round,
                reason = checkpoints.lost_sync() => return Err(reason),
            };
            let Some(mut round) = round else { return Ok(()) };
            if let Err(error) = self.ground.check_place() {
                round.fail(&error, &mut kept);
                continue;
            }
            if let Some(reason) = self.ground.fullness(&mut self.connection).await {
                refuse_appends(&mut round, &reason);
            }
            kept = self.perform(round).await?;
            let now = self.clock.now();
            // one that is due later than that is from before the clock went back
            if self.upkeep_at <= now || self.upkeep_at > now + UPKEEP_EVERY {
                self.upkeep_at = now + UPKEEP_EVERY;
                do_upkeep(&mut self.connection, now).await;
            }
            if let Connection::Sqlite(connection) = &mut self.connection {
                checkpoints.after_commit(connection).await;
            }
        }
    }

    /// Does a round; the ends of claims that are to be tried again.
    async fn perform(&mut self, round: Round) -> Result<Vec<Ending>, String> {
        if round.is_empty() {
            return Ok(Vec::new());
        }
        let performed = perform(&mut self.connection, round, &mut self.memory, &self.clock).await;
        if performed.work_is_due {
            // The first wakes all that wait now, the second leaves a permit for one that is about to.
            self.work_arrived.notify_waiters();
            self.work_arrived.notify_one();
        }
        match performed.error {
            Some(error) if error.lost_sync() => Err(error.to_string()),
            Some(error) if error.is_full() => {
                self.ground.make_room();
                Ok(performed.open)
            }
            _ => Ok(performed.open),
        }
    }
}

async fn next_row(connection: &mut Connection) -> Result<i64, StoreError> {
    query("select coalesce(max(delivery_row), 0) + 1 as next from delivery").fetch_one(connection).await?.get("next")
}

async fn do_upkeep(connection: &mut Connection, now: Timestamp) {
    if let Err(error) = onboarding::forget_old(connection, now).await {
        tracing::warn!(error = %error, "upkeep of the state failed; it is tried again");
    }
}
