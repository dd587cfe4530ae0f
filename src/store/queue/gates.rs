//! Records of several lanes. Such a record waits in its own lane and has a gate in each of the others. A lane whose head is a gate
//! sleeps for the gate's record; the record runs when it heads its own lane and all its gates' lanes sleep for it.
//!
//! Nobody waits in a circle: all places of a record are given out in one transaction that holds the rows of all its lanes, so that
//! of two records that share lanes the same one is first in all of them. The oldest of those that wait is thus at the head
//! everywhere. The row of a record's own lane is what decides: whoever lets a gate's lane sleep holds it, so that the last gate that
//! arrives sees all others. It is never waited for; who does not get it looks again a moment later.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::lane_rows::{Arrival, Places};
use crate::clock::Timestamp;
use crate::model::lane::{Claim, HeldLane};
use crate::model::record::RecordId;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Many, Row, fixed, query, values, with_numbers};

/// When a lane is looked at again whose head is a gate of a record whose own lane another process has just taken.
const AFTER_MEETING: Duration = Duration::from_millis(20);

/// A gate at the head of a lane that was claimed, or the first one behind records.
struct Gate {
    lane_id: i64,
    position: i64,
    record: RecordId,
    /// The lane in which its record waits.
    own_lane: i64,
}

/// What became of claims whose lanes hold gates or whose heads have some.
pub(super) struct Settled {
    /// The position of the first gate in each lane that is still claimed and has one.
    pub(super) first_gates: HashMap<i64, i64>,
    /// Whether lanes were put to sleep or off, so that there is room for others.
    pub(super) any_left: bool,
}

/// How many gates a record has.
pub(crate) fn count(gates: &[Arrival]) -> i64 {
    i64::try_from(gates.len()).unwrap_or(i64::MAX)
}

/// Writes the gates of records that stand at these places by now.
pub(crate) async fn insert(connection: &mut Connection, places: impl Iterator<Item = &Places>) -> Result<(), StoreError> {
    let statement = Many::new(
        "with given (own_lane, own_pos, lane_id, pos) as (",
        ") insert into gate (lane_id, pos, record_id) select given.lane_id, given.pos, r.id
        from given join record r on r.lane_id = given.own_lane and r.pos = given.own_pos and r.state = 0",
    );
    let gates: Vec<(Arrival, Arrival)> = places.flat_map(|places| places.gates.iter().map(|gate| (places.own, *gate))).collect();
    let row = |(own, gate): &(Arrival, Arrival)| values![own.lane_id, own.next_position, gate.lane_id, gate.next_position];
    statement.execute(connection, &gates, row).await
}

/// Takes out of `claims` those whose lane's head is a gate and those whose head waits for its gates, and wakes the lanes of records
/// whose last gate has arrived by this. `with_gates` are those of the claimed lanes that hold gates at all.
pub(super) async fn settle(
    connection: &mut Connection,
    claims: &mut Vec<Claim>,
    with_gates: Vec<i64>,
    now: Timestamp,
) -> Result<Settled, StoreError> {
    let heads: HashMap<i64, (i64, RecordId, u32)> = claims
        .iter()
        .filter_map(|claim| claim.records.first().map(|head| (claim.lane_id, (head.position, head.id, head.gates))))
        .collect();
    let first = first_gates(connection, with_gates).await?;
    let first_gates = first.iter().map(|gate| (gate.lane_id, gate.position)).collect();
    let mut settled = Settled { first_gates, any_left: false };
    let (gates, _): (Vec<Gate>, Vec<Gate>) =
        first.into_iter().partition(|gate| heads.get(&gate.lane_id).is_none_or(|(position, ..)| gate.position < *position));
    let at_gates: HashSet<i64> = gates.iter().map(|gate| gate.lane_id).collect();
    let gated: Vec<(i64, RecordId)> = heads
        .iter()
        .filter(|(lane_id, (_, _, gates))| *gates > 0 && !at_gates.contains(*lane_id))
        .map(|(lane_id, (_, record, _))| (*lane_id, *record))
        .collect();
    if gates.is_empty() && gated.is_empty() {
        return Ok(settled);
    }
    let free = take_if_free(connection, gates.iter().map(|gate| gate.own_lane).collect()).await?;
    let (arrived, met): (Vec<Gate>, Vec<Gate>) = gates.into_iter().partition(|gate| free.contains(&gate.own_lane));
    put_off(connection, met.iter().map(|gate| gate.lane_id).collect(), now + AFTER_MEETING).await?;
    let sleeping: Vec<(i64, RecordId)> = arrived.iter().map(|gate| (gate.lane_id, gate.record)).collect();
    let_sleep(connection, &sleeping).await?;
    let records = sleeping.iter().chain(&gated).map(|(_, record)| *record).collect();
    let complete = complete(connection, records).await?;
    let_sleep(connection, &gated.iter().filter(|(_, record)| !complete.contains(record)).copied().collect::<Vec<_>>()).await?;
    let waits: HashSet<i64> =
        gated.iter().filter(|(_, record)| !complete.contains(record)).map(|(lane_id, _)| *lane_id).collect();
    wake(connection, complete.iter().map(|record| record.0).collect(), now).await?;
    let before = claims.len();
    claims.retain(|claim| !at_gates.contains(&claim.lane_id) && !waits.contains(&claim.lane_id));
    settled.any_left = claims.len() < before;
    add_held_lanes(connection, claims).await?;
    Ok(settled)
}

