//! API keys: made and shown once, kept as their SHA-256. Verifying reads a snapshot in memory, so that no request waits for a
//! database; whatever this store changes is in the snapshot before the change is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine as _;
use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::StoreError;
use super::master_key::random_key;
use super::sqlite::rows::{fixed, moment};
use super::state::{Store, uninterrupted};
use crate::clock::Timestamp;
use crate::model::api_key::ApiKey;
use crate::model::tenant::Tenant;
use crate::secret::Secret;

/// What every key begins with, so that people and secret scanners know one when they see it.
pub const PREFIX: &str = "htk_";
const MINUTE: i64 = 60_000_000;

/// The keys in memory, and which were noted as used in which minute.
pub(crate) struct Snapshot {
    keys: RwLock<Arc<Keys>>,
    /// Held while something changes, so that a later change is never covered by an earlier one.
    turn: tokio::sync::Mutex<()>,
    noted: Mutex<HashMap<i64, i64>>,
}

/// Keys by the first bytes of their hash. Finding one by them tells nothing: they are of a hash of 32 random bytes.
type Keys = HashMap<[u8; 8], Vec<ApiKey>>;

impl Snapshot {
    /// A snapshot of these keys.
    pub(crate) fn new(keys: Vec<ApiKey>) -> Self {
        Self { keys: RwLock::new(Arc::new(by_hash(keys))), turn: tokio::sync::Mutex::default(), noted: Mutex::default() }
    }

    fn replace(&self, keys: Vec<ApiKey>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(by_hash(keys));
    }

    fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Makes a key for a tenant and source. The second value is the key itself, which is nowhere else from now on.
pub async fn create(
    store: &Store,
    tenant: &Tenant,
    source: &str,
    description: &str,
) -> Result<(ApiKey, Secret<String>), StoreError> {
    let (made, key) = new_key(store, tenant, source, description)?;
    let made = changed(store, move |connection, _| Box::pin(insert_and_read(connection, made))).await?;
    Ok((made, key))
}

fn new_key(store: &Store, tenant: &Tenant, source: &str, description: &str) -> Result<(ApiKey, Secret<String>), StoreError> {
    let text = Zeroizing::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random_key()?.as_slice()));
    let key = Secret::new(format!("{PREFIX}{}", text.as_str()));
    let made = ApiKey {
        id: 0,
        tenant: tenant.clone(),
        source: source.to_owned(),
        description: description.to_owned(),
        sha256: Sha256::digest(key.expose()).into(),
        ending: key.expose()[key.expose().len() - 4..].to_owned(),
        created_at: store.clock().now(),
        last_used_at: None,
        revoked_at: None,
    };
    Ok((made, key))
}

/// Changes keys in their rows and in the snapshot.
async fn changed<T, F>(store: &Store, job: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut SqliteConnection, Timestamp) -> BoxFuture<'a, Result<(T, Vec<ApiKey>), StoreError>>
        + Send
        + 'static,
{
    let store = store.clone();
    uninterrupted(async move {
        let _turn = store.api_keys().turn.lock().await;
        let (product, keys) = store.writer().run(job).await?;
        store.api_keys().replace(keys);
        Ok(product)
    })
    .await
}

/// All keys, revoked ones too, in the order they were made.
pub async fn list(store: &Store) -> Result<Vec<ApiKey>, StoreError> {
    let rows = store.read(sqlx::query(SELECT).fetch_all(store.readers())).await?;
    rows.iter().map(api_key).collect()
}

/// Revokes a key: from now on it opens nothing.
pub async fn revoke(store: &Store, id: i64) -> Result<(), StoreError> {
    changed(store, move |connection, now| Box::pin(revoke_and_read(connection, id, now))).await
}

/// Revokes a key and makes one for the same tenant, source and purpose, both or neither.
pub async fn rotate(store: &Store, id: i64) -> Result<(ApiKey, Secret<String>), StoreError> {
    let found = list(store).await?.into_iter().find(|key| key.id == id);
    let old = found.ok_or_else(|| StoreError::NotFound(format!("there is no API key {id}")))?;
    let (new, key) = new_key(store, &old.tenant, &old.source, &old.description)?;
    let made = changed(store, move |connection, now| Box::pin(replace_and_read(connection, id, new, now))).await?;
    Ok((made, key))
}

/// The key that was presented, if it opens `source`. Touches no database.
pub fn verify(store: &Store, presented: &str, source: &str) -> Option<ApiKey> {
    let hash: [u8; 32] = Sha256::digest(presented).into();
    let keys = store.api_keys().current();
    let found = keys.get(&start_of(&hash))?.iter().find(|key| bool::from(key.sha256.ct_eq(&hash)))?;
    (found.revoked_at.is_none() && found.source == source).then(|| found.clone())
}

