//! Open records that leave their lanes for the ends of others, or for a final state: many at once, every lane's count kept right.

use std::collections::HashMap;

use super::gates;
use super::lane_rows::{Places, enqueue, take_places};
use crate::clock::Timestamp;
use crate::model::record::RecordId;
use crate::store::error::StoreError;
use crate::store::intake_form::{PreparedLane, PreparedRecord};
use crate::store::sql::{Connection, Many, query, values, with_numbers};

/// An open record and what admission makes of it now.
#[derive(Clone)]
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
    /// Whether it stands in no line at present.
    is_aside: bool,
}

/// What a lane loses.
#[derive(Default)]
struct Loss {
    count: i64,
    /// How many of them are gates.
    gates: i64,
    /// Whether a record that the lane backs off for goes elsewhere.
    ends_back_off: bool,
}

/// Moves those that are still open, in this order. Attempts stay what they were; a lane goes on backing off only while the record
/// that failed stays in it. Leases of these lanes end, and so does their sleep for records of several lanes: who claims them next
/// sees what is at their heads.
pub(crate) async fn move_open(connection: &mut Connection, moves: &[Move], now: Timestamp) -> Result<(), StoreError> {
    let places = open_places(connection, moves).await?;
    let open: Vec<(&Move, &Place)> = moves.iter().filter_map(|one| Some((one, places.get(&one.record)?))).collect();
    let lanes: Vec<&PreparedLane> = open.iter().filter_map(|(one, _)| one.prepared.lane()).collect();
    let mut arrivals = enqueue(connection, &lanes, now).await?;
    let mut losses: HashMap<i64, Loss> = HashMap::new();
    let moved: Vec<i64> = open.iter().map(|(one, _)| one.record.0).collect();
    for lane_id in gates::lanes_of(connection, moved.clone()).await? {
        let loss = losses.entry(lane_id).or_default();
        loss.count += 1;
        loss.gates += 1;
    }
    gates::forget(connection, moved).await?;
    for (one, place) in open.iter().filter(|(_, place)| !place.is_aside) {
        let stays = one.prepared.lane().and_then(|lane| arrivals.get(&lane.hash)).map(|arrival| arrival.lane_id);
        let loss = losses.entry(place.lane_id).or_default();
        loss.count += 1;
        loss.ends_back_off |= place.has_failed && stays != Some(place.lane_id);
    }
    let rows: Vec<(&Move, Option<Places>)> =
        open.iter().map(|(one, _)| (*one, one.prepared.lane().and_then(|lane| take_places(&mut arrivals, lane)))).collect();
    write_records(connection, &rows, now).await?;
    gates::insert(connection, rows.iter().filter_map(|(_, places)| places.as_ref())).await?;
    take_from_lanes(connection, losses, now).await
}

async fn open_places(connection: &mut Connection, moves: &[Move]) -> Result<HashMap<RecordId, Place>, StoreError> {
    macro_rules! text {
        ($ids:literal) => {
            concat!(
                "select id, lane_id, attempts > 0 as has_failed, aside_until is not null as is_aside from record where id in (select value from ",
                $ids,
                " given) and state = 0"
            )
        };
    }
    let ids: Vec<i64> = moves.iter().map(|one| one.record.0).collect();
    let mut places = HashMap::with_capacity(moves.len());
    for row in query(with_numbers!(text)).bind(ids).fetch_all(connection).await? {
        let place = Place { lane_id: row.get("lane_id")?, has_failed: row.get("has_failed")?, is_aside: row.get("is_aside")? };
        places.insert(RecordId(row.get("id")?), place);
    }
    Ok(places)
}

async fn write_records(connection: &mut Connection, rows: &[(&Move, Option<Places>)], now: Timestamp) -> Result<(), StoreError> {
    let statement = Many::new(
        "with given (id, pool_id, integration_id, lane_id, pos, event, state, work_hash, item_sha256, reason, finished_at,
            gates) as (",
        ") update record set pool_id = given.pool_id,
        integration_id = given.integration_id, lane_id = given.lane_id, pos = given.pos, event = given.event, state = given.state,
        work_hash = given.work_hash, item_sha256 = given.item_sha256, finished_at = given.finished_at,
        reason = case when given.state = 0 then record.reason else given.reason end, gates = given.gates, aside_until = null
        from given where record.id = given.id",
    );
    let row = |(Move { record, prepared, .. }, places): &(&Move, Option<Places>)| {
        let place = places.as_ref().map(|places| places.own);
        let gates = places.as_ref().map_or(0, |places| gates::count(&places.gates));
        let (lane_id, position) = (place.map(|place| place.lane_id), place.map(|place| place.next_position));
        let PreparedRecord { pool_id, integration, event, work_hash, item_sha256, .. } = prepared;
        let finished_at = place.is_none().then_some(now);
        let (state, reason) = (prepared.state(), prepared.reason());
        values![
            record.0,
            *pool_id,
            *integration,
            lane_id,
            position,
            event,
            state,
            *work_hash,
            item_sha256,
            reason,
            finished_at,
            gates
        ]
    };
    statement.execute(connection, rows, row).await
}

async fn take_from_lanes(connection: &mut Connection, losses: HashMap<i64, Loss>, now: Timestamp) -> Result<(), StoreError> {
    let statement = Many::new(
        "with gone (lane_id, count, gates, ends_back_off, now) as (",
        ") update lane set waiting = waiting - gone.count, gates = lane.gates - gone.gates, owner = null,
        held_by = null,
        retry_at = case when gone.ends_back_off = 1 then null else retry_at end,
        due_at = case when waiting - gone.count <= 0 then null else max(coalesce(quiet_until, 0), gone.now,
            case when gone.ends_back_off = 1 then 0 else coalesce(retry_at, 0) end) end
        from gone where lane.lane_id = gone.lane_id",
    );
    let losses: Vec<(i64, Loss)> = losses.into_iter().collect();
    statement
        .execute(connection, &losses, |(lane_id, loss)| values![*lane_id, loss.count, loss.gates, loss.ends_back_off, now])
        .await
}
