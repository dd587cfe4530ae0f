//! A batch of deliveries into the inbox: one statement for each table and size, not one for each row.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::gates;
use super::lane_rows::{Arrival, Places, enqueue, hold_lanes, take_places};
use super::sender_ids::{Original, Remembered, look_up, remember, reopen_dead};
use crate::clock::Timestamp;
use crate::model::delivery::Appended;
use crate::store::error::StoreError;
use crate::store::intake_form::{PreparedDelivery, PreparedFate, PreparedRecord};
use crate::store::postgres::days::DAY;
use crate::store::sql::{Connection, Many, query, values};

/// What a batch did.
pub(crate) struct Batch {
    /// One answer for each delivery, in order.
    pub(crate) answers: Vec<Appended>,
    /// The first row number that is free after it.
    pub(crate) next_row: i64,
}

/// A delivery that is stored, its row number, and those of its records that are new.
struct Kept<'a> {
    row: i64,
    delivery: &'a PreparedDelivery,
    records: Vec<&'a PreparedRecord>,
}

#[derive(Default)]
struct Plan<'a> {
    kept: Vec<Kept<'a>>,
    sent_again: Vec<Original>,
    answers: Vec<Appended>,
}

/// Writes a batch of deliveries. `ending` are the lanes of which claims are ended in the same transaction.
pub(crate) async fn append(
    connection: &mut Connection,
    deliveries: &[&PreparedDelivery],
    ending: &[[u8; 16]],
    first_row: i64,
    now: Timestamp,
) -> Result<Batch, StoreError> {
    let known = known_before(connection, deliveries, now).await?;
    let plan = plan(deliveries, &known, first_row);
    insert_deliveries(connection, &plan.kept).await?;
    insert_raw(connection, &plan.kept).await?;
    compare_versions(connection, &plan.kept).await?;
    let lanes: Vec<_> = plan.kept.iter().flat_map(|kept| &kept.records).filter_map(|record| record.lane()).collect();
    if connection.is_shared() && !ending.is_empty() {
        let joined = lanes.iter().flat_map(|lane| lane.all()).map(|lane| lane.hash);
        hold_lanes(connection, joined.chain(ending.iter().copied())).await?;
    }
    let arrivals = enqueue(connection, &lanes, now).await?;
    insert_records(connection, &plan.kept, arrivals, now).await?;
    reopen_dead(connection, &plan.sent_again).await?;
    let next_row = first_row + i64::try_from(plan.kept.len()).expect("a batch is small");
    Ok(Batch { answers: plan.answers, next_row })
}

/// The senders' ids that came before this batch, with what they first came with. The others are remembered from now on.
async fn known_before(
    connection: &mut Connection,
    deliveries: &[&PreparedDelivery],
    now: Timestamp,
) -> Result<HashMap<[u8; 32], Original>, StoreError> {
    let mut first: BTreeMap<[u8; 32], Remembered> = BTreeMap::new();
    for delivery in deliveries {
        for record in &delivery.records {
            let Some(sender_id) = &record.sender_id else { continue };
            let original = Original { delivery: delivery.id, number: record.number };
            let id = || Remembered { hash: sender_id.hash, original, expires_at: now + sender_id.remember };
            first.entry(sender_id.hash).or_insert_with(id);
        }
    }
    let hashes: Vec<[u8; 32]> = first.keys().copied().collect();
    let mut known = look_up(connection, &hashes, now).await?;
    let new: Vec<Remembered> = first.into_values().filter(|id| !known.contains_key(&id.hash)).collect();
    let remembered = remember(connection, &new, now).await?;
    let late: Vec<[u8; 32]> = new.iter().map(|id| id.hash).filter(|hash| !remembered.contains(hash)).collect();
    known.extend(look_up(connection, &late, now).await?);
    Ok(known)
}

