//! Days of raw requests that have been kept long enough go whole. The few that stay, because a record or forward of theirs is open, dead or asked
//! to run again, are copied forward to the partition of what has no day of its own; where they are many, the day stays and the others
//! of it go one by one.

use std::collections::VecDeque;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use super::days::{DAY, exists};
use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, query};
use crate::store::state::Store;

/// The most requests, and bytes of them, that are copied.
const COPIED: i64 = 500;
const COPIED_BYTES: i64 = 4 << 20;
/// With more open and dead records than this, finding those of a day would take too long.
const SEARCHED: i64 = 20_000;

/// Deliveries that keep their requests.
macro_rules! kept {
    () => {
        "select delivery_row from record where state = 0 union all select delivery_row from record where state = 4
        union all select delivery_row from record where asked > 0
        union all select r.delivery_row from forward_job j join record r on r.id = j.record_id where j.state = 0
        union all select r.delivery_row from forward_job j join record r on r.id = j.record_id where j.state = 4"
    };
}

/// The days that have partitions and lie before a moment entirely, the oldest first. None where the state is a file.
pub(crate) async fn all(store: &Store, before: Timestamp) -> Result<VecDeque<i64>, StoreError> {
    if !store.is_shared() {
        return Ok(VecDeque::new());
    }
    let sql = "select c.relname::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'delivery_raw'::regclass";
    let mut days = Vec::new();
    for row in store.read(query(sql)).await? {
        let day: Option<i64> = row.get::<&str>("name")?.strip_prefix("delivery_raw_").and_then(|day| day.parse().ok());
        days.extend(day.filter(|day| (day + 1) * DAY <= before.as_micros()));
    }
    days.sort_unstable();
    Ok(days.into())
}

/// Removes a day; false when too much of it stays. A refusal means that it is in use.
pub(crate) async fn remove(store: &Store, day: i64) -> Result<bool, StoreError> {
    let removing = store.writer().run(move |connection, _| Box::pin(remove_day(connection, day)));
    removing.await.map_err(|error| if error.is_lock_timeout() { in_use(day) } else { error })
}

fn in_use(day: i64) -> StoreError {
    StoreError::Refused(format!("the requests of day {day} are in use"))
}

async fn remove_day(connection: &mut Connection, day: i64) -> Result<bool, StoreError> {
    if count_kept(connection).await? > SEARCHED {
        return Ok(false);
    }
    let Connection::Postgres(connection) = connection else { return Ok(false) };
    let connection = &mut connection.inner;
    if !exists(connection, day).await? || !is_little(connection, day).await? {
        return Ok(false);
    }
    // whoever reads or writes requests now is waited for, but not so long that deliveries are held up
    run(connection, "set local lock_timeout = '100ms'".to_owned()).await?;
    run(connection, format!("alter table delivery_raw detach partition delivery_raw_{day}")).await?;
    // once more, now that nobody else can ask for any of them
    if !is_little(connection, day).await? {
        return Err(in_use(day));
    }
    run(connection, copy(day)).await?;
    run(connection, format!("drop table delivery_raw_{day}; set local lock_timeout = 0")).await?;
    Ok(true)
}

async fn count_kept(connection: &mut Connection) -> Result<i64, StoreError> {
    let sql = concat!("select count(*) as count from (", kept!(), " limit $1) kept");
    query(sql).bind(SEARCHED + 1).fetch_one(connection).await?.get("count")
}

/// Whether what stays of a day is little enough to be copied.
async fn is_little(connection: &mut PgConnection, day: i64) -> Result<bool, StoreError> {
    let sql = format!(
        "select count(*) as count, coalesce(sum(octet_length(sealed)), 0)::bigint as bytes from delivery_raw_{day}
        where received_on = {day} and delivery_row in ({})",
        kept!()
    );
    let row = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    Ok(row.try_get::<i64, _>("count")? <= COPIED && row.try_get::<i64, _>("bytes")? <= COPIED_BYTES)
}

/// They keep their day, so that they are found as before.
fn copy(day: i64) -> String {
    format!(
        "insert into delivery_raw (received_on, delivery_row, key_id, sealed)
        select received_on, delivery_row, key_id, sealed from delivery_raw_{day} where received_on = {day} and delivery_row in ({})",
        kept!()
    )
}

async fn run(connection: &mut PgConnection, text: String) -> Result<(), StoreError> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await?;
    Ok(())
}
