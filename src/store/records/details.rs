//! One delivery: what people may see of it, and the raw request for those who run it again.

use uuid::Uuid;

use super::listing::{Filter, list};
use crate::clock::Timestamp;
use crate::model::caller::StoredCaller;
use crate::model::delivery::{DeliveryId, Request};
use crate::model::record::RecordSummary;
use crate::store::attempts::{self, RecordAttempt};
use crate::store::compression::{unpack, unpack_text};
use crate::store::error::StoreError;
use crate::store::request_bytes;
use crate::store::sql::{Row, Texts, fixed, moment, query};
use crate::store::state::Store;
use crate::store::vault::Owner;
use crate::store::vault_keys;

/// The most records of one delivery that are shown.
const MOST_RECORDS: usize = 10_000;
/// The most deliveries that a prefix may stand for.
const MOST_FOUND: i64 = 20;

/// A delivery as it is shown: nothing in it is secret.
#[derive(Clone, Debug)]
pub struct DeliveryDetails {
    /// Its id.
    pub id: DeliveryId,
    /// The source's name.
    pub source: String,
    /// When its last byte was read.
    pub received_at: Timestamp,
    /// Who sent it.
    pub caller: StoredCaller,
    /// The version of the source's files that admitted it.
    pub bundle_hash: [u8; 32],
    /// SHA-256 of the body.
    pub raw_sha256: [u8; 32],
    /// Bytes of the body.
    pub raw_bytes: u64,
    /// Whether the request itself is still kept; without it nothing can run again.
    pub is_kept: bool,
    /// What may be seen of the request: JSON, secrets masked.
    pub masked: String,
    /// Its records, by number and run.
    pub records: Vec<RecordSummary>,
    /// Their attempts, by record and in the order they were made.
    pub attempts: Vec<RecordAttempt>,
}

/// A delivery with its request as it came in.
#[derive(Clone, Debug)]
pub struct StoredDelivery {
    /// The request, byte for byte.
    pub request: Request,
    /// When its last byte was read.
    pub received_at: Timestamp,
    /// Who sent it.
    pub caller: StoredCaller,
    /// The source's name.
    pub source: String,
    /// The version of the source's files that admitted it.
    pub bundle_hash: [u8; 32],
}

