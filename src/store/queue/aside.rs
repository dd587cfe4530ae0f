//! Records that have failed for so long that others may pass. They stay open but stand in no line until it is time for their next
//! attempt; then they go to the ends of all their lanes, in one transaction, as if they had just come.

use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::queue::lane_rows::hold_lanes;
use crate::store::sql::{Connection, Row, Texts, fixed, query, with_numbers};
use crate::store::state::Store;

/// Positions from here on are of those that stand in no line; each adds its id.
pub(crate) const BEYOND: i64 = 1 << 62;
/// The most that come back in one transaction.
const AT_A_TIME: i64 = 50;

/// One that comes back.
struct Returning {
    id: i64,
    lane_id: i64,
}

/// Brings back those whose time has come, some at a time; whether there were any.
pub(crate) async fn bring_back(store: &Store) -> Result<bool, StoreError> {
    let sql = "select 1 from record r join pool p on p.pool_id = r.pool_id
        where r.aside_until <= $1 and p.readmit_after is null limit 1";
    if store.read_first(query(sql).bind(store.clock().now())).await?.is_none() {
        return Ok(false);
    }
    store.writer().run_and_wake(|connection, now| Box::pin(bring_some_back(connection, now))).await
}

async fn bring_some_back(connection: &mut Connection, now: Timestamp) -> Result<bool, StoreError> {
    let ids = ready(connection, now).await?;
    if ids.is_empty() {
        return Ok(false);
    }
    if connection.is_shared() {
        let hashes = lanes_of(connection, ids.clone()).await?;
        hold_lanes(connection, hashes.into_iter()).await?;
    }
    for one in still_aside(connection, ids).await? {
        let position = stand_in_line(connection, one.lane_id, 0, now).await?;
        let sql = "update record set pos = $1, aside_until = null where id = $2";
        query(sql).bind(position).bind(one.id).execute(connection).await?;
        for lane_id in gate_lanes(connection, one.id).await? {
            let position = stand_in_line(connection, lane_id, 1, now).await?;
            let sql = "update gate set pos = $1 where record_id = $2 and lane_id = $3";
            query(sql).bind(position).bind(one.id).bind(lane_id).execute(connection).await?;
        }
    }
    Ok(true)
}

/// Where others share the state, a pool whose records are being moved is left alone, and stays what it is until the commit.
async fn ready(connection: &mut Connection, now: Timestamp) -> Result<Vec<i64>, StoreError> {
    macro_rules! text {
        ($lock:literal) => {
            concat!(
                "select r.id from record r join pool p on p.pool_id = r.pool_id
                where r.aside_until <= $1 and p.readmit_after is null order by r.aside_until limit $2",
                $lock
            )
        };
    }
    const READY: Texts = Texts { sqlite: text!(""), postgres: text!(" for share of p skip locked") };
    let rows = query(READY).bind(now).bind(AT_A_TIME).fetch_all(connection).await?;
    rows.iter().map(|row| row.get("id")).collect()
}

/// The hashes of the lanes of records and of their gates.
async fn lanes_of(connection: &mut Connection, records: Vec<i64>) -> Result<Vec<[u8; 16]>, StoreError> {
    let sql = "select l.hash from record r join lane l on l.lane_id = r.lane_id where r.id = any($1)
        union select l.hash from gate g join lane l on l.lane_id = g.lane_id where g.record_id = any($1)";
    let rows = query(sql).bind(records).fetch_all(connection).await?;
    rows.iter().map(|row| fixed(row.get("hash")?, "a lane's hash")).collect()
}

/// What has come back or been given up meanwhile is left out; in the order they came.
async fn still_aside(connection: &mut Connection, records: Vec<i64>) -> Result<Vec<Returning>, StoreError> {
    macro_rules! text {
        ($records:literal) => {
            concat!(
                "select id, lane_id from record where id in (select value from ",
                $records,
                " given) and state = 0 and aside_until is not null order by id"
            )
        };
    }
    let returning = |row: &Row| Ok(Returning { id: row.get("id")?, lane_id: row.get("lane_id")? });
    query(with_numbers!(text)).bind(records).fetch_all(connection).await?.iter().map(returning).collect()
}

async fn gate_lanes(connection: &mut Connection, record: i64) -> Result<Vec<i64>, StoreError> {
    let rows = query("select lane_id from gate where record_id = $1 order by lane_id").bind(record).fetch_all(connection).await?;
    rows.iter().map(|row| row.get("lane_id")).collect()
}

/// A place at the end of a lane. One in which others wait is looked at when it would have been.
async fn stand_in_line(connection: &mut Connection, lane_id: i64, gates: i64, now: Timestamp) -> Result<i64, StoreError> {
    let sql = "update lane set next_pos = next_pos + 1, waiting = waiting + 1, gates = gates + $2, idle_since = null,
            due_at = case when waiting > 0 or owner is not null then due_at else $3 end
        where lane_id = $1 returning next_pos - 1 as pos";
    query(sql).bind(lane_id).bind(gates).bind(now).fetch_one(connection).await?.get("pos")
}
