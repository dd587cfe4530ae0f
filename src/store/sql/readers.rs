//! The connections that only read. None stays open for long.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::sqlite::SqlitePool;

use super::column::Row;
use super::query::Query;
use crate::store::error::StoreError;

/// A read that takes longer is given up, so that nothing waits for what it holds.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(5);

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

    /// Ends them.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}
