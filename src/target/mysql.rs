//! MySQL and MariaDB: connecting with a session that rounds and cuts nothing, and running statements.

use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlRow};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _};
use sqlx::{MySqlConnection, Row as _, TypeInfo as _, ValueRef as _};

use super::dialect::Dialect;
use super::limits::Limits;
use super::stored::Stored;
use super::{our_tables, unreachable};

/// Connects and makes our three tables where they are not there. Fails with words that never hold the URL.
pub(super) async fn connect(url: &str, limits: Limits) -> Result<MySqlConnection, String> {
    let url = url.strip_prefix("mariadb:").map_or_else(|| url.to_owned(), |rest| format!("mysql:{rest}"));
    let options = MySqlConnectOptions::from_str(&url).map_err(|error| error.to_string())?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err("its URL names no database: `mysql://USER:PASSWORD@HOST/DATABASE`".to_owned());
    }
    let options = options.pipes_as_concat(false).no_engine_substitution(false).statement_cache_capacity(512);
    let mut connection =
        options.disable_statement_logging().connect().await.map_err(|error| unreachable::reason(Dialect::Mysql, &url, &error))?;
    run_script(&mut connection, &session(limits)).await.map_err(|error| error.to_string())?;
    if !our_tables_are_there(&mut connection).await.map_err(|error| error.to_string())? {
        for statement in our_tables::statements(Dialect::Mysql) {
            let made = run_script(&mut connection, statement).await;
            made.map_err(|error| our_tables::cannot_make(Dialect::Mysql, &error))?;
        }
    }
    Ok(connection)
}

/// What does not fit fails, moments are in UTC, and a look sees what is committed, not what was when the transaction began. What we
/// have given up on must not hold its locks for ever; that is a comment to MySQL, which knows neither limit.
fn session(limits: Limits) -> String {
    format!(
        "set session sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
         NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', foreign_key_checks = 1, unique_checks = 1
         /*M!100300 , max_statement_time = {statement}, idle_transaction_timeout = {statement} */;
         set session transaction isolation level read committed; {}",
        wait_for_locks(limits.lock),
        statement = limits.statement.as_secs()
    )
}

/// How long the session waits for a lock, in whole seconds.
pub(super) fn wait_for_locks(timeout: Duration) -> String {
    format!("set session innodb_lock_wait_timeout = {}", timeout.as_secs().max(1))
}

async fn our_tables_are_there(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    let sql = "select count(*) from information_schema.tables where table_schema = database()
               and table_name in ('hooktable_applied', 'hooktable_lane', 'hooktable_version')";
    let present: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(present == 3)
}

/// Runs a statement; says how many rows it changed or found as they should be.
pub(super) async fn execute(connection: &mut MySqlConnection, sql: &str, values: Vec<Stored>) -> sqlx::Result<u64> {
    let done = sqlx::query_with(AssertSqlSafe(sql), arguments(values)?).execute(connection).await?;
    Ok(done.rows_affected())
}

/// Runs a statement; says what it told by `last_insert_id(…)`, 0 when it told nothing.
pub(super) async fn execute_and_hear(connection: &mut MySqlConnection, sql: &str, values: Vec<Stored>) -> sqlx::Result<u64> {
    let done = sqlx::query_with(AssertSqlSafe(sql), arguments(values)?).execute(connection).await?;
    Ok(done.last_insert_id())
}

/// Runs a query and reads all its rows.
pub(super) async fn fetch(connection: &mut MySqlConnection, sql: &str, values: Vec<Stored>) -> sqlx::Result<Vec<Vec<Stored>>> {
    let rows = sqlx::query_with(AssertSqlSafe(sql), arguments(values)?).fetch_all(connection).await?;
    rows.iter().map(|row| (0..row.len()).map(|index| stored(row, index)).collect()).collect()
}

/// Runs a script of several statements, or one that cannot be prepared.
pub(super) async fn run_script(connection: &mut MySqlConnection, script: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(script)).execute(connection).await.map(drop)
}

fn arguments(values: Vec<Stored>) -> sqlx::Result<MySqlArguments> {
    let mut arguments = MySqlArguments::default();
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

fn stored(row: &MySqlRow, index: usize) -> sqlx::Result<Stored> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(Stored::Null);
    }
    let type_info = value.type_info();
    match type_info.name() {
        name if name.contains("UNSIGNED") => {
            let number: u64 = row.try_get_unchecked(index)?;
            Ok(i64::try_from(number).map_or_else(|_| Stored::Text(number.to_string()), Stored::Integer))
        }
        name if name.contains("INT") || name == "BOOLEAN" => row.try_get_unchecked(index).map(Stored::Integer),
        name if name.contains("BLOB") || name.contains("BINARY") => row.try_get_unchecked(index).map(Stored::Bytes),
        _ => row.try_get_unchecked(index).map(Stored::Text),
    }
}
