//! Forwards that a person sends again, or gives up.

use super::error::StoreError;
use super::forwards::lane_for;
use super::queue::lane_rows::enqueue;
use super::records::ReplayAnswer;
use super::sql::{Connection, Texts, fixed, query};
use super::state::Store;
use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;

/// How many are put back in one transaction, so that deliveries never wait for more.
const AT_A_TIME: i64 = 50;

/// Puts the dead forwards of a delivery (or of one of its records) at the ends of their lanes; their tries begin anew. Says how many,
/// and which records have none.
pub async fn replay(store: &Store, delivery: DeliveryId, number: Option<u32>) -> Result<ReplayAnswer, StoreError> {
    let mut answer = ReplayAnswer::default();
    loop {
        let job = store.writer().run_and_wake(move |connection, now| Box::pin(replay_some(connection, delivery, number, now)));
        let marked = job.await?;
        answer.marked += marked;
        if marked < AT_A_TIME.unsigned_abs() {
            return Ok(answer);
        }
    }
}

/// Gives the dead forwards of a delivery (or of one of its records) up; says how many.
pub async fn discard(store: &Store, delivery: DeliveryId, number: Option<u32>) -> Result<u64, StoreError> {
    store.writer().run(move |connection, now| Box::pin(discard_all(connection, delivery, number, now))).await
}

async fn replay_some(
    connection: &mut Connection,
    delivery: DeliveryId,
    number: Option<u32>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    macro_rules! text {
        ($lock:literal) => {
            concat!(
                "select j.id, j.lane_hash, j.pool_id from delivery d join record r on r.delivery_row = d.delivery_row
                join forward_job j on j.record_id = r.id where d.id = $1 and j.state = 4 and ($2 is null or r.record_no = $2)
                order by j.id limit $3",
                $lock
            )
        };
    }
    // whoever asks for the same at the same moment waits, and finds none that are dead
    const DEAD: Texts = Texts { sqlite: text!(""), postgres: text!(" for update of j") };
    let mut marked = 0;
    for row in query(DEAD).bind(delivery.0.as_bytes()).bind(number).bind(AT_A_TIME).fetch_all(connection).await? {
        let lane = lane_for(fixed(row.get("lane_hash")?, "a lane's hash")?, row.get("pool_id")?);
        let place = enqueue(connection, &[&lane], now).await?.remove(&lane.hash);
        let sql = "update forward_job set state = 0, lane_id = $2, pos = $3, attempts = 0, first_failed_at = null, reason = null,
            finished_at = null where id = $1 and state = 4";
        let update = query(sql).bind(row.get::<Vec<u8>>("id")?).bind(place.map(|place| place.lane_id));
        update.bind(place.map(|place| place.next_position)).execute(connection).await?;
        marked += 1;
    }
    Ok(marked)
}

async fn discard_all(
    connection: &mut Connection,
    delivery: DeliveryId,
    number: Option<u32>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "update forward_job set state = 5, finished_at = $3, sealed = $4 where state = 4 and record_id in (
        select r.id from delivery d join record r on r.delivery_row = d.delivery_row
        where d.id = $1 and ($2 is null or r.record_no = $2))";
    let update = query(sql).bind(delivery.0.as_bytes()).bind(number).bind(now).bind(Vec::<u8>::new());
    update.execute(connection).await
}