/// The first gate of each of these lanes.
async fn first_gates(connection: &mut Connection, lanes: Vec<i64>) -> Result<Vec<Gate>, StoreError> {
    macro_rules! text {
        ($lanes:literal) => {
            concat!(
                "select g.lane_id, g.pos, g.record_id, r.lane_id as own_lane from ",
                $lanes,
                " given join gate g on g.lane_id = given.value
                    and g.pos = (select min(first.pos) from gate first where first.lane_id = given.value)
                join record r on r.id = g.record_id"
            )
        };
    }
    if lanes.is_empty() {
        return Ok(Vec::new());
    }
    let gate = |row: &Row| {
        Ok(Gate {
            lane_id: row.get("lane_id")?,
            position: row.get("pos")?,
            record: RecordId(row.get("record_id")?),
            own_lane: row.get("own_lane")?,
        })
    };
    query(with_numbers!(text)).bind(lanes).fetch_all(connection).await?.iter().map(gate).collect()
}

/// Takes the rows of those of these lanes that no other process has.
async fn take_if_free(connection: &mut Connection, lanes: BTreeSet<i64>) -> Result<HashSet<i64>, StoreError> {
    if !connection.is_shared() || lanes.is_empty() {
        return Ok(lanes.into_iter().collect());
    }
    let sql = "select lane_id from lane where lane_id = any($1) for update skip locked";
    let rows = query(sql).bind(lanes.into_iter().collect::<Vec<i64>>()).fetch_all(connection).await?;
    rows.iter().map(|row| row.get("lane_id")).collect()
}

async fn put_off(connection: &mut Connection, lanes: Vec<i64>, until: Timestamp) -> Result<(), StoreError> {
    macro_rules! text {
        ($lanes:literal) => {
            concat!("update lane set owner = null, due_at = $2 where lane_id in (select value from ", $lanes, " given)")
        };
    }
    if !lanes.is_empty() {
        query(with_numbers!(text)).bind(lanes).bind(until).execute(connection).await?;
    }
    Ok(())
}

/// Lanes sleep for records.
async fn let_sleep(connection: &mut Connection, lanes: &[(i64, RecordId)]) -> Result<(), StoreError> {
    let statement = Many::new(
        "with given (lane_id, record_id) as (",
        ") update lane set owner = null, due_at = null, held_by = given.record_id from given where lane.lane_id = given.lane_id",
    );
    statement.execute(connection, lanes, |(lane_id, record)| values![*lane_id, record.0]).await
}

/// Those of the records all of whose gates' lanes sleep for them.
async fn complete(connection: &mut Connection, records: BTreeSet<RecordId>) -> Result<BTreeSet<RecordId>, StoreError> {
    macro_rules! text {
        ($records:literal) => {
            concat!(
                "select r.id from ",
                $records,
                " given join record r on r.id = given.value where r.gates = (select count(*) from gate g
                    join lane l on l.lane_id = g.lane_id and l.held_by = g.record_id where g.record_id = r.id)"
            )
        };
    }
    let records: Vec<i64> = records.into_iter().map(|record| record.0).collect();
    let rows = query(with_numbers!(text)).bind(records).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(RecordId(row.get("id")?))).collect()
}

