//! Senders' own ids of records: which are known, which are new, and what a second one of the same means.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Many, Texts, fixed, query, values};

/// How often it is looked whether there are ids whose time is over, how many are forgotten at once, and how long after that the next.
const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGOTTEN_AT_ONCE: u64 = 1000;
const FORGET_MORE_AFTER: Duration = Duration::from_millis(200);

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

/// When ids whose time is over are forgotten next.
pub(crate) struct Forgetting {
    at: Timestamp,
}

impl Forgetting {
    /// From now on.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { at: now }
    }

    /// Forgets some, when it is time: a few at once, so that nothing waits for it, and the next ones soon, so that it keeps up with what
    /// comes.
    pub(crate) async fn when_due(&mut self, connection: &mut Connection, now: Timestamp) {
        // one that is due later than that is from before the clock went back
        if self.at > now && self.at <= now + FORGET_EVERY {
            return;
        }
        let forgotten = forget_expired(connection, now).await;
        let are_more = forgotten.as_ref().is_ok_and(|count| *count == FORGOTTEN_AT_ONCE);
        self.at = now + if are_more { FORGET_MORE_AFTER } else { FORGET_EVERY };
        if let Err(error) = forgotten {
            tracing::warn!(%error, "senders' ids whose time is over could not be forgotten; it is tried again");
        }
    }
}

/// Forgets some ids whose time is over; how many. Where others write to the same state, what they hold is passed over.
async fn forget_expired(connection: &mut Connection, now: Timestamp) -> Result<u64, StoreError> {
    macro_rules! text {
        ($lock:literal) => {
            concat!("delete from sender_id where hash in (select hash from sender_id where expires_at <= $1 limit $2", $lock, ")")
        };
    }
    const EXPIRED: Texts = Texts { sqlite: text!(""), postgres: text!(" for update skip locked") };
    let limit = i64::try_from(FORGOTTEN_AT_ONCE).unwrap_or(i64::MAX);
    query(EXPIRED).bind(now).bind(limit).execute(connection).await
}
