//! Connections to the state file: the one that writes, the checkpointer's, and the readers, each with the settings that
//! durability rests on, checked after they are set.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, SqliteConnection};

use crate::store::error::StoreError;
use crate::store::sql::READ_LIMIT;

const READERS: u32 = 4;
/// How many statements the writer keeps prepared: those for many rows have some fifteen forms each.
const STATEMENTS: usize = 500;
/// The oldest SQLite that this rests on.
const LEAST_VERSION: [u32; 3] = [3, 51, 3];

/// The writing connection, with write-ahead log, full syncs and no automatic checkpoints.
pub(crate) async fn writer(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = options(path).create_if_missing(true).statement_cache_capacity(STATEMENTS);
    let mut connection = options.connect().await.map_err(|error| cannot_open(path, &error))?;
    let version: String = sqlx::query_scalar("select sqlite_version()").fetch_one(&mut connection).await?;
    if !is_recent(&version) {
        let reason = format!(
            "this program was built with SQLite {version}, expected {} at least",
            LEAST_VERSION.map(|part| part.to_string()).join(".")
        );
        return Err(StoreError::CannotOpen { path: path.to_owned(), reason });
    }
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

/// The readers: they cannot write.
pub(crate) async fn readers(path: &Path) -> Result<SqlitePool, StoreError> {
    let options = options(path).pragma("query_only", "on").pragma("wal_autocheckpoint", "0");
    let pool = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(READ_LIMIT).test_before_acquire(false);
    pool.connect_with(options).await.map_err(|error| cannot_open(path, &error))
}

/// Whether it is not older than what this rests on.
fn is_recent(version: &str) -> bool {
    let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    parts.as_slice() >= LEAST_VERSION.as_slice()
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

#[cfg(test)]
mod tests {
    use super::is_recent;

    #[test]
    fn an_older_library_is_told_from_a_newer_one() {
        assert_eq!(
            ["3.51.3", "3.52.0", "4.0.0", "3.51.2", "3.9.9", "none"].map(is_recent),
            [true, true, true, false, false, false]
        );
    }
}
