//! Records arriving in lanes: the one statement that makes lanes, gives out positions and says when their work is due.

use std::collections::{BTreeSet, HashMap};

use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::intake_form::PreparedLane;
use crate::store::sql::{Connection, Many, fixed, micros, query, values};

/// Where the records of one arrival go: the lane's row and the first free position.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) lane_id: i64,
    pub(crate) next_position: i64,
}

/// Makes room for the records of these lanes (one entry a record, in order) and returns each lane's row and first position.
pub(crate) async fn enqueue(
    connection: &mut Connection,
    lanes: &[&PreparedLane],
    now: Timestamp,
) -> Result<HashMap<[u8; 16], Arrival>, StoreError> {
    let mut folded: HashMap<[u8; 16], (&PreparedLane, i64)> = HashMap::new();
    for lane in lanes {
        let entry = folded.entry(lane.hash).or_insert((lane, 0));
        *entry = (lane, entry.1 + 1);
    }
    let mut folded: Vec<(&PreparedLane, i64)> = folded.into_values().collect();
    // in one order, so that instances that share lanes wait for each other and never in a circle
    folded.sort_unstable_by_key(|(lane, _)| lane.hash);
    upsert_lanes(connection, &folded, now).await
}

async fn upsert_lanes(
    connection: &mut Connection,
    folded: &[(&PreparedLane, i64)],
    now: Timestamp,
) -> Result<HashMap<[u8; 16], Arrival>, StoreError> {
    let statement = Many::new(
        "insert into lane (hash, pool_id, label, next_pos, waiting, first_at, quiet_until, due_at, most, kind) ",
        " on conflict (hash) do update set
            next_pos = lane.next_pos + excluded.waiting, waiting = lane.waiting + excluded.waiting,
            first_at = coalesce(lane.first_at, excluded.first_at), most = excluded.most, idle_since = null,
            quiet_until = min(excluded.quiet_until, coalesce(lane.first_at, excluded.first_at) + excluded.most),
            due_at = case when lane.owner is not null then lane.due_at else max(coalesce(lane.retry_at, 0),
                min(excluded.quiet_until, coalesce(lane.first_at, excluded.first_at) + excluded.most)) end
            returning lane_id, hash, next_pos",
    );
    let counts: HashMap<&[u8; 16], i64> = folded.iter().map(|(lane, count)| (&lane.hash, *count)).collect();
    let row = |(lane, count): &(&PreparedLane, i64)| {
        let quiet_until = now + lane.quiet.min(lane.most);
        let PreparedLane { hash, pool_id, label, most, kind, .. } = lane;
        values![hash, *pool_id, label, count + 1, *count, now, quiet_until, quiet_until, micros(*most), *kind]
    };
    let mut arrivals = HashMap::with_capacity(folded.len());
    for row in statement.fetch_all(connection, folded, row).await? {
        let hash: [u8; 16] = fixed(row.get("hash")?, "a lane's hash")?;
        let next: i64 = row.get("next_pos")?;
        let count = counts.get(&hash).copied().unwrap_or_default();
        arrivals.insert(hash, Arrival { lane_id: row.get("lane_id")?, next_position: next - count });
    }
    Ok(arrivals)
}

/// Takes the rows of pools that are about to be paused, for the same reason.
pub(crate) async fn hold_pools(connection: &mut Connection, pools: impl Iterator<Item = i64>) -> Result<(), StoreError> {
    let sql = "select pool_id from pool where pool_id = any($1) order by pool_id for no key update";
    let pools: Vec<i64> = pools.collect();
    if !pools.is_empty() {
        query(sql).bind(pools).fetch_all(connection).await?;
    }
    Ok(())
}

/// Takes the rows of these lanes before anything is done to them, in one order, so that instances that end and add records of the
/// same lanes wait for each other and never in a circle.
pub(crate) async fn hold_lanes(connection: &mut Connection, hashes: impl Iterator<Item = [u8; 16]>) -> Result<(), StoreError> {
    let statement = Many::new(
        "with given (hash) as (",
        ") select lane.lane_id from lane join given on given.hash = lane.hash order by lane.hash for update of lane",
    );
    let hashes: BTreeSet<[u8; 16]> = hashes.collect();
    let hashes: Vec<[u8; 16]> = hashes.into_iter().collect();
    statement.fetch_all(connection, &hashes, |hash| values![hash]).await?;
    Ok(())
}

/// The next free position of a lane, which is then taken.
pub(crate) fn take_place(arrivals: &mut HashMap<[u8; 16], Arrival>, hash: [u8; 16]) -> Option<Arrival> {
    let arrival = arrivals.get_mut(&hash)?;
    let place = *arrival;
    arrival.next_position += 1;
    Some(place)
}
