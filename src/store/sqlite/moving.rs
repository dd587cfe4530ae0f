//! Open records that leave their lanes for the ends of others, or for a final state: many at once, every lane's count kept right.

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};

use super::claim::json_list;
use super::lane_rows::{Arrival, enqueue, take_place};
use super::rows::execute;
use crate::clock::Timestamp;
use crate::model::record::RecordId;
use crate::store::error::StoreError;
use crate::store::intake_form::{PreparedLane, PreparedRecord};

/// An open record and what admission makes of it now.
pub(crate) struct Move {
    pub(crate) record: RecordId,
    pub(crate) first_run: RecordId,
    /// Whether it may run after newer records of its lane without undoing what they wrote.
    pub(crate) runs_late: bool,
    pub(crate) prepared: PreparedRecord,
    /// Items of its delivery that have no record yet.
    pub(crate) further: Vec<PreparedRecord>,
}

/// Where a record waits, and whether an attempt of it has failed.
struct Place {
    lane_id: i64,
    has_failed: bool,
}

/// What a lane loses.
#[derive(Default)]
struct Loss {
    count: i64,
    /// Whether a record that the lane backs off for goes elsewhere.
    ends_back_off: bool,
}

/// Moves those that are still open, in this order. Attempts stay what they were; a lane goes on backing off only while the record
/// that failed stays in it. Leases of these lanes end.
pub(crate) async fn move_open(connection: &mut SqliteConnection, moves: &[Move], now: Timestamp) -> Result<(), StoreError> {
    let places = open_places(connection, moves).await?;
    let open: Vec<(&Move, &Place)> = moves.iter().filter_map(|one| Some((one, places.get(&one.record)?))).collect();
    let lanes: Vec<&PreparedLane> = open.iter().filter_map(|(one, _)| one.prepared.lane()).collect();
    let mut arrivals = enqueue(connection, &lanes, now).await?;
    let mut losses: HashMap<i64, Loss> = HashMap::new();
    for (one, place) in &open {
        let stays = one.prepared.lane().and_then(|lane| arrivals.get(&lane.hash)).map(|arrival| arrival.lane_id);
        let loss = losses.entry(place.lane_id).or_default();
        loss.count += 1;
        loss.ends_back_off |= place.has_failed && stays != Some(place.lane_id);
    }
    let rows: Vec<(&Move, Option<Arrival>)> =
        open.iter().map(|(one, _)| (*one, one.prepared.lane().and_then(|lane| take_place(&mut arrivals, lane.hash)))).collect();
    write_records(connection, &rows, now).await?;
    take_from_lanes(connection, losses, now).await
}

async fn open_places(connection: &mut SqliteConnection, moves: &[Move]) -> Result<HashMap<RecordId, Place>, StoreError> {
    let sql = "select id, lane_id, attempts > 0 as has_failed from record
        where id in (select value from json_each(?)) and state = 0";
    let ids: Vec<i64> = moves.iter().map(|one| one.record.0).collect();
    let mut places = HashMap::with_capacity(ids.len());
    for row in sqlx::query(sql).bind(json_list(&ids)).fetch_all(connection).await? {
        let place = Place { lane_id: row.try_get("lane_id")?, has_failed: row.try_get("has_failed")? };
        places.insert(RecordId(row.try_get("id")?), place);
    }
    Ok(places)
}

async fn write_records(
    connection: &mut SqliteConnection,
    rows: &[(&Move, Option<Arrival>)],
    now: Timestamp,
) -> Result<(), StoreError> {
    const BEFORE: &str =
        "with given (id, pool_id, integration_id, lane_id, pos, event, state, work_hash, item_sha256, reason, finished_at) as (";
    const AFTER: &str = ") update record set pool_id = given.pool_id,
        integration_id = given.integration_id, lane_id = given.lane_id, pos = given.pos, event = given.event, state = given.state,
        work_hash = given.work_hash, item_sha256 = given.item_sha256, finished_at = given.finished_at,
        reason = case when given.state = 0 then record.reason else given.reason end
        from given where record.id = given.id";
    execute(connection, BEFORE, rows, AFTER, |mut row, (Move { record, prepared, .. }, place)| {
        row.push_bind(record.0).push_bind(prepared.pool_id).push_bind(prepared.integration);
        row.push_bind(place.map(|place| place.lane_id)).push_bind(place.map(|place| place.next_position));
        row.push_bind(prepared.event.clone()).push_bind(prepared.state());
        row.push_bind(prepared.work_hash.map(|hash| hash.to_vec())).push_bind(prepared.item_sha256.to_vec());
        row.push_bind(prepared.reason().map(str::to_owned));
        row.push_bind(place.is_none().then(|| now.as_micros()));
    })
    .await
}

async fn take_from_lanes(
    connection: &mut SqliteConnection,
    losses: HashMap<i64, Loss>,
    now: Timestamp,
) -> Result<(), StoreError> {
    const BEFORE: &str = "with gone (lane_id, count, ends_back_off, now) as (";
    const AFTER: &str = ") update lane set waiting = waiting - gone.count, owner = null,
        retry_at = case when gone.ends_back_off then null else retry_at end,
        due_at = case when waiting - gone.count <= 0 then null else max(coalesce(quiet_until, 0), gone.now,
            case when gone.ends_back_off then 0 else coalesce(retry_at, 0) end) end
        from gone where lane.lane_id = gone.lane_id";
    let losses: Vec<(i64, Loss)> = losses.into_iter().collect();
    execute(connection, BEFORE, &losses, AFTER, |mut row, (lane_id, loss)| {
        row.push_bind(*lane_id).push_bind(loss.count).push_bind(loss.ends_back_off).push_bind(now.as_micros());
    })
    .await
}
