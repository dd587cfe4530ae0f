//! Items of a delivery that got no record when it came, because the route file of then did not split it, or not so. They become
//! records that are asked to run, after all that waits.

use sqlx::SqliteConnection;

use super::sender_ids::{Original, Remembered, look_up, remember};
use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::model::record::RecordId;
use crate::store::error::StoreError;
use crate::store::intake_form::PreparedRecord;
use crate::store::sqlite::rows::fixed;

/// Adds them behind a record of their delivery. One that the sender has sent before, by its own id, is a duplicate and left out.
pub(crate) async fn add_further(
    connection: &mut SqliteConnection,
    behind: RecordId,
    further: &[PreparedRecord],
    now: Timestamp,
) -> Result<(), StoreError> {
    if further.is_empty() {
        return Ok(());
    }
    let delivery = delivery_of(connection, behind).await?;
    for record in further {
        if let Some(sender_id) = &record.sender_id {
            if !look_up(connection, &[sender_id.hash], now).await?.is_empty() {
                continue;
            }
            let original = Original { delivery, number: record.number };
            remember(connection, &[Remembered { hash: sender_id.hash, original, expires_at: now + sender_id.remember }]).await?;
        }
        add(connection, behind, record, now).await?;
    }
    Ok(())
}

async fn delivery_of(connection: &mut SqliteConnection, record: RecordId) -> Result<DeliveryId, StoreError> {
    let sql = "select d.id from record r join delivery d on d.delivery_row = r.delivery_row where r.id = ?";
    let id: Vec<u8> = sqlx::query_scalar(sql).bind(record.0).fetch_one(connection).await?;
    Ok(DeliveryId(uuid::Uuid::from_bytes(fixed(&id, "a delivery's id")?)))
}

/// A row that counts as old as the record it stands behind, so that it does not undo what came since.
async fn add(
    connection: &mut SqliteConnection,
    behind: RecordId,
    record: &PreparedRecord,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "insert into record (delivery_row, pool_id, integration_id, record_no, event, state, item_sha256, reason, finished_at, asked, first_run)
        select delivery_row, ?6, ?7, ?2, ?3, 2, ?4, 'the route file finds this item since it changed', ?5, 1, coalesce(first_run, id)
        from record where id = ?1 on conflict do nothing";
    let query = sqlx::query(sql).bind(behind.0).bind(record.number).bind(&record.event).bind(record.item_sha256.to_vec());
    query.bind(now.as_micros()).bind(record.pool_id).bind(record.integration).execute(connection).await?;
    Ok(())
}
