//! A delivery in the form that goes to disk: hashed, compressed and sealed by its caller, so that the writer only writes.

use std::collections::BTreeSet;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::error::StoreError;
use super::pools::{self, PoolEntry, Pools};
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
#[derive(Clone)]
pub(crate) struct PreparedRecord {
    pub(crate) number: u32,
    pub(crate) pool_id: i64,
    pub(crate) integration: Option<i64>,
    pub(crate) event: Option<String>,
    pub(crate) item_sha256: [u8; 32],
    pub(crate) work_hash: Option<[u8; 32]>,
    pub(crate) sender_id: Option<PreparedSenderId>,
    pub(crate) fate: PreparedFate,
}

/// A sender's id as it is remembered.
#[derive(Clone)]
pub(crate) struct PreparedSenderId {
    pub(crate) hash: [u8; 32],
    pub(crate) remember: Duration,
}

/// What is to become of a record.
#[derive(Clone)]
pub(crate) enum PreparedFate {
    Queue(PreparedLane),
    Ignore(String),
    Bury(String),
    /// Newer ones of its lane ran before.
    Supersede(String),
}

/// A lane as rows know it.
#[derive(Clone, Debug)]
pub(crate) struct PreparedLane {
    pub(crate) hash: [u8; 16],
    pub(crate) pool_id: i64,
    pub(crate) label: Vec<u8>,
    pub(crate) quiet: Duration,
    pub(crate) most: Duration,
    /// 0 for records.
    pub(crate) kind: i64,
    /// The other lanes that the record waits in, which have none themselves.
    pub(crate) others: Vec<PreparedLane>,
}

impl PreparedLane {
    /// It and the others.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PreparedLane> {
        std::iter::once(self).chain(&self.others)
    }
}

impl PreparedDelivery {
    /// About how many bytes this will write.
    pub(crate) fn weight(&self) -> usize {
        self.sealed.len()
            + self.masked.len()
            + 512
            + 256 * self.records.iter().map(|record| record.lane().map_or(1, |lane| 1 + lane.others.len())).sum::<usize>()
    }
}

/// The pools that a delivery and its records go to.
pub(crate) async fn pools_of(store: &Store, delivery: &AdmittedDelivery) -> Result<Pools, StoreError> {
    let tenant_id = tenant_of(delivery);
    let tenants: BTreeSet<i64> =
        delivery.records.iter().map(|record| owner_of(record, tenant_id)).chain(std::iter::once(tenant_id)).collect();
    pools::of_tenants(store, &delivery.source, tenants).await
}

/// Whose record this is; 0 for nobody's. What came by one tenant's credentials is that tenant's and never another's.
pub(crate) fn owner_of(record: &AdmittedRecord, delivery_tenant: i64) -> i64 {
    match delivery_tenant {
        0 => record.tenant.as_ref().map_or(0, |tenant| tenant.id),
        tenant_id => tenant_id,
    }
}

fn tenant_of(delivery: &AdmittedDelivery) -> i64 {
    delivery.caller.tenant.as_ref().map_or(0, |tenant| tenant.id)
}

/// Brings a delivery into the form that goes to disk.
pub(crate) fn prepare(store: &Store, pools: &Pools, delivery: &AdmittedDelivery) -> Result<PreparedDelivery, StoreError> {
    let tenant_id = tenant_of(delivery);
    let pool = pools.of(tenant_id)?;
    let owner = Owner { delivery: delivery.id, tenant_id, source: &delivery.source };
    let packed = store.packer().pack(&request_bytes::encode(&delivery.request))?;
    let place = Place { store, pools, source: &delivery.source, delivery_tenant: tenant_id };
    let records = delivery.records.iter().map(|record| prepare_record(place, record));
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

/// Where the records of a delivery belong.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) store: &'a Store,
    /// Those of all tenants that its records are of.
    pub(crate) pools: &'a Pools,
    pub(crate) source: &'a str,
    /// The tenant whose credentials brought the delivery; 0 when it belongs to none.
    pub(crate) delivery_tenant: i64,
}

/// Brings one record into the form that goes to disk.
pub(crate) fn prepare_record(place: Place<'_>, record: &AdmittedRecord) -> Result<PreparedRecord, StoreError> {
    let tenant_id = owner_of(record, place.delivery_tenant);
    let pool = place.pools.of(tenant_id)?;
    let is_foreign = record.tenant.as_ref().is_some_and(|tenant| tenant.id != tenant_id);
    let sender_id = record.sender_id.as_ref().filter(|_| !is_foreign).map(|sender| PreparedSenderId {
        hash: sender_id_hash(place, tenant_id, record.integration, &sender.id),
        remember: sender.remember,
    });
    let fate = match &record.fate {
        _ if is_foreign => PreparedFate::Bury("it names another tenant than the credentials that it came with".to_owned()),
        Fate::Queue(lane) => PreparedFate::Queue(prepare_lanes(place, pool, tenant_id, lane)?),
        Fate::Ignore(reason) => PreparedFate::Ignore(reason.clone()),
        Fate::Bury(reason) => PreparedFate::Bury(reason.clone()),
    };
    Ok(PreparedRecord {
        number: record.number,
        pool_id: pool.pool_id,
        integration: record.integration.filter(|_| !is_foreign),
        event: record.event.clone(),
        item_sha256: record.item_sha256,
        work_hash: record.work_hash,
        sender_id,
        fate,
    })
}

fn prepare_lanes(place: Place<'_>, pool: &PoolEntry, tenant_id: i64, lane: &AdmittedLane) -> Result<PreparedLane, StoreError> {
    let prepared = |label: &String| {
        let mut hash = [0u8; 16];
        hash.copy_from_slice(&bound_hash(place, tenant_id, &[b"lane", label.as_bytes()])[..16]);
        let label = place.store.vault().seal_label(&pool.key, &hash, label)?;
        let AdmittedLane { quiet, most, .. } = *lane;
        Ok::<_, StoreError>(PreparedLane { hash, pool_id: pool.pool_id, label, quiet, most, kind: 0, others: Vec::new() })
    };
    let others = lane.others.iter().map(prepared).collect::<Result<_, _>>()?;
    Ok(PreparedLane { others, ..prepared(&lane.label)? })
}

/// Two integrations of one tenant may be two accounts at the provider, each with ids of its own.
fn sender_id_hash(place: Place<'_>, tenant_id: i64, integration: Option<i64>, id: &str) -> [u8; 32] {
    let integration = integration.unwrap_or(0).to_be_bytes();
    bound_hash(place, tenant_id, &[b"sender id", &integration, id.as_bytes()])
}

fn bound_hash(place: Place<'_>, tenant_id: i64, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(place.store.state_id().as_bytes());
    for part in [place.source.as_bytes(), &tenant_id.to_be_bytes()].iter().chain(parts) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