fn plan<'a>(deliveries: &[&'a PreparedDelivery], known: &HashMap<[u8; 32], Original>, first_row: i64) -> Plan<'a> {
    let mut plan = Plan::default();
    let mut in_batch: HashMap<[u8; 32], Original> = HashMap::new();
    for delivery in deliveries {
        let row = first_row + i64::try_from(plan.kept.len()).expect("a batch is small");
        let mut first = None;
        let mut records = Vec::with_capacity(delivery.records.len());
        for record in &delivery.records {
            let Some(sender_id) = &record.sender_id else {
                records.push(record);
                continue;
            };
            if let Some(original) = known.get(&sender_id.hash).or_else(|| in_batch.get(&sender_id.hash)) {
                first.get_or_insert(original.delivery);
                plan.sent_again.push(*original);
                continue;
            }
            in_batch.insert(sender_id.hash, Original { delivery: delivery.id, number: record.number });
            records.push(record);
        }
        match first {
            Some(first) if records.is_empty() => plan.answers.push(Appended::Duplicate(first)),
            _ => {
                plan.kept.push(Kept { row, delivery, records });
                plan.answers.push(Appended::Stored);
            }
        }
    }
    plan
}

/// Records that another version admitted than the pool's others, because a request was under way while the route file changed, are
/// admitted again with all that come after them. Where others write to the same state, a pool's version stays what it is until
/// the commit.
async fn compare_versions(connection: &mut Connection, kept: &[Kept<'_>]) -> Result<(), StoreError> {
    let mut versions: BTreeSet<(i64, [u8; 32])> = kept
        .iter()
        .flat_map(|kept| kept.records.iter().map(move |record| (*record, kept.delivery.admit_hash)))
        .filter(|(record, _)| record.lane().is_some())
        .map(|(record, admit_hash)| (record.pool_id, admit_hash))
        .collect();
    while !versions.is_empty() {
        let mut pools = BTreeSet::new();
        // one of each pool in a statement, whichever of several it is
        let wave: Vec<(i64, [u8; 32])> = versions.iter().filter(|(pool_id, _)| pools.insert(*pool_id)).copied().collect();
        note_versions(connection, &wave).await?;
        if !connection.is_shared() || agree(connection, &wave).await? {
            versions.retain(|version| !wave.contains(version));
        }
    }
    Ok(())
}

async fn note_versions(connection: &mut Connection, versions: &[(i64, [u8; 32])]) -> Result<(), StoreError> {
    let statement = Many::new(
        "with given (pool_id, admit_hash) as (",
        ") update pool set admit_hash = coalesce(pool.admit_hash, given.admit_hash),
            readmit_after = case when pool.admit_hash <> given.admit_hash then (select coalesce(max(id), 0) from record)
                else readmit_after end
        from given where pool.pool_id = given.pool_id
            and (pool.admit_hash is null or pool.admit_hash <> given.admit_hash and pool.readmit_after is null)",
    );
    statement.execute(connection, versions, |(pool_id, admit_hash)| values![*pool_id, admit_hash]).await
}

/// Whether all of these pools still have the version, or are admitted again anyway; they stay as they are until the commit.
async fn agree(connection: &mut Connection, versions: &[(i64, [u8; 32])]) -> Result<bool, StoreError> {
    let sql = "select pool_id, admit_hash, readmit_after from pool where pool_id = any($1) order by pool_id for share";
    let pools: Vec<i64> = versions.iter().map(|(pool_id, _)| *pool_id).collect();
    let rows = query(sql).bind(pools).fetch_all(connection).await?;
    for (row, (_, admit_hash)) in rows.iter().zip(versions) {
        let is_moved = row.get::<Option<i64>>("readmit_after")?.is_some();
        if !is_moved && row.get::<Option<&[u8]>>("admit_hash")? != Some(admit_hash) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn insert_deliveries(connection: &mut Connection, kept: &[Kept<'_>]) -> Result<(), StoreError> {
    let statement = Many::new(
        "insert into delivery (delivery_row, id, pool_id, received_at, admit_hash, bundle_hash, caller, raw_sha256,
            raw_bytes, masked) ",
        "",
    );
    let row = |Kept { row, delivery, .. }: &Kept<'_>| {
        let PreparedDelivery { id, pool_id, received_at, admit_hash, bundle_hash, caller, .. } = delivery;
        let PreparedDelivery { raw_sha256, raw_bytes, masked, .. } = delivery;
        values![*row, id.0.as_bytes(), *pool_id, *received_at, admit_hash, bundle_hash, caller, raw_sha256, *raw_bytes, masked]
    };
    statement.execute(connection, kept, row).await
}

async fn insert_raw(connection: &mut Connection, kept: &[Kept<'_>]) -> Result<(), StoreError> {
    if connection.is_shared() {
        let statement = Many::new("insert into delivery_raw (received_on, delivery_row, key_id, sealed) ", "");
        let day = |delivery: &PreparedDelivery| delivery.received_at.as_micros() / DAY;
        let row = |Kept { row, delivery, .. }: &Kept<'_>| values![day(delivery), *row, delivery.key_id, &delivery.sealed];
        return statement.execute(connection, kept, row).await;
    }
    let statement = Many::new("insert into delivery_raw (delivery_row, key_id, sealed) ", "");
    let row = |Kept { row, delivery, .. }: &Kept<'_>| values![*row, delivery.key_id, &delivery.sealed];
    statement.execute(connection, kept, row).await
}

async fn insert_records(
    connection: &mut Connection,
    kept: &[Kept<'_>],
    mut arrivals: HashMap<[u8; 16], Arrival>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let statement = Many::new(
        "insert into record (delivery_row, pool_id, integration_id, record_no, lane_id, pos, event, state, work_hash, item_sha256,
            reason, finished_at, gates) ",
        "",
    );
    let mut rows: Vec<(i64, &PreparedRecord, Option<Places>)> = Vec::new();
    for (delivery_row, record) in kept.iter().flat_map(|kept| kept.records.iter().map(move |record| (kept.row, *record))) {
        let places = record.lane().and_then(|lane| take_places(&mut arrivals, lane));
        rows.push((delivery_row, record, places));
    }
    let row = |(delivery_row, record, places): &(i64, &PreparedRecord, Option<Places>)| {
        let place = places.as_ref().map(|places| places.own);
        let (lane_id, position) = (place.map(|place| place.lane_id), place.map(|place| place.next_position));
        let gates = places.as_ref().map_or(0, |places| gates::count(&places.gates));
        let PreparedRecord { number, pool_id, integration, event, item_sha256, work_hash, .. } = record;
        let (state, reason) = (record.state(), record.reason());
        let finished_at = record.lane().is_none().then_some(now);
        values![
            *delivery_row,
            *pool_id,
            *integration,
            *number,
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
    statement.execute(connection, &rows, row).await?;
    gates::insert(connection, rows.iter().filter_map(|(_, _, places)| places.as_ref())).await
}

impl PreparedRecord {
    /// The lane it is to wait in, if it is to wait.
    pub(crate) fn lane(&self) -> Option<&crate::store::intake_form::PreparedLane> {
        match &self.fate {
            PreparedFate::Queue(lane) => Some(lane),
            PreparedFate::Ignore(_) | PreparedFate::Bury(_) | PreparedFate::Supersede(_) => None,
        }
    }

    /// The state it is stored in.
    pub(crate) fn state(&self) -> i64 {
        match &self.fate {
            PreparedFate::Queue(_) => 0,
            PreparedFate::Ignore(_) => 2,
            PreparedFate::Supersede(_) => 3,
            PreparedFate::Bury(_) => 4,
        }
    }

    /// Why it does not wait.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.fate {
            PreparedFate::Queue(_) => None,
            PreparedFate::Ignore(reason) | PreparedFate::Bury(reason) | PreparedFate::Supersede(reason) => Some(reason),
        }
    }
}
