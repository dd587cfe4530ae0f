//! The partitions of raw requests, one a day, made some days ahead; what comes for a day that has none goes to the default one.

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::clock::Timestamp;
use crate::store::error::StoreError;

/// How many days ahead.
const AHEAD: i64 = 7;
/// A day in microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;

/// Makes the partitions of today and the days to come that are not there yet. Another instance may be faster.
pub(super) async fn make(connection: &mut PgConnection, now: Timestamp) -> Result<(), StoreError> {
    let today = now.as_micros() / DAY;
    for day in today..=today + AHEAD {
        if !exists(connection, day).await? {
            let made = connection.execute(sqlx::raw_sql(AssertSqlSafe(partition(day)))).await;
            made.map(drop).or_else(|error| if is_begun(&error) { Ok(()) } else { Err(error) })?;
        }
    }
    Ok(())
}

/// Whether the default partition has requests of that day already: they stay there, all of them.
fn is_begun(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "23514")
}

/// Whether a day has a partition.
pub(super) async fn exists(connection: &mut PgConnection, day: i64) -> Result<bool, StoreError> {
    let sql = "select to_regclass($1) is not null";
    Ok(sqlx::query_scalar(sql).bind(format!("delivery_raw_{day}")).fetch_one(connection).await?)
}

/// What is kept is compressed and sealed already, so that the server need not try.
fn partition(day: i64) -> String {
    format!(
        "create table if not exists delivery_raw_{day} partition of delivery_raw for values from ({day}) to ({});
        alter table delivery_raw_{day} alter column sealed set storage external",
        day + 1
    )
}
