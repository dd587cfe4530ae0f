//! Checkpoints, off the commit path: a connection of their own copies the log into the file while commits go on. Only when
//! the log has grown far past that does the writer itself stop to empty it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::connect;
use crate::store::error::StoreError;

/// In pages of 4 KiB: the log is copied at 16 MiB and emptied above 64 MiB.
const COPY_PAGES: i64 = 4096;
const EMPTY_PAGES: i64 = 16384;
/// How often the log is looked at while there are commits; one such pause without a commit counts as idle.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The writer's side of the checkpointer.
pub(crate) struct Checkpoints {
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    committed: Notify,
    commits: AtomicI64,
    log_pages: AtomicI64,
    copying: AtomicBool,
    /// Why what was copied may not be on the disk.
    lost_sync: watch::Sender<Option<String>>,
}

/// The log's length and how much of it is in the file already, in pages.
struct LogState {
    pages: i64,
    copied: i64,
}

impl Checkpoints {
    /// Starts the checkpointer on the writer's runtime; its statements run on a thread of their own.
    pub(crate) async fn start(path: &Path) -> Self {
        let shared = Arc::new(Shared::default());
        let task = match connect::checkpointer(path).await {
            Ok(connection) => Some(tokio::spawn(look_after(connection, Arc::clone(&shared)))),
            Err(error) => {
                tracing::error!(error = %error, "there is no checkpointer; the log is emptied by the writer alone");
                None
            }
        };
        Self { shared, task }
    }

    /// Called after each round; empties the log when it has become too long.
    pub(crate) async fn after_commit(&self, connection: &mut SqliteConnection) {
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.shared.committed.notify_one();
        let too_long = self.shared.log_pages.load(Ordering::Relaxed) >= EMPTY_PAGES;
        if too_long && !self.shared.copying.load(Ordering::Acquire) {
            if let Some(reason) = truncate_log(connection).await {
                self.shared.lost_sync.send_replace(Some(reason));
            }
            self.shared.log_pages.store(0, Ordering::Relaxed);
        }
    }

    /// Resolved when what was copied may not be on the disk, and why.
    pub(crate) async fn lost_sync(&self) -> String {
        let mut lost = self.shared.lost_sync.subscribe();
        match lost.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(reason)) => reason.clone(),
            _ => std::future::pending().await,
        }
    }

    /// Ends the checkpointer.
    pub(crate) async fn stop(self) {
        if let Some(task) = self.task {
            task.abort();
            let _ = task.await;
        }
    }
}

/// Copies the whole log and empties its file; readers in its way make it wait, and then it is left for the next time. Says why, if
/// what it copied may not be on the disk.
pub(crate) async fn truncate_log(connection: &mut SqliteConnection) -> Option<String> {
    let error = checkpoint(connection, "pragma wal_checkpoint(truncate)").await.err()?;
    tracing::warn!(error = %error, "the state's log could not be emptied");
    error.lost_sync().then(|| error.to_string())
}

async fn look_after(mut connection: SqliteConnection, shared: Arc<Shared>) {
    loop {
        shared.committed.notified().await;
        let before = shared.commits.load(Ordering::Relaxed);
        tokio::time::sleep(LOOK_EVERY).await;
        let idle = shared.commits.load(Ordering::Relaxed) == before;
        if !idle {
            shared.committed.notify_one();
        }
        if let Err(error) = look(&mut connection, &shared, idle).await {
            if error.lost_sync() {
                // the next try would succeed, for the system has forgotten what it could not write
                shared.lost_sync.send_replace(Some(error.to_string()));
                return;
            }
            tracing::warn!(error = %error, "a checkpoint failed; it is tried again");
            let _ = connection.ping().await;
        }
    }
}

async fn look(connection: &mut SqliteConnection, shared: &Shared, idle: bool) -> Result<(), StoreError> {
    let mut log = checkpoint(connection, "pragma wal_checkpoint(noop)").await?;
    if log.pages - log.copied >= COPY_PAGES || (idle && log.pages > log.copied) {
        shared.copying.store(true, Ordering::Release);
        let copied = checkpoint(connection, "pragma wal_checkpoint(passive)").await;
        shared.copying.store(false, Ordering::Release);
        log = copied?;
    }
    shared.log_pages.store(log.pages, Ordering::Relaxed);
    Ok(())
}

async fn checkpoint(connection: &mut SqliteConnection, pragma: &'static str) -> Result<LogState, StoreError> {
    let row = sqlx::query(pragma).fetch_one(connection).await?;
    Ok(LogState { pages: row.try_get(1)?, copied: row.try_get(2)? })
}
