//! Senders' own ids of records: which are known, which are new, and what a second one of the same means.

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use super::rows::{execute, fixed, pieces, statement};
use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::store::error::StoreError;

/// The record that first came with an id.
#[derive(Clone, Copy)]
pub(crate) struct Original {
    pub(crate) delivery: DeliveryId,
    pub(crate) number: u32,
}

/// An id to be remembered.
pub(crate) struct Remembered {
    pub(crate) hash: [u8; 32],
    pub(crate) original: Original,
    pub(crate) expires_at: Timestamp,
}

/// The originals of those ids that are known and not expired.
pub(crate) async fn look_up(
    connection: &mut SqliteConnection,
    hashes: &[[u8; 32]],
    now: Timestamp,
) -> Result<HashMap<[u8; 32], Original>, StoreError> {
    const BEFORE: &str = "select s.hash, s.delivery_id, s.record_no from (";
    const AFTER: &str = ") as asked join sender_id s on s.hash = asked.column1 where s.expires_at > ";
    let mut known = HashMap::new();
    for piece in pieces(hashes) {
        let mut builder = statement(BEFORE, piece, AFTER, |mut row, hash| {
            row.push_bind(hash.to_vec());
        });
        builder.push_bind(now.as_micros());
        for row in builder.build().fetch_all(&mut *connection).await? {
            let delivery = DeliveryId(Uuid::from_bytes(fixed(row.try_get("delivery_id")?, "a delivery's id")?));
            let hash = fixed(row.try_get("hash")?, "a sender id's hash")?;
            known.insert(hash, Original { delivery, number: row.try_get("record_no")? });
        }
    }
    Ok(known)
}

/// Remembers ids; one that had expired starts anew.
pub(crate) async fn remember(connection: &mut SqliteConnection, ids: &[Remembered]) -> Result<(), StoreError> {
    const BEFORE: &str = "insert into sender_id (hash, delivery_id, record_no, expires_at) ";
    const AFTER: &str = " on conflict (hash) do update set
        delivery_id = excluded.delivery_id, record_no = excluded.record_no, expires_at = excluded.expires_at";
    execute(connection, BEFORE, ids, AFTER, |mut row, id| {
        row.push_bind(id.hash.to_vec()).push_bind(id.original.delivery.0.as_bytes().to_vec());
        row.push_bind(id.original.number).push_bind(id.expires_at.as_micros());
    })
    .await
}

/// Opens dead originals again: they are asked to be admitted anew, as a replay would.
pub(crate) async fn reopen_dead(connection: &mut SqliteConnection, originals: &[Original]) -> Result<(), StoreError> {
    const BEFORE: &str = "with sent_again as (";
    const AFTER: &str = ") update record set asked = 1 from sent_again join delivery d on d.id = sent_again.column1
        where record.delivery_row = d.delivery_row and record.record_no = sent_again.column2 and record.state = 4
            and record.asked = 0 and not exists (select 1 from record later where later.delivery_row = record.delivery_row
                and later.record_no = record.record_no and later.run > record.run)";
    execute(connection, BEFORE, originals, AFTER, |mut row, original| {
        row.push_bind(original.delivery.0.as_bytes().to_vec()).push_bind(original.number);
    })
    .await
}

/// Forgets up to 500 ids whose time is over.
pub(crate) async fn forget_expired(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "delete from sender_id where hash in (select hash from sender_id where expires_at <= ? limit 500)";
    sqlx::query(sql).bind(now.as_micros()).execute(connection).await?;
    Ok(())
}
