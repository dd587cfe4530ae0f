//! Senders' own ids of records: which are known, which are new, and what a second one of the same means.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Many, fixed, query, values};

/// The most that are forgotten at a time.
const AT_A_TIME: i64 = 500;

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
    connection: &mut Connection,
    hashes: &[[u8; 32]],
    now: Timestamp,
) -> Result<HashMap<[u8; 32], Original>, StoreError> {
    let statement = Many::new(
        "with asked (hash, now) as (",
        ") select s.hash, s.delivery_id, s.record_no from asked join sender_id s on s.hash = asked.hash
            where s.expires_at > asked.now",
    );
    let mut known = HashMap::new();
    for row in statement.fetch_all(connection, hashes, |hash| values![hash, now]).await? {
        let delivery = DeliveryId(Uuid::from_bytes(fixed(row.get("delivery_id")?, "a delivery's id")?));
        let hash = fixed(row.get("hash")?, "a sender id's hash")?;
        known.insert(hash, Original { delivery, number: row.get("record_no")? });
    }
    Ok(known)
}

/// Remembers ids, given in the order of their hashes; one that had expired starts anew. Returns those that were not known: where
/// others write to the same state, someone may have been faster.
pub(crate) async fn remember(
    connection: &mut Connection,
    ids: &[Remembered],
    now: Timestamp,
) -> Result<HashSet<[u8; 32]>, StoreError> {
    let statement = Many::new(
        "insert into sender_id (hash, delivery_id, record_no, expires_at, remembered_at) ",
        " on conflict (hash) do update set delivery_id = excluded.delivery_id, record_no = excluded.record_no,
            expires_at = excluded.expires_at, remembered_at = excluded.remembered_at
            where sender_id.expires_at <= excluded.remembered_at returning hash",
    );
    let row = |id: &Remembered| {
        let Remembered { hash, original, expires_at } = id;
        values![hash, original.delivery.0.as_bytes(), original.number, *expires_at, now]
    };
    let rows = statement.fetch_all(connection, ids, row).await?;
    rows.iter().map(|row| fixed(row.get("hash")?, "a sender id's hash")).collect()
}

/// Opens dead originals again: they are asked to be admitted anew, as a replay would.
pub(crate) async fn reopen_dead(connection: &mut Connection, originals: &[Original]) -> Result<(), StoreError> {
    let statement = Many::new(
        "with sent_again (id, record_no) as (",
        ") update record set asked = 1 from sent_again join delivery d on d.id = sent_again.id
            where record.delivery_row = d.delivery_row and record.record_no = sent_again.record_no and record.state = 4
                and record.asked = 0 and not exists (select 1 from record later where later.delivery_row = record.delivery_row
                    and later.record_no = record.record_no and later.run > record.run)",
    );
    statement.execute(connection, originals, |original| values![original.delivery.0.as_bytes(), original.number]).await
}

/// Forgets some ids whose time is over; whether there may be more.
pub(crate) async fn forget_expired(connection: &mut Connection, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "delete from sender_id where hash in (select hash from sender_id where expires_at <= $1 limit $2)";
    Ok(query(sql).bind(now).bind(AT_A_TIME).execute(connection).await? == AT_A_TIME.unsigned_abs())
}
