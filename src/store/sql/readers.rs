//! The connections that only read. Whoever asks waits for a limited time; what may look at many rows really ends then.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::sqlite::SqlitePool;

use super::column::Row;
use super::query::Query;
use crate::store::error::StoreError;

/// A read that takes longer is given up.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(5);

/// How many steps of SQLite's machine lie between two looks at the clock: some milliseconds.
const STEPS_BETWEEN_LOOKS: i32 = 100_000;

/// The readers of either engine.
pub(crate) enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Readers {
    /// All rows that a statement returns.
    pub(crate) async fn fetch_all(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        match tokio::time::timeout(READ_LIMIT, query.read_all(self)).await {
            Ok(rows) => Ok(rows?),
            Err(_) => Err(StoreError::TooSlow { seconds: READ_LIMIT.as_secs() }),
        }
    }

    /// The same for a statement that may look at very many rows. It ends when its time is over, whether or not somebody still waits for
    /// it, so that it holds neither a reader nor what the write-ahead log is kept for.
    pub(crate) async fn search(&self, query: Query, limit: Duration) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(pool) => {
                let searching = tokio::spawn(search_file(pool.clone(), query, limit));
                searching.await.map_err(|error| StoreError::Damaged(error.to_string()))?
            }
            // the server ends it by itself
            Self::Postgres(_) => self.fetch_all(query).await,
        }
    }

    /// Ends them.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

async fn search_file(pool: SqlitePool, query: Query, limit: Duration) -> Result<Vec<Row>, StoreError> {
    let mut connection = pool.acquire().await?;
    let until = Instant::now() + limit;
    connection.lock_handle().await?.set_progress_handler(STEPS_BETWEEN_LOOKS, move || Instant::now() < until);
    let rows = query.read_from(&mut connection).await;
    connection.lock_handle().await?.remove_progress_handler();
    match rows {
        Err(error) if error.is_interrupted() => Err(StoreError::TooSlow { seconds: limit.as_secs() }),
        rows => rows,
    }
}
