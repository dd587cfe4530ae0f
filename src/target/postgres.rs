//! PostgreSQL: connecting, and running statements whose parameters all are texts that the statement casts.

use std::str::FromStr;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _};
use sqlx::{PgConnection, Row as _, TypeInfo as _, ValueRef as _};

use super::dialect::Dialect;
use super::limits::Limits;
use super::stored::Stored;
use super::{our_tables, unreachable};

/// Connects and makes our three tables where they are not there. Fails with words that never hold the URL.
pub(super) async fn connect(url: &str, limits: Limits) -> Result<PgConnection, String> {
    let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
    let options = options.application_name("hooktable").statement_cache_capacity(512).disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| unreachable::reason(Dialect::Postgres, url, &error))?;
    let session = session(limits);
    run_script(&mut connection, &session).await.map_err(|error| error.to_string())?;
    if our_tables_are_there(&mut connection).await.map_err(|error| error.to_string())? {
        return Ok(connection);
    }
    let mut made = make_our_tables(&mut connection).await;
    if made.is_err() && our_tables_are_there(&mut connection).await.unwrap_or(false) {
        // another instance made them at the same moment
        made = Ok(());
    }
    made.map_err(|error| our_tables::cannot_make(Dialect::Postgres, &error))?;
    Ok(connection)
}

/// What texts mean and how they are written must not depend on how the server or the role is set up. What we have given up on must not
/// hold its locks for ever.
fn session(limits: Limits) -> String {
    format!(
        "set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'iso_8601'; set bytea_output = 'hex';
         set extra_float_digits = 1; set standard_conforming_strings = on; set lock_timeout = {};
         set client_min_messages = warning; set xmloption = content;
         select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off';
         select set_config(name, '{statement}', false) from pg_settings
         where name in ('statement_timeout', 'idle_in_transaction_session_timeout') and setting::bigint not between 1 and {statement}",
        limits.lock.as_millis(),
        statement = limits.statement.as_millis()
    )
}

async fn our_tables_are_there(connection: &mut PgConnection) -> sqlx::Result<bool> {
    for name in our_tables::NAMES {
        let there: bool = sqlx::query_scalar("select to_regclass($1) is not null").bind(name).fetch_one(&mut *connection).await?;
        if !there {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn make_our_tables(connection: &mut PgConnection) -> sqlx::Result<()> {
    for statement in our_tables::statements(Dialect::Postgres) {
        run_script(connection, statement).await?;
    }
    Ok(())
}

/// Runs a statement; says how many rows it changed.
pub(super) async fn execute(connection: &mut PgConnection, sql: &str, values: Vec<Stored>) -> sqlx::Result<u64> {
    let done = sqlx::query_with(AssertSqlSafe(sql), arguments(values)?).execute(connection).await?;
    Ok(done.rows_affected())
}

/// Runs a query and reads all its rows.
pub(super) async fn fetch(connection: &mut PgConnection, sql: &str, values: Vec<Stored>) -> sqlx::Result<Vec<Vec<Stored>>> {
    let rows = sqlx::query_with(AssertSqlSafe(sql), arguments(values)?).fetch_all(connection).await?;
    rows.iter().map(|row| (0..row.len()).map(|index| stored(row, index)).collect()).collect()
}

/// Runs a script of several statements.
pub(super) async fn run_script(connection: &mut PgConnection, script: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(script)).execute(connection).await.map(drop)
}

/// All texts, so that a prepared statement fits whatever the values are.
fn arguments(values: Vec<Stored>) -> sqlx::Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in values {
        let text = match value {
            Stored::Bytes(bytes) => Some(format!("\\x{}", hex::encode(bytes))),
            other => other.into_text(),
        };
        arguments.add(text).map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn stored(row: &PgRow, index: usize) -> sqlx::Result<Stored> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(Stored::Null);
    }
    match value.type_info().name() {
        "BOOL" => row.try_get::<bool, _>(index).map(|truth| Stored::Integer(i64::from(truth))),
        "INT2" => row.try_get::<i16, _>(index).map(|number| Stored::Integer(i64::from(number))),
        "INT4" => row.try_get::<i32, _>(index).map(|number| Stored::Integer(i64::from(number))),
        "INT8" => row.try_get(index).map(Stored::Integer),
        "BYTEA" => row.try_get(index).map(Stored::Bytes),
        _ => row.try_get(index).map(Stored::Text),
    }
}
