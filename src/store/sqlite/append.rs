//! A batch of deliveries into the inbox: one statement for each table and size, not one for each row.

use std::collections::{BTreeSet, HashMap};

use sqlx::SqliteConnection;

use super::lane_rows::{Arrival, enqueue, take_place};
use super::rows::execute;
use super::sender_ids::{Original, Remembered, look_up, remember, reopen_dead};
use crate::clock::Timestamp;
use crate::model::delivery::Appended;
use crate::store::error::StoreError;
use crate::store::intake_form::{PreparedDelivery, PreparedFate, PreparedRecord};

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
    remembered: Vec<Remembered>,
    sent_again: Vec<Original>,
    answers: Vec<Appended>,
}

/// Writes a batch of deliveries.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    deliveries: &[&PreparedDelivery],
    first_row: i64,
    now: Timestamp,
) -> Result<Batch, StoreError> {
    let hashes: Vec<[u8; 32]> = deliveries
        .iter()
        .flat_map(|delivery| &delivery.records)
        .filter_map(|record| Some(record.sender_id.as_ref()?.hash))
        .collect();
    let known = look_up(connection, &hashes, now).await?;
    let plan = plan(deliveries, known, first_row, now);
    insert_deliveries(connection, &plan.kept).await?;
    insert_raw(connection, &plan.kept).await?;
    let lanes: Vec<_> = plan.kept.iter().flat_map(|kept| &kept.records).filter_map(|record| record.lane()).collect();
    let arrivals = enqueue(connection, &lanes, now).await?;
    compare_versions(connection, &plan.kept).await?;
    insert_records(connection, &plan.kept, arrivals, now).await?;
    remember(connection, &plan.remembered).await?;
    reopen_dead(connection, &plan.sent_again).await?;
    let next_row = first_row + i64::try_from(plan.kept.len()).expect("a batch is small");
    Ok(Batch { answers: plan.answers, next_row })
}

fn plan<'a>(
    deliveries: &[&'a PreparedDelivery],
    mut known: HashMap<[u8; 32], Original>,
    first_row: i64,
    now: Timestamp,
) -> Plan<'a> {
    let mut plan = Plan::default();
    for delivery in deliveries {
        let row = first_row + i64::try_from(plan.kept.len()).expect("a batch is small");
        let mut first = None;
        let mut records = Vec::with_capacity(delivery.records.len());
        for record in &delivery.records {
            let Some(sender_id) = &record.sender_id else {
                records.push(record);
                continue;
            };
            if let Some(original) = known.get(&sender_id.hash) {
                first.get_or_insert(original.delivery);
                plan.sent_again.push(*original);
                continue;
            }
            let original = Original { delivery: delivery.id, number: record.number };
            known.insert(sender_id.hash, original);
            plan.remembered.push(Remembered { hash: sender_id.hash, original, expires_at: now + sender_id.remember });
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
/// admitted again with all that come after them.
async fn compare_versions(connection: &mut SqliteConnection, kept: &[Kept<'_>]) -> Result<(), StoreError> {
    let versions: BTreeSet<(i64, [u8; 32])> = kept
        .iter()
        .flat_map(|kept| kept.records.iter().map(move |record| (*record, kept.delivery.admit_hash)))
        .filter(|(record, _)| record.lane().is_some())
        .map(|(record, admit_hash)| (record.pool_id, admit_hash))
        .collect();
    for (pool_id, admit_hash) in versions {
        compare_version(connection, pool_id, admit_hash).await?;
    }
    Ok(())
}

async fn compare_version(connection: &mut SqliteConnection, pool_id: i64, admit_hash: [u8; 32]) -> Result<(), StoreError> {
    let sql = "update pool set admit_hash = coalesce(admit_hash, ?2),
            readmit_after = case when admit_hash <> ?2 then (select coalesce(max(id), 0) from record) else readmit_after end
        where pool_id = ?1 and (admit_hash is null or admit_hash <> ?2 and readmit_after is null)";
    sqlx::query(sql).bind(pool_id).bind(admit_hash.to_vec()).execute(connection).await?;
    Ok(())
}

async fn insert_deliveries(connection: &mut SqliteConnection, kept: &[Kept<'_>]) -> Result<(), StoreError> {
    const BEFORE: &str =
        "insert into delivery (delivery_row, id, pool_id, received_at, admit_hash, bundle_hash, caller, raw_sha256,
        raw_bytes, masked) ";
    execute(connection, BEFORE, kept, "", |mut row, Kept { row: number, delivery, .. }| {
        row.push_bind(*number).push_bind(delivery.id.0.as_bytes().to_vec()).push_bind(delivery.pool_id);
        row.push_bind(delivery.received_at.as_micros()).push_bind(delivery.admit_hash.to_vec());
        row.push_bind(delivery.bundle_hash.to_vec()).push_bind(delivery.caller.clone()).push_bind(delivery.raw_sha256.to_vec());
        row.push_bind(delivery.raw_bytes).push_bind(delivery.masked.clone());
    })
    .await
}

async fn insert_raw(connection: &mut SqliteConnection, kept: &[Kept<'_>]) -> Result<(), StoreError> {
    const BEFORE: &str = "insert into delivery_raw (delivery_row, key_id, sealed) ";
    execute(connection, BEFORE, kept, "", |mut row, Kept { row: number, delivery, .. }| {
        row.push_bind(*number).push_bind(delivery.key_id).push_bind(delivery.sealed.clone());
    })
    .await
}

async fn insert_records(
    connection: &mut SqliteConnection,
    kept: &[Kept<'_>],
    mut arrivals: HashMap<[u8; 16], Arrival>,
    now: Timestamp,
) -> Result<(), StoreError> {
    const BEFORE: &str =
        "insert into record (delivery_row, pool_id, integration_id, record_no, lane_id, pos, event, state, work_hash, item_sha256,
        reason, finished_at) ";
    let rows: Vec<_> = kept.iter().flat_map(|kept| kept.records.iter().map(move |record| (kept.row, *record))).collect();
    execute(connection, BEFORE, &rows, "", |mut row, (delivery_row, record)| {
        let place = record.lane().and_then(|lane| take_place(&mut arrivals, lane.hash));
        row.push_bind(*delivery_row).push_bind(record.pool_id).push_bind(record.integration).push_bind(record.number);
        row.push_bind(place.map(|place| place.lane_id)).push_bind(place.map(|place| place.next_position));
        row.push_bind(record.event.clone()).push_bind(record.state()).push_bind(record.work_hash.map(|hash| hash.to_vec()));
        row.push_bind(record.item_sha256.to_vec()).push_bind(record.reason().map(str::to_owned));
        row.push_bind(record.lane().is_none().then(|| now.as_micros()));
    })
    .await
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