/// Everything that may be seen of a delivery.
pub async fn show(store: &Store, id: DeliveryId) -> Result<Option<DeliveryDetails>, StoreError> {
    macro_rules! text {
        ($same_day:literal) => {
            concat!(
                "select d.delivery_row, p.source, d.received_at, d.caller, d.bundle_hash, d.raw_sha256, d.raw_bytes, d.masked,
                exists (select 1 from delivery_raw raw where raw.delivery_row = d.delivery_row",
                $same_day,
                ") as is_kept from delivery d join pool p on p.pool_id = d.pool_id where d.id = $1"
            )
        };
    }
    const SHOWN: Texts = Texts { sqlite: text!(""), postgres: text!(" and raw.received_on = d.received_at / 86400000000") };
    let Some(row) = store.read_first(query(SHOWN).bind(id.0.as_bytes())).await? else { return Ok(None) };
    let mut records = list(store, &Filter { delivery: Some(id), limit: MOST_RECORDS, ..Filter::default() }).await?;
    records.sort_by_key(|record| (record.number, record.run));
    let masked: Option<&[u8]> = row.get("masked")?;
    let raw_bytes: i64 = row.get("raw_bytes")?;
    Ok(Some(DeliveryDetails {
        id,
        source: row.get("source")?,
        received_at: moment(row.get("received_at")?),
        caller: caller(row.get("caller")?)?,
        bundle_hash: fixed(row.get("bundle_hash")?, "a bundle's hash")?,
        raw_sha256: fixed(row.get("raw_sha256")?, "a body's hash")?,
        raw_bytes: u64::try_from(raw_bytes).unwrap_or(0),
        is_kept: row.get("is_kept")?,
        masked: masked.map(|packed| unpack_text(packed, "a masked request")).transpose()?.unwrap_or_default(),
        records,
        attempts: attempts::of_delivery(store, row.get("delivery_row")?).await?,
    }))
}

/// The deliveries whose id is, begins with or, if none does, ends with `text`: at most 20, oldest first. Ids of one moment begin
/// alike, so people cut them from the front.
pub async fn find(store: &Store, text: &str) -> Result<Vec<DeliveryId>, StoreError> {
    let digits: String = text.trim().to_ascii_lowercase().chars().filter(|letter| *letter != '-' && *letter != '…').collect();
    if digits.is_empty() || digits.len() > 32 || !digits.chars().all(|letter| letter.is_ascii_hexdigit()) {
        return Err(StoreError::Refused(format!("`{text}` is no delivery id, nor the beginning or end of one")));
    }
    let mut ids = ids_beginning_with(store, &digits).await?;
    if ids.is_empty() {
        ids = ids_ending_in(store, &digits).await?;
    }
    ids.iter().map(|id| Ok(DeliveryId(Uuid::from_bytes(fixed(id, "a delivery's id")?)))).collect()
}

async fn ids_beginning_with(store: &Store, digits: &str) -> Result<Vec<Vec<u8>>, StoreError> {
    let bound =
        |filler: &str| hex::decode(format!("{digits}{}", filler.repeat(32 - digits.len()))).expect("only hex digits, 32 of them");
    let sql = "select id from delivery where id between $1 and $2 order by id limit $3";
    let rows = store.read(query(sql).bind(bound("0")).bind(bound("f")).bind(MOST_FOUND)).await?;
    rows.iter().map(|row| row.get("id")).collect()
}

async fn ids_ending_in(store: &Store, digits: &str) -> Result<Vec<Vec<u8>>, StoreError> {
    const ENDING_IN: Texts = Texts {
        sqlite: "select id from delivery where substr(hex(id), -length($1)) = upper($1) order by id limit $2",
        postgres: "select id from delivery where right(encode(id, 'hex'), length($1)) = $1 order by id limit $2",
    };
    // the last four bytes have an index
    const ENDING_ALIKE: &str = "select id from delivery where substr(id, 13) = $1";
    let Some(last) = digits.len().checked_sub(8).and_then(|at| hex::decode(&digits[at..]).ok()) else {
        let rows = store.search(query(ENDING_IN).bind(digits).bind(MOST_FOUND)).await?;
        return rows.iter().map(|row| row.get("id")).collect();
    };
    let rows = store.read(query(ENDING_ALIKE).bind(last)).await?;
    let mut found: Vec<Vec<u8>> = rows.iter().map(|row| row.get("id")).collect::<Result<_, _>>()?;
    found.retain(|id| hex::encode(id).ends_with(digits));
    found.sort();
    found.truncate(usize::try_from(MOST_FOUND).unwrap_or(usize::MAX));
    Ok(found)
}

/// A delivery with its raw request, unsealed.
pub async fn request(store: &Store, id: DeliveryId) -> Result<StoredDelivery, StoreError> {
    let found = requests(store, &[id]).await?.pop();
    found.map_or_else(|| Err(StoreError::NotFound(format!("there is no delivery `{id}`"))), |(_, stored)| stored)
}

/// The deliveries of these ids that there are, each with its raw request or why that cannot be had.
pub async fn requests(
    store: &Store,
    ids: &[DeliveryId],
) -> Result<Vec<(DeliveryId, Result<StoredDelivery, StoreError>)>, StoreError> {
    macro_rules! text {
        ($asked:literal, $same_day:literal) => {
            concat!(
                "select d.id, p.source, p.tenant_id, d.received_at, d.caller, d.bundle_hash, raw.key_id, raw.sealed
                from ",
                $asked,
                " join pool p on p.pool_id = d.pool_id left join delivery_raw raw on raw.delivery_row = d.delivery_row",
                $same_day
            )
        };
    }
    const REQUESTS: Texts = Texts {
        sqlite: text!("json_each($1) asked join delivery d on d.id = unhex(asked.value)", ""),
        postgres: text!(
            "jsonb_array_elements_text($1::jsonb) asked join delivery d on d.id = decode(asked.value, 'hex')",
            " and raw.received_on = d.received_at / 86400000000"
        ),
    };
    let asked: Vec<String> = ids.iter().map(|id| hex::encode(id.0.as_bytes())).collect();
    let rows = store.read(query(REQUESTS).bind(serde_json::json!(asked).to_string())).await?;
    let key_ids: Vec<Option<i64>> = rows.iter().map(|row| row.get("key_id")).collect::<Result<_, _>>()?;
    vault_keys::have(store, key_ids.into_iter().flatten()).await?;
    let mut found = Vec::with_capacity(ids.len());
    for row in rows {
        let id = DeliveryId(Uuid::from_bytes(fixed(row.get("id")?, "a delivery's id")?));
        found.push((id, unsealed(store, id, &row)));
    }
    Ok(found)
}

fn unsealed(store: &Store, id: DeliveryId, row: &Row) -> Result<StoredDelivery, StoreError> {
    let sealed: Option<&[u8]> = row.get("sealed")?;
    let sealed = sealed.ok_or_else(|| StoreError::NotFound(format!("the request of delivery `{id}` is no longer kept")))?;
    let source: String = row.get("source")?;
    let owner = Owner { delivery: id, tenant_id: row.get("tenant_id")?, source: &source };
    let packed = store.vault().open_request(row.get("key_id")?, &owner, sealed)?;
    Ok(StoredDelivery {
        request: request_bytes::decode(unpack(&packed, "a stored request")?)?,
        received_at: moment(row.get("received_at")?),
        caller: caller(row.get("caller")?)?,
        bundle_hash: fixed(row.get("bundle_hash")?, "a bundle's hash")?,
        source,
    })
}

fn caller(text: &str) -> Result<StoredCaller, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged(format!("a stored caller cannot be read: {error}")))
}
