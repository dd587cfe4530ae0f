//! SQLite: opening a file, running statements, and its storage classes.

use std::path::Path;
use std::str::FromStr;

use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _};
use sqlx::{Row as _, SqliteConnection, TypeInfo as _, ValueRef as _};

use super::dialect::Dialect;
use super::limits::Limits;
use super::our_tables;
use super::stored::Stored;

/// Opens a database file, makes it and its folder when they are not there, and puts our three tables into it. Fails with
/// words that never hold the URL's parameters.
pub(super) async fn connect(url: &str, limits: Limits) -> Result<SqliteConnection, String> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err("a database in memory would be lost; give a file: `sqlite://data/tables.db`".to_owned());
    }
    let mut options = SqliteConnectOptions::from_str(url).map_err(|error| error.to_string())?;
    let file = options.get_filename().to_owned();
    if !url.contains("mode=") {
        options = options.create_if_missing(true);
        create_folder(&file).await?;
    }
    if !tokio::fs::try_exists(&file).await.unwrap_or(true) {
        options = options.journal_mode(SqliteJournalMode::Wal);
    }
    let options = options.busy_timeout(limits.lock).statement_cache_capacity(512).disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| error.to_string())?;
    create_our_tables(&mut connection).await.map_err(|error| error.to_string())?;
    Ok(connection)
}

async fn create_folder(file: &Path) -> Result<(), String> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => tokio::fs::create_dir_all(folder)
            .await
            .map_err(|error| format!("the folder `{}` cannot be made: {error}", folder.display())),
        _ => Ok(()),
    }
}

async fn create_our_tables(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    if our_tables_are_there(connection).await? {
        return Ok(());
    }
    let mut transaction = connection.begin_with("begin immediate").await?;
    for table in our_tables::statements(Dialect::Sqlite) {
        sqlx::query(table).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

async fn our_tables_are_there(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    let sql = "select count(*) from sqlite_schema where name in ('hooktable_applied', 'hooktable_lane', 'hooktable_version')";
    let present: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(present == 3)
}

/// Runs a statement; says how many rows it changed.
pub(super) async fn execute(connection: &mut SqliteConnection, sql: &str, values: Vec<Stored>) -> sqlx::Result<u64> {
    let done = sqlx::query_with(AssertSqlSafe(sql), arguments(values)?).execute(connection).await?;
    Ok(done.rows_affected())
}

/// Runs a query and reads all its rows.
pub(super) async fn fetch(connection: &mut SqliteConnection, sql: &str, values: Vec<Stored>) -> sqlx::Result<Vec<Vec<Stored>>> {
    let rows = sqlx::query_with(AssertSqlSafe(sql), arguments(values)?).fetch_all(connection).await?;
    rows.iter().map(|row| (0..row.len()).map(|index| stored(row, index)).collect()).collect()
}

/// Runs a script of several statements.
pub(super) async fn run_script(connection: &mut SqliteConnection, script: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(script)).execute(connection).await.map(drop)
}

fn arguments(values: Vec<Stored>) -> sqlx::Result<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Stored::Null => arguments.add(None::<String>),
            Stored::Integer(number) => arguments.add(number),
            Stored::Real(number) => arguments.add(number),
            Stored::Text(text) => arguments.add(text),
            Stored::Bytes(bytes) => arguments.add(bytes),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn stored(row: &SqliteRow, index: usize) -> sqlx::Result<Stored> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(Stored::Null);
    }
    match value.type_info().name() {
        "INTEGER" => row.try_get_unchecked(index).map(Stored::Integer),
        "REAL" => row.try_get_unchecked(index).map(Stored::Real),
        "BLOB" => row.try_get_unchecked(index).map(Stored::Bytes),
        _ => row.try_get_unchecked(index).map(Stored::Text),
    }
}