/// Notes that a key was used: once a minute, and without making anyone wait.
pub fn used(store: &Store, id: i64) {
    let minute = store.clock().now().as_micros() / MINUTE * MINUTE;
    let mut noted = store.api_keys().noted.lock().unwrap_or_else(PoisonError::into_inner);
    if noted.get(&id) == Some(&minute) {
        return;
    }
    if store.writer().leave(move |connection, _| Box::pin(note_use(connection, id, minute))) {
        noted.insert(id, minute);
    }
}

/// All keys, for the snapshot.
pub(crate) async fn read_all(connection: &mut SqliteConnection) -> Result<Vec<ApiKey>, StoreError> {
    sqlx::query(SELECT).fetch_all(connection).await?.iter().map(api_key).collect()
}

const SELECT: &str = "select k.api_key_id, k.tenant_id, t.name, k.source, k.description, k.sha256, k.ending, k.created_at,
    k.last_used_at, k.revoked_at from api_key k join tenant t on t.tenant_id = k.tenant_id order by k.api_key_id";

fn api_key(row: &SqliteRow) -> Result<ApiKey, StoreError> {
    let last_used_at: Option<i64> = row.try_get("last_used_at")?;
    let revoked_at: Option<i64> = row.try_get("revoked_at")?;
    Ok(ApiKey {
        id: row.try_get("api_key_id")?,
        tenant: Tenant { id: row.try_get("tenant_id")?, name: row.try_get("name")? },
        source: row.try_get("source")?,
        description: row.try_get("description")?,
        sha256: fixed(row.try_get("sha256")?, "an API key's hash")?,
        ending: row.try_get("ending")?,
        created_at: moment(row.try_get("created_at")?),
        last_used_at: last_used_at.map(moment),
        revoked_at: revoked_at.map(moment),
    })
}

fn by_hash(keys: Vec<ApiKey>) -> Keys {
    let mut by_hash = Keys::with_capacity(keys.len());
    for key in keys {
        by_hash.entry(start_of(&key.sha256)).or_default().push(key);
    }
    by_hash
}

fn start_of(hash: &[u8; 32]) -> [u8; 8] {
    let mut start = [0; 8];
    start.copy_from_slice(&hash[..8]);
    start
}

async fn insert_and_read(connection: &mut SqliteConnection, mut key: ApiKey) -> Result<(ApiKey, Vec<ApiKey>), StoreError> {
    key.id = insert(connection, &key).await?;
    Ok((key, read_all(connection).await?))
}

async fn insert(connection: &mut SqliteConnection, key: &ApiKey) -> Result<i64, StoreError> {
    let sql = "insert into api_key (tenant_id, source, description, sha256, ending, created_at)
        values (?, ?, ?, ?, ?, ?) returning api_key_id";
    let query = sqlx::query_scalar(sql).bind(key.tenant.id).bind(&key.source).bind(&key.description);
    let query = query.bind(key.sha256.to_vec()).bind(&key.ending).bind(key.created_at.as_micros());
    Ok(query.fetch_one(connection).await?)
}

async fn revoke_and_read(connection: &mut SqliteConnection, id: i64, now: Timestamp) -> Result<((), Vec<ApiKey>), StoreError> {
    revoke_row(connection, id, now).await?;
    Ok(((), read_all(connection).await?))
}

async fn replace_and_read(
    connection: &mut SqliteConnection,
    old: i64,
    new: ApiKey,
    now: Timestamp,
) -> Result<(ApiKey, Vec<ApiKey>), StoreError> {
    if !revoke_row(connection, old, now).await? {
        return Err(StoreError::Refused(format!(
            "API key {old} is revoked already\nhint: `hooktable keys create` makes a new one"
        )));
    }
    insert_and_read(connection, new).await
}

/// Whether the key was valid until now.
async fn revoke_row(connection: &mut SqliteConnection, id: i64, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "update api_key set revoked_at = ?1 where api_key_id = ?2 and revoked_at is null";
    let done = sqlx::query(sql).bind(now.as_micros()).bind(id).execute(&mut *connection).await?;
    if done.rows_affected() == 1 {
        return Ok(true);
    }
    let known: Option<i64> =
        sqlx::query_scalar("select 1 from api_key where api_key_id = ?").bind(id).fetch_optional(connection).await?;
    known.map(|_| false).ok_or_else(|| StoreError::NotFound(format!("there is no API key {id}")))
}

async fn note_use(connection: &mut SqliteConnection, id: i64, minute: i64) -> Result<(), StoreError> {
    let sql = "update api_key set last_used_at = max(coalesce(last_used_at, 0), ?1) where api_key_id = ?2";
    sqlx::query(sql).bind(minute).bind(id).execute(connection).await?;
    Ok(())
}
