//! Records arriving in lanes: the one statement that makes lanes, gives out positions and says when their work is due.

use std::collections::{BTreeSet, HashMap};

use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::intake_form::PreparedLane;
use crate::store::sql::{Connection, Many, Texts, fixed, micros, query, values};

/// Where the records of one arrival go: the lane's row and the first free position.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) lane_id: i64,
    pub(crate) next_position: i64,
}

/// The places of one record: in its own lane, and those of its gates in the others.
pub(crate) struct Places {
    pub(crate) own: Arrival,
    pub(crate) gates: Vec<Arrival>,
}

/// How many come to a lane, and how many of them are gates.
struct Coming<'a> {
    lane: &'a PreparedLane,
    count: i64,
    gates: i64,
}

/// Makes room for the records of these lanes (one entry a record, in order) and returns each lane's row and first position. The
/// rows of all lanes stay locked until the commit, so that of two records that share lanes the same one is first in all of them.
pub(crate) async fn enqueue(
    connection: &mut Connection,
    lanes: &[&PreparedLane],
    now: Timestamp,
) -> Result<HashMap<[u8; 16], Arrival>, StoreError> {
    let mut folded: HashMap<[u8; 16], Coming<'_>> = HashMap::new();
    for lane in lanes {
        for (place, one) in lane.all().enumerate() {
            let coming = folded.entry(one.hash).or_insert(Coming { lane: one, count: 0, gates: 0 });
            coming.lane = one;
            coming.count += 1;
            coming.gates += i64::from(place > 0);
        }
    }
    let mut folded: Vec<Coming<'_>> = folded.into_values().collect();
    // in one order, so that instances that share lanes wait for each other and never in a circle
    folded.sort_unstable_by_key(|coming| coming.lane.hash);
    upsert_lanes(connection, &folded, now).await
}

async fn upsert_lanes(
    connection: &mut Connection,
    folded: &[Coming<'_>],
    now: Timestamp,
) -> Result<HashMap<[u8; 16], Arrival>, StoreError> {
    macro_rules! upsert {
        ($returning:literal) => {
            concat!(
                " on conflict (hash) do update set
                next_pos = lane.next_pos + excluded.waiting, waiting = lane.waiting + excluded.waiting, gates = lane.gates + excluded.gates,
                first_at = coalesce(lane.first_at, excluded.first_at), most = excluded.most, idle_since = null,
                quiet_until = min(excluded.quiet_until, coalesce(lane.first_at, excluded.first_at) + excluded.most),
                due_at = case when lane.owner is not null or lane.held_by is not null then lane.due_at else max(coalesce(lane.retry_at, 0),
                    min(excluded.quiet_until, coalesce(lane.first_at, excluded.first_at) + excluded.most)) end",
                $returning
            )
        };
    }
    // a row that SQLite returns wakes two threads; all of them are read at once instead
    const UPSERT: Texts = Texts { sqlite: upsert!(""), postgres: upsert!(" returning lane_id, hash, next_pos") };
    let statement = Many::new(
        "insert into lane (hash, pool_id, label, next_pos, waiting, gates, first_at, quiet_until, due_at, most, kind) ",
        UPSERT,
    );
    let counts: HashMap<&[u8; 16], i64> = folded.iter().map(|coming| (&coming.lane.hash, coming.count)).collect();
    let row = |Coming { lane, count, gates }: &Coming<'_>| {
        let quiet_until = now + lane.quiet.min(lane.most);
        let PreparedLane { hash, pool_id, label, most, kind, .. } = lane;
        values![hash, *pool_id, label, count + 1, *count, *gates, now, quiet_until, quiet_until, micros(*most), *kind]
    };
    let rows = if connection.is_shared() {
        statement.fetch_all(connection, folded, row).await?
    } else {
        statement.execute(connection, folded, row).await?;
        return read_places(connection, &counts).await;
    };
    let mut arrivals = HashMap::with_capacity(folded.len());
    for row in rows {
        let hash: [u8; 16] = fixed(row.get("hash")?, "a lane's hash")?;
        let next: i64 = row.get("next_pos")?;
        let count = counts.get(&hash).copied().unwrap_or_default();
        arrivals.insert(hash, Arrival { lane_id: row.get("lane_id")?, next_position: next - count });
    }
    Ok(arrivals)
}

/// The first positions of lanes in which so many have just been given out, in one row.
async fn read_places(
    connection: &mut Connection,
    counts: &HashMap<&[u8; 16], i64>,
) -> Result<HashMap<[u8; 16], Arrival>, StoreError> {
    if counts.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "select json_group_array(json_array(lower(hex(hash)), lane_id, next_pos)) as lanes from lane
        where hash in (select unhex(value) from json_each($1))";
    let hashes: Vec<String> = counts.keys().map(hex::encode).collect();
    let row = query(sql).bind(serde_json::json!(hashes).to_string()).fetch_one(connection).await?;
    let damaged = |error: &dyn std::fmt::Display| StoreError::Damaged(format!("the lanes of a batch cannot be read: {error}"));
    let lanes: Vec<(String, i64, i64)> = serde_json::from_str(row.get("lanes")?).map_err(|error| damaged(&error))?;
    let mut arrivals = HashMap::with_capacity(lanes.len());
    for (hash, lane_id, next) in lanes {
        let mut bytes = [0; 16];
        hex::decode_to_slice(&hash, &mut bytes).map_err(|error| damaged(&error))?;
        let count = counts.get(&bytes).copied().unwrap_or_default();
        arrivals.insert(bytes, Arrival { lane_id, next_position: next - count });
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

/// The next free positions of a record's lanes, which are then taken.
pub(crate) fn take_places(arrivals: &mut HashMap<[u8; 16], Arrival>, lane: &PreparedLane) -> Option<Places> {
    let own = take_place(arrivals, lane.hash)?;
    Some(Places { own, gates: lane.others.iter().filter_map(|other| take_place(arrivals, other.hash)).collect() })
}

/// The next place of a lane that something arrives in.
pub(super) fn take_place(arrivals: &mut HashMap<[u8; 16], Arrival>, hash: [u8; 16]) -> Option<Arrival> {
    let arrival = arrivals.get_mut(&hash)?;
    let place = *arrival;
    arrival.next_position += 1;
    Some(place)
}
