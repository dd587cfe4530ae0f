//! The one thread that writes the state: it gathers what waits into rounds, one after the other, until it is told to stop.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Notify, oneshot};

use super::checkpoint::{Checkpoints, truncate_log};
use super::connect::log_path;
use super::message::{AppendMessage, Mailbox, Work};
use super::round::{Memory, Round, perform};
use super::sender_ids::forget_expired;
use crate::clock::{Clock, Timestamp};
use crate::store::error::{AppendError, StoreError};
use crate::store::onboarding;

/// The most deliveries and bytes in one batch, and the most other messages in one round.
const BATCH_APPENDS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
const BATCH_WORK: usize = 256;
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
    let (ended, end) = oneshot::channel();
    let failed = |path: PathBuf| move |error: std::io::Error| StoreError::CannotOpen { path, reason: error.to_string() };
    let path = parts.path.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed(path.clone()))?;
    let body = move || {
        let alarm = Alarm;
        runtime.block_on(run(parts));
        std::mem::forget(alarm);
        let _ = ended.send(());
    };
    std::thread::Builder::new().name("state-writer".into()).spawn(body).map_err(failed(path))?;
    Ok(end)
}

/// Says so when the thread dies; callers see their messages dropped and are refused from then on.
struct Alarm;

impl Drop for Alarm {
    fn drop(&mut self) {
        tracing::error!("the state writer has died; nothing is accepted any more");
    }
}

async fn run(parts: WriterParts) {
    let WriterParts { mut connection, mailbox, path, max_bytes, clock, work_arrived, lock } = parts;
    let mut memory = Memory { next_row: next_row(&mut connection).await.unwrap_or(1), last_pool: 0 };
    let mut gathering = Gathering { mailbox, held_back: VecDeque::new() };
    let checkpoints = Checkpoints::start(&path).await;
    let mut upkeep_at = clock.now();
    while let Some(mut round) = gathering.next().await {
        if let Some(reason) = fullness(&path, max_bytes) {
            refuse_appends(&mut round, &reason);
        }
        let now = clock.now();
        if !round.is_empty() && perform(&mut connection, round, &mut memory, now).await {
            // The first wakes all that wait now, the second leaves a permit for one that is about to.
            work_arrived.notify_waiters();
            work_arrived.notify_one();
        }
        if upkeep_at <= now {
            upkeep_at = Timestamp::from_micros(now.as_micros().saturating_add(UPKEEP_EVERY));
            do_upkeep(&mut connection, now).await;
        }
        checkpoints.after_commit(&mut connection).await;
    }
    checkpoints.stop().await;
    truncate_log(&mut connection).await;
    if let Err(error) = connection.close().await {
        tracing::warn!(error = %error, "the state file was not closed cleanly; it is whole, and checked when it is opened again");
    }
    drop(lock);
}

/// Takes what waits out of the mailbox, a round's worth at a time.
struct Gathering {
    mailbox: Mailbox,
    held_back: VecDeque<AppendMessage>,
}

impl Gathering {
    /// The next round, or none when there will be no more.
    async fn next(&mut self) -> Option<Round> {
        let mut round = Round::default();
        let mut bytes = 0;
        if self.held_back.is_empty() {
            tokio::select! {
                biased;
                Some(message) = self.mailbox.appends.recv() => self.held_back.push_back(message),
                Some(work) = self.mailbox.work.recv() => self.sort(work, &mut round),
                else => return None,
            }
        }
        while round.appends.len() < BATCH_APPENDS && bytes < BATCH_BYTES {
            let Some(message) = self.held_back.pop_front().or_else(|| self.mailbox.appends.try_recv().ok()) else { break };
            if bytes > 0 && bytes + message.weight > BATCH_BYTES {
                self.held_back.push_front(message);
                break;
            }
            self.mailbox.queued_bytes.fetch_sub(message.weight, Ordering::Relaxed);
            bytes += message.weight;
            if !message.answer.is_closed() {
                round.appends.push(message);
            }
        }
        for _ in 0..BATCH_WORK {
            let Ok(work) = self.mailbox.work.try_recv() else { break };
            self.sort(work, &mut round);
        }
        Some(round)
    }

    fn sort(&mut self, work: Work, round: &mut Round) {
        match work {
            Work::Close(closing, answer) => round.closings.push((closing, answer)),
            Work::Claim(wanted, answer) => {
                // Lanes must not be leased to someone who has gone away.
                if !answer.is_closed() {
                    round.claims.push((wanted, answer));
                }
            }
            Work::Job(job) => round.jobs.push(job),
            Work::Stop => {
                self.mailbox.appends.close();
                self.mailbox.work.close();
            }
        }
    }
}

async fn next_row(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("select coalesce(max(delivery_row), 0) + 1 from delivery").fetch_one(connection).await?)
}

/// Why nothing more may be appended, when the state has reached 95 % of its bound.
fn fullness(path: &std::path::Path, max_bytes: Option<u64>) -> Option<String> {
    let bound = max_bytes?;
    let length = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let used = length(path) + length(&log_path(path));
    (used >= bound / 100 * 95).then(|| format!("the state holds {used} of at most {bound} bytes"))
}

fn refuse_appends(round: &mut Round, reason: &str) {
    for message in round.appends.drain(..) {
        let _ = message.answer.send(Err(AppendError::Unavailable { reason: reason.to_owned() }));
    }
}

async fn do_upkeep(connection: &mut SqliteConnection, now: Timestamp) {
    let done = [forget_expired(connection, now).await, onboarding::forget_old(connection, now).await];
    for error in done.into_iter().filter_map(Result::err) {
        tracing::warn!(error = %error, "upkeep of the state failed; it is tried again");
    }
}
