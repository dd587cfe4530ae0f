//! What the writer stands on: whether there is room for more, whether the file is still the one that was opened, and whether the clock
//! has gone back.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::connect::log_path;
use crate::clock::Timestamp;
use crate::store::ballast::Ballast;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, query};

/// A clock that goes back by less is not noticed.
const SLIGHT: Duration = Duration::from_secs(2);

/// What is looked at before each round.
pub(super) struct Ground {
    path: PathBuf,
    log: PathBuf,
    max_bytes: Option<u64>,
    ballast: Ballast,
    /// Device and number of the file and of its log, as they were opened.
    opened: [Option<(u64, u64)>; 2],
    is_displaced: bool,
    /// The last moment that was seen, by both clocks.
    seen: (Timestamp, Instant),
}

impl Ground {
    pub(super) fn new(path: &Path, max_bytes: Option<u64>, now: Timestamp) -> Self {
        let log = log_path(path);
        let opened = [identity(path), identity(&log)];
        let ballast = Ballast::of(path);
        Self { path: path.to_owned(), log, max_bytes, ballast, opened, is_displaced: false, seen: (now, Instant::now()) }
    }

    /// Fails while the file that was opened is not at its place: what is written into it would be gone after the next start.
    pub(super) fn check_place(&mut self) -> Result<(), StoreError> {
        let is_displaced = [identity(&self.path), identity(&self.log)] != self.opened;
        if is_displaced != self.is_displaced {
            self.is_displaced = is_displaced;
            if is_displaced {
                tracing::error!(path = %self.path.display(), "the state file was moved, removed or replaced; nothing is accepted until it is back");
            } else {
                tracing::info!("the state file is back");
            }
        }
        if is_displaced { Err(StoreError::Displaced { path: self.path.clone() }) } else { Ok(()) }
    }

    /// Why nothing more may be appended: the disk is full, or the state has reached 95 % of its bound. Free pages of the file are room.
    pub(super) async fn fullness(&mut self, connection: &mut Connection) -> Option<String> {
        if self.ballast.is_given_up() {
            return Some("the disk is full".to_owned());
        }
        let bound = self.max_bytes?;
        let most = bound / 100 * 95;
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut used = length(&self.path) + length(&self.log);
        if used >= most {
            used = used.saturating_sub(free_bytes(connection).await.unwrap_or(0));
        }
        (used >= most).then(|| format!("the state holds {used} of at most {bound} bytes"))
    }

    /// Makes room on a disk that is full.
    pub(super) fn make_room(&mut self) {
        self.ballast.give_up();
    }

    /// By how much the clock has gone back since the last look.
    pub(super) fn clock_went_back(&mut self, now: Timestamp) -> Option<Duration> {
        let expected = self.seen.0 + self.seen.1.elapsed();
        self.seen = (now, Instant::now());
        let back = expected.since(now);
        (back > SLIGHT).then_some(back)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

async fn free_bytes(connection: &mut Connection) -> Result<u64, StoreError> {
    let sql = "select freelist_count * page_size as bytes from pragma_freelist_count, pragma_page_size";
    let bytes: i64 = query(sql).fetch_one(connection).await?.get("bytes")?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Moves whatever was to happen later to the same distance from a clock that has gone back; otherwise all of it would wait that much
/// longer.
pub(super) async fn follow_back(connection: &mut Connection, now: Timestamp, back: Duration) {
    tracing::warn!(seconds = back.as_secs(), "the clock has gone back; what waits for a moment is moved with it");
    if let Err(error) = move_back(connection, now, back).await {
        tracing::error!(%error, "what waits for a moment could not be moved with the clock");
        let _ = connection.rollback().await;
    }
}

async fn move_back(connection: &mut Connection, now: Timestamp, back: Duration) -> Result<(), StoreError> {
    let back = i64::try_from(back.as_micros()).unwrap_or(i64::MAX);
    connection.run("begin immediate").await?;
    let sql = "update lane set due_at = case when due_at > $1 then max($1, due_at - $2) else due_at end,
        retry_at = case when retry_at > $1 then max($1, retry_at - $2) else retry_at end,
        quiet_until = case when quiet_until > $1 then max($1, quiet_until - $2) else quiet_until end,
        first_at = min(first_at, $1) where due_at > $1 or retry_at > $1 or quiet_until > $1 or first_at > $1";
    query(sql).bind(now).bind(back).execute(connection).await?;
    let sql = "update pool set paused_until = max($1, paused_until - $2) where paused_until > $1";
    query(sql).bind(now).bind(back).execute(connection).await?;
    let sql =
        "update budget set tat = max(0, tat - $2), paused_until = max($1, paused_until - $2) where tat > $1 or paused_until > $1";
    query(sql).bind(now).bind(back).execute(connection).await?;
    connection.commit().await
}
