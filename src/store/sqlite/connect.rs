//! Connections to the state file: the one that writes, the checkpointer's, and the readers, each with the settings that
//! durability rests on, checked after they are set.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, SqliteConnection};

use crate::store::error::StoreError;

/// A read that takes longer is given up, so that the write-ahead log can be reset.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// The writing connection, with write-ahead log, full syncs and no automatic checkpoints.
pub(crate) async fn writer(path: &Path) -> Result<SqliteConnection, StoreError> {
    let mut connection = options(path).create_if_missing(true).connect().await.map_err(|error| cannot_open(path, &error))?;
    for pragma in [
        "pragma auto_vacuum = incremental",
        "pragma journal_mode = wal",
        "pragma synchronous = full",
        "pragma wal_autocheckpoint = 0",
        "pragma cache_size = -65536",
        "pragma temp_store = memory",
    ] {
        sqlx::query(pragma).execute(&mut connection).await.map_err(|error| cannot_open(path, &error))?;
    }
    let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut connection).await?;
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(&mut connection).await?;
    if mode != "wal" || synchronous != 2 {
        let reason = format!("journal_mode is `{mode}` and synchronous is `{synchronous}`, expected `wal` and `2`");
        return Err(StoreError::CannotOpen { path: path.to_owned(), reason });
    }
    Ok(connection)
}

/// The checkpointer's connection.
pub(crate) async fn checkpointer(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = options(path).pragma("wal_autocheckpoint", "0").pragma("synchronous", "full");
    options.connect().await.map_err(|error| cannot_open(path, &error))
}

/// The readers: they cannot write, and none stays open for long.
pub(crate) async fn readers(path: &Path) -> Result<SqlitePool, StoreError> {
    let options = options(path).pragma("query_only", "on").pragma("wal_autocheckpoint", "0");
    let pool = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(READ_LIMIT).test_before_acquire(false);
    pool.connect_with(options).await.map_err(|error| cannot_open(path, &error))
}

/// The name of the write-ahead log beside a state file.
pub(crate) fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(256)
        .disable_statement_logging()
}

fn cannot_open(path: &Path, error: &sqlx::Error) -> StoreError {
    StoreError::CannotOpen { path: path.to_owned(), reason: error.to_string() }
}
