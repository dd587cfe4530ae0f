//! Pools (source × tenant) and their tenants' data keys: made when the first delivery comes, known in memory from then on.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::error::StoreError;
use super::opening::hold_master_key;
use super::sql::{Connection, Row, moment, query};
use super::state::Store;
use super::vault::DataKey;
use crate::clock::Timestamp;

/// A pool as appends need it.
#[derive(Clone)]
pub(crate) struct PoolEntry {
    pub(crate) pool_id: i64,
    pub(crate) key: Arc<DataKey>,
}

/// The pools of one source that some records go to, by tenant.
pub(crate) struct Pools(HashMap<i64, PoolEntry>);

impl Pools {
    /// The pool of a tenant that was asked for; 0 for none.
    pub(crate) fn of(&self, tenant_id: i64) -> Result<&PoolEntry, StoreError> {
        self.0.get(&tenant_id).ok_or_else(|| StoreError::Damaged(format!("the pool of tenant {tenant_id} was not asked for")))
    }
}

/// The pools that were asked for since the start, by source and tenant.
#[derive(Default)]
pub(crate) struct KnownPools {
    entries: RwLock<HashMap<String, HashMap<i64, PoolEntry>>>,
    /// Held while one is asked for, so that of many who come at the same moment, as after a restart, only the first asks.
    turn: tokio::sync::Mutex<()>,
}

impl KnownPools {
    fn get(&self, source: &str, tenant_id: i64) -> Option<PoolEntry> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(source)?.get(&tenant_id).cloned()
    }

    fn insert(&self, source: &str, tenant_id: i64, entry: PoolEntry) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.entry(source.to_owned()).or_default().insert(tenant_id, entry);
    }
}

/// A pool whose work waits because the provider refuses the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// The source.
    pub source: String,
    /// The tenant's number; 0 for none.
    pub tenant_id: i64,
    /// What the provider said.
    pub reason: String,
}

/// The pools that wait for other credentials now.
pub async fn needing_attention(store: &Store) -> Result<Vec<Attention>, StoreError> {
    let sql =
        "select source, tenant_id, reason from pool where needs_attention = 1 and paused_until > $1 order by source, tenant_id";
    let rows = store.read(query(sql).bind(store.clock().now())).await?;
    let attention = |row: &Row| {
        let reason: Option<String> = row.get("reason")?;
        Ok(Attention { source: row.get("source")?, tenant_id: row.get("tenant_id")?, reason: reason.unwrap_or_default() })
    };
    rows.iter().map(attention).collect()
}

/// A pool whose work waits, whatever for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The tenant's name; nothing where the source has none.
    pub tenant: Option<String>,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Whether it waits for other credentials.
    pub needs_attention: bool,
}

/// The pools of a source that are held now.
pub async fn held(store: &Store, source: &str) -> Result<Vec<Held>, StoreError> {
    let sql =
        "select t.name, p.paused_until, p.reason, p.needs_attention from pool p left join tenant t on t.tenant_id = p.tenant_id
        where p.source = $1 and p.paused_until > $2 order by p.tenant_id";
    let rows = store.read(query(sql).bind(source).bind(store.clock().now())).await?;
    let held = |row: &Row| {
        let (reason, needs_attention): (Option<String>, i64) = (row.get("reason")?, row.get("needs_attention")?);
        let reason = reason.unwrap_or_default();
        let until = moment(row.get("paused_until")?);
        Ok(Held { tenant: row.get("name")?, until, reason, needs_attention: needs_attention != 0 })
    };
    rows.iter().map(held).collect()
}

/// The pools of these tenants.
pub(crate) async fn of_tenants(store: &Store, source: &str, tenants: impl IntoIterator<Item = i64>) -> Result<Pools, StoreError> {
    let mut pools = HashMap::new();
    for tenant_id in tenants {
        if let std::collections::hash_map::Entry::Vacant(slot) = pools.entry(tenant_id) {
            slot.insert(find_or_make(store, source, tenant_id).await?);
        }
    }
    Ok(Pools(pools))
}

/// The pool of a source and tenant with the tenant's data key; both are made when they are first asked for.
async fn find_or_make(store: &Store, source: &str, tenant_id: i64) -> Result<PoolEntry, StoreError> {
    if let Some(entry) = store.known_pools().get(source, tenant_id) {
        return Ok(entry);
    }
    let _turn = store.known_pools().turn.lock().await;
    if let Some(entry) = store.known_pools().get(source, tenant_id) {
        return Ok(entry);
    }
    let name = source.to_owned();
    let job = store.writer().run(move |connection, _| Box::pin(find_or_insert_pool(connection, name, tenant_id)));
    let entry = PoolEntry { pool_id: job.await?, key: data_key(store, tenant_id).await? };
    store.known_pools().insert(source, tenant_id, entry.clone());
    Ok(entry)
}

/// A tenant's data key, made when it is first asked for. Never while the master key is rotated: what wraps it must not change
/// between here and the row.
pub(crate) async fn data_key(store: &Store, tenant_id: i64) -> Result<Arc<DataKey>, StoreError> {
    let _turn = store.master_key_turn().lock().await;
    let wrapped = store.vault().new_wrapped_key(tenant_id)?;
    let vault = store.clone();
    let job = store.writer().run(move |connection, _| Box::pin(find_or_insert_data_key(connection, vault, tenant_id, wrapped)));
    let (key_id, wrapped) = job.await?;
    match store.vault().key(key_id) {
        Some(key) => Ok(key),
        None => store.vault().unwrap_key(key_id, tenant_id, &wrapped),
    }
}

async fn find_or_insert_data_key(
    connection: &mut Connection,
    store: Store,
    tenant_id: i64,
    wrapped: Vec<u8>,
) -> Result<(i64, Vec<u8>), StoreError> {
    hold_master_key(connection, store.vault()).await?;
    if let Some(found) = find_data_key(connection, tenant_id).await? {
        return Ok(found);
    }
    let key_id = insert_data_key(connection, tenant_id, &wrapped).await?;
    Ok((key_id, wrapped))
}

async fn find_or_insert_pool(connection: &mut Connection, source: String, tenant_id: i64) -> Result<i64, StoreError> {
    let sql = "insert into pool (source, tenant_id) values ($1, $2)
        on conflict (source, tenant_id) do update set source = excluded.source returning pool_id";
    query(sql).bind(source).bind(tenant_id).fetch_one(connection).await?.get("pool_id")
}

async fn find_data_key(connection: &mut Connection, tenant_id: i64) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
    let sql = "select key_id, wrapped from data_key where tenant_id = $1 order by key_id desc limit 1";
    let row = query(sql).bind(tenant_id).fetch_optional(connection).await?;
    row.map(|row| Ok((row.get("key_id")?, row.get("wrapped")?))).transpose()
}

async fn insert_data_key(connection: &mut Connection, tenant_id: i64, wrapped: &[u8]) -> Result<i64, StoreError> {
    let sql = "insert into data_key (tenant_id, wrapped) values ($1, $2) returning key_id";
    query(sql).bind(tenant_id).bind(wrapped).fetch_one(connection).await?.get("key_id")
}