/// The lanes that sleep for records at their own heads.
async fn wake(connection: &mut Connection, records: Vec<i64>, now: Timestamp) -> Result<(), StoreError> {
    macro_rules! text {
        ($records:literal) => {
            concat!(
                "update lane set held_by = null, due_at = max(coalesce(retry_at, 0), $2) from record r
                where r.id in (select value from ",
                $records,
                " given) and lane.lane_id = r.lane_id and lane.held_by = r.id"
            )
        };
    }
    if !records.is_empty() {
        query(with_numbers!(text)).bind(records).bind(now).execute(connection).await?;
    }
    Ok(())
}

/// Tells claims which other lanes are theirs while they run.
async fn add_held_lanes(connection: &mut Connection, claims: &mut [Claim]) -> Result<(), StoreError> {
    macro_rules! text {
        ($records:literal) => {
            concat!(
                "select g.record_id, l.lane_id, l.hash, l.done_record from ",
                $records,
                " given join gate g on g.record_id = given.value join lane l on l.lane_id = g.lane_id order by l.hash"
            )
        };
    }
    let mut of_records: BTreeMap<i64, &mut Claim> = BTreeMap::new();
    for claim in claims {
        if let Some(head) = claim.records.first().filter(|head| head.gates > 0) {
            of_records.insert(head.id.0, claim);
        }
    }
    if of_records.is_empty() {
        return Ok(());
    }
    let records: Vec<i64> = of_records.keys().copied().collect();
    for row in query(with_numbers!(text)).bind(records).fetch_all(connection).await? {
        let Some(claim) = of_records.get_mut(&row.get::<i64>("record_id")?) else { continue };
        let done: Option<i64> = row.get("done_record")?;
        claim.done_record = claim.done_record.max(done.map(RecordId));
        claim.others.push(HeldLane { lane_id: row.get("lane_id")?, hash: fixed(row.get("hash")?, "a lane's hash")? });
    }
    Ok(())
}

/// The gates of a record that has run, or is let past: their lanes go on. Its own lane's lease tells that it had them all.
pub(super) struct Opened {
    pub(super) lane_id: i64,
    /// The first run of the record, if it took effect.
    pub(super) done_record: Option<RecordId>,
}

/// Lets lanes go on behind gates at their heads.
pub(super) async fn open(connection: &mut Connection, opened: &[Opened], now: Timestamp) -> Result<(), StoreError> {
    let statement = Many::new(
        "with opened (lane_id, done_record, now) as (",
        ") update lane set waiting = lane.waiting - 1, gates = lane.gates - 1, held_by = null,
        done_record = max(coalesce(lane.done_record, opened.done_record), coalesce(opened.done_record, lane.done_record)),
        due_at = case when lane.waiting <= 1 then null else max(coalesce(lane.quiet_until, 0), opened.now) end
        from opened where lane.lane_id = opened.lane_id",
    );
    let row = |gate: &Opened| values![gate.lane_id, gate.done_record.map(|id| id.0), now];
    statement.execute(connection, opened, row).await
}

/// Takes a record's gates away, wherever they stand, when it is not run.
pub(crate) async fn remove(connection: &mut Connection, record: RecordId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "update lane set waiting = waiting - 1, gates = gates - 1,
            held_by = case when held_by = $1 then null else held_by end,
            due_at = case when owner is not null then due_at when waiting <= 1 then null
                when held_by = $1 then max(coalesce(quiet_until, 0), $2) else due_at end
        from gate where gate.record_id = $1 and gate.pos < $3 and lane.lane_id = gate.lane_id";
    query(sql).bind(record.0).bind(now).bind(super::aside::BEYOND).execute(connection).await?;
    forget(connection, vec![record.0]).await
}

/// Deletes the gates of records; what that means for their lanes is the caller's business.
pub(super) async fn forget(connection: &mut Connection, records: Vec<i64>) -> Result<(), StoreError> {
    macro_rules! text {
        ($records:literal) => {
            concat!("delete from gate where record_id in (select value from ", $records, " given)")
        };
    }
    if !records.is_empty() {
        query(with_numbers!(text)).bind(records).execute(connection).await?;
    }
    Ok(())
}

/// Gates of records that others may pass stand in no line.
pub(super) async fn put_aside(connection: &mut Connection, records: Vec<i64>) -> Result<(), StoreError> {
    macro_rules! text {
        ($records:literal) => {
            concat!("update gate set pos = $2 + record_id where record_id in (select value from ", $records, " given)")
        };
    }
    if !records.is_empty() {
        query(with_numbers!(text)).bind(records).bind(super::aside::BEYOND).execute(connection).await?;
    }
    Ok(())
}

/// The lanes in which these records' gates stand in line, once for each.
pub(super) async fn lanes_of(connection: &mut Connection, records: Vec<i64>) -> Result<Vec<i64>, StoreError> {
    macro_rules! text {
        ($records:literal) => {
            concat!("select lane_id from gate where record_id in (select value from ", $records, " given) and pos < $2")
        };
    }
    let rows = query(with_numbers!(text)).bind(records).bind(super::aside::BEYOND).fetch_all(connection).await?;
    rows.iter().map(|row| row.get("lane_id")).collect()
}
