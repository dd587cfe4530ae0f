//! A delivery in the form that goes to disk: hashed, compressed and sealed by its caller, so that the writer only writes.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::error::StoreError;
use super::pools::PoolEntry;
use super::request_bytes;
use super::state::Store;
use super::vault::Owner;
use crate::clock::Timestamp;
use crate::model::delivery::{AdmittedDelivery, DeliveryId};
use crate::model::lane::AdmittedLane;
use crate::model::record::{AdmittedRecord, Fate};

/// A delivery, ready to be written.
pub(crate) struct PreparedDelivery {
    pub(crate) id: DeliveryId,
    pub(crate) pool_id: i64,
    pub(crate) received_at: Timestamp,
    pub(crate) admit_hash: [u8; 32],
    pub(crate) bundle_hash: [u8; 32],
    pub(crate) caller: String,
    pub(crate) raw_sha256: [u8; 32],
    pub(crate) raw_bytes: i64,
    pub(crate) masked: Vec<u8>,
    pub(crate) key_id: i64,
    pub(crate) sealed: Vec<u8>,
    pub(crate) records: Vec<PreparedRecord>,
}

/// A record, ready to be written.
pub(crate) struct PreparedRecord {
    pub(crate) number: u32,
    pub(crate) event: Option<String>,
    pub(crate) item_sha256: [u8; 32],
    pub(crate) work_hash: Option<[u8; 32]>,
    pub(crate) sender_id: Option<PreparedSenderId>,
    pub(crate) fate: PreparedFate,
}

/// A sender's id as it is remembered.
pub(crate) struct PreparedSenderId {
    pub(crate) hash: [u8; 32],
    pub(crate) remember: Duration,
}

/// What is to become of a record.
pub(crate) enum PreparedFate {
    Queue(PreparedLane),
    Ignore(String),
    Bury(String),
}

/// A lane as rows know it.
#[derive(Clone)]
pub(crate) struct PreparedLane {
    pub(crate) hash: [u8; 16],
    pub(crate) pool_id: i64,
    pub(crate) label: Vec<u8>,
    pub(crate) quiet: Duration,
    pub(crate) most: Duration,
}

impl PreparedDelivery {
    /// About how many bytes this will write.
    pub(crate) fn weight(&self) -> usize {
        self.sealed.len() + self.masked.len() + 512 + 256 * self.records.len()
    }
}

/// Brings a delivery into the form that goes to disk.
pub(crate) fn prepare(store: &Store, pool: &PoolEntry, delivery: &AdmittedDelivery) -> Result<PreparedDelivery, StoreError> {
    let tenant_id = delivery.caller.tenant.as_ref().map_or(0, |tenant| tenant.id);
    let owner = Owner { delivery: delivery.id, tenant_id, source: &delivery.source };
    let packed = store.packer().pack(&request_bytes::encode(&delivery.request))?;
    let records = delivery.records.iter().map(|record| prepare_record(store, pool, &delivery.source, tenant_id, record));
    Ok(PreparedDelivery {
        id: delivery.id,
        pool_id: pool.pool_id,
        received_at: delivery.received_at,
        admit_hash: delivery.admit_hash,
        bundle_hash: delivery.bundle_hash,
        caller: serde_json::to_string(&delivery.caller).map_err(|error| StoreError::Damaged(error.to_string()))?,
        raw_sha256: Sha256::digest(&delivery.request.body).into(),
        raw_bytes: i64::try_from(delivery.request.body.len()).unwrap_or(i64::MAX),
        masked: store.packer().pack(delivery.masked.as_bytes())?,
        key_id: pool.key.key_id,
        sealed: store.vault().seal_request(&pool.key, &owner, &packed)?,
        records: records.collect::<Result<_, _>>()?,
    })
}

/// Brings one record into the form that goes to disk.
pub(crate) fn prepare_record(
    store: &Store,
    pool: &PoolEntry,
    source: &str,
    tenant_id: i64,
    record: &AdmittedRecord,
) -> Result<PreparedRecord, StoreError> {
    let sender_id = record.sender_id.as_ref().map(|sender| PreparedSenderId {
        hash: bound_hash(store, source, tenant_id, "sender id", &sender.id),
        remember: sender.remember,
    });
    let fate = match &record.fate {
        Fate::Queue(lane) => PreparedFate::Queue(prepare_lane(store, pool, source, tenant_id, lane)?),
        Fate::Ignore(reason) => PreparedFate::Ignore(reason.clone()),
        Fate::Bury(reason) => PreparedFate::Bury(reason.clone()),
    };
    Ok(PreparedRecord {
        number: record.number,
        event: record.event.clone(),
        item_sha256: record.item_sha256,
        work_hash: record.work_hash,
        sender_id,
        fate,
    })
}

fn prepare_lane(
    store: &Store,
    pool: &PoolEntry,
    source: &str,
    tenant_id: i64,
    lane: &AdmittedLane,
) -> Result<PreparedLane, StoreError> {
    let mut hash = [0u8; 16];
    hash.copy_from_slice(&bound_hash(store, source, tenant_id, "lane", &lane.label)[..16]);
    let label = store.vault().seal_label(&pool.key, &hash, &lane.label)?;
    Ok(PreparedLane { hash, pool_id: pool.pool_id, label, quiet: lane.quiet, most: lane.most })
}

fn bound_hash(store: &Store, source: &str, tenant_id: i64, purpose: &str, text: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(store.state_id().as_bytes());
    for part in [source.as_bytes(), &tenant_id.to_be_bytes(), purpose.as_bytes(), text.as_bytes()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
