//! Discarding: a person gives a record up. It can still be replayed.

use super::replay::{Latest, latest_runs};
use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::model::record::RecordId;
use crate::store::error::StoreError;
use crate::store::queue::gates;
use crate::store::sql::{Connection, query};
use crate::store::state::Store;

/// What came of discarding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// How many records are discarded now.
    pub count: u64,
    /// The numbers of those that are not, and why.
    pub refused: Vec<(u32, String)>,
}

const FINISHED: &str = "it is finished";

/// Discards the open and dead records of a delivery (or one of them). A lane that a worker holds is left to it.
pub async fn discard(store: &Store, delivery: DeliveryId, number: Option<u32>) -> Result<Discarded, StoreError> {
    let (mut answer, mut after) = (Discarded::default(), None);
    loop {
        let job =
            store.writer().run_and_wake(move |connection, now| Box::pin(discard_some(connection, delivery, number, after, now)));
        let (some, next) = job.await?;
        answer.count += some.count;
        answer.refused.extend(some.refused);
        if next.is_none() {
            return Ok(answer);
        }
        after = next;
    }
}

/// Discards the records behind number `after`; after which the next ones are, where there may be more.
async fn discard_some(
    connection: &mut Connection,
    delivery: DeliveryId,
    number: Option<u32>,
    after: Option<u32>,
    now: Timestamp,
) -> Result<(Discarded, Option<u32>), StoreError> {
    let mut answer = Discarded::default();
    let (records, next) = latest_runs(connection, delivery, number, after).await?;
    for record in records {
        match discard_one(connection, &record, now).await? {
            Ok(()) => answer.count += 1,
            Err(reason) => answer.refused.push((record.number, reason.to_owned())),
        }
    }
    Ok((answer, next))
}

async fn discard_one(
    connection: &mut Connection,
    record: &Latest,
    now: Timestamp,
) -> Result<Result<(), &'static str>, StoreError> {
    match record.state {
        4 => {}
        0 => {
            let Some(is_aside) = hold_own_lane(connection, record.id).await? else { return Ok(Err(FINISHED)) };
            if !is_aside && !leave_lane(connection, record.id, now).await? {
                return Ok(Err("a worker has its lane; try again when it has finished"));
            }
            gates::remove(connection, RecordId(record.id), now).await?;
        }
        5 => return Ok(Err("it is discarded already")),
        _ => return Ok(Err(FINISHED)),
    }
    mark_discarded(connection, record.id, now).await?;
    Ok(Ok(()))
}

/// Takes the row of a record's lane, so that nobody claims it or brings the record back to it until the commit; says whether the
/// record stands aside, and nothing when it is no longer open: another process may have had its lane until now.
async fn hold_own_lane(connection: &mut Connection, record_id: i64) -> Result<Option<bool>, StoreError> {
    if connection.is_shared() {
        let sql = "select l.lane_id from record r join lane l on l.lane_id = r.lane_id where r.id = $1 for update of l";
        query(sql).bind(record_id).fetch_optional(connection).await?;
    }
    let sql = "select aside_until is not null as is_aside from record where id = $1 and state = 0";
    let row = query(sql).bind(record_id).fetch_optional(connection).await?;
    row.map(|row| row.get("is_aside")).transpose()
}

/// Takes an open record out of its lane's count; a lease that has run out is ended with it. A lane whose head goes backs off no more.
async fn leave_lane(connection: &mut Connection, record_id: i64, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "with given as (select lane_id, pos,
            pos = (select min(pos) from record head where head.lane_id = record.lane_id and head.state = 0) as is_head
            from record where id = $1)
        update lane set waiting = waiting - 1, owner = null,
            retry_at = case when given.is_head then null else retry_at end,
            held_by = case when held_by = $1 then null else held_by end,
            due_at = case when waiting = 1 then null when held_by = $1 then max(coalesce(quiet_until, 0), $2)
                when given.is_head and retry_at is not null then max(coalesce(quiet_until, 0), $2) else due_at end
        from given where lane.lane_id = given.lane_id and (owner is null or due_at <= $2)";
    Ok(query(sql).bind(record_id).bind(now).execute(connection).await? == 1)
}

async fn mark_discarded(connection: &mut Connection, record_id: i64, now: Timestamp) -> Result<(), StoreError> {
    let sql = "update record set state = 5, asked = 0, aside_until = null, finished_at = $1 where id = $2";
    query(sql).bind(now).bind(record_id).execute(connection).await?;
    Ok(())
}
