//! Rotating the master key: every data key is wrapped by the new one in a single transaction, while everything goes on. With a key
//! file, the new key stands beside the old one until the commit, so that a crash at any moment leaves one that fits.

use std::path::Path;
use std::sync::Arc;

use sqlx::SqliteConnection;

use super::error::StoreError;
use super::master_key::{self, KeyBytes, random_key};
use super::sqlite::rows::execute;
use super::state::{Store, uninterrupted, write_check};
use super::vault::Vault;
use crate::secret::Secret;

/// What came of rotating the master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// How many data keys it wraps.
    pub data_keys: u64,
    /// Whether it was given as text, so that an operator has to hand it to the next start.
    pub was_given: bool,
}

/// Replaces the master key: by `new`, or by a random one where the key is kept in a file. What was sealed before stays readable; the
/// old key opens nothing any more.
pub async fn rotate_master_key(store: &Store, new: Option<Secret<String>>) -> Result<Rotated, StoreError> {
    let bytes = match (&new, store.key_file()) {
        (Some(text), _) => master_key::parse(text.expose().trim())?,
        (None, Some(_)) => random_key()?,
        (None, None) => {
            let reason = "the master key of this state was given in HOOKTABLE_MASTER_KEY, so the new one has to be given too\nhint: set HOOKTABLE_NEW_MASTER_KEY to 64 hex digits, such as `openssl rand -hex 32` prints, and run this again";
            return Err(StoreError::Refused(reason.to_owned()));
        }
    };
    let store = store.clone();
    uninterrupted(async move { rotate(&store, &bytes).await }).await
}

async fn rotate(store: &Store, bytes: &KeyBytes) -> Result<Rotated, StoreError> {
    let _turn = store.master_key_turn().lock().await;
    let successor = Arc::new(Vault::new(store.state_id(), bytes));
    if successor.fits(&store.vault().check()?) {
        return Err(StoreError::Refused("the new master key is the one that is in use already".to_owned()));
    }
    if let Some(key_file) = store.key_file() {
        master_key::write_next(key_file, bytes)?;
    }
    let rows = rewrapped(store, &successor).await?;
    let data_keys = rows.len() as u64;
    let check = successor.check()?;
    let job = store.writer().run(move |connection, _| Box::pin(write_all(connection, rows, check)));
    match job.await {
        Ok(()) => {}
        Err(StoreError::Closed) => return Err(StoreError::Closed),
        Err(error) => {
            store.key_file().map(master_key::forget_next).transpose()?;
            return Err(error);
        }
    };
    store.vault().adopt(Vault::new(store.state_id(), bytes));
    store.key_file().map(put_in_place).transpose()?;
    Ok(Rotated { data_keys, was_given: store.key_file().is_none() })
}

fn put_in_place(key_file: &Path) -> Result<(), StoreError> {
    master_key::adopt_next(key_file).inspect_err(|error| {
        tracing::error!(%error, "the new master key is in use, but stands beside the key file; the next start puts it in place");
    })
}

/// All data keys, wrapped by the new master key. Computed apart from the writer, which has deliveries to store.
async fn rewrapped(store: &Store, successor: &Arc<Vault>) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let query = sqlx::query_as("select key_id, tenant_id, wrapped from data_key").fetch_all(store.readers());
    let keys: Vec<(i64, i64, Vec<u8>)> = store.read(query).await?;
    let (store, successor) = (store.clone(), Arc::clone(successor));
    let wrapping = tokio::task::spawn_blocking(move || {
        let rewrap = |(key_id, tenant_id, wrapped): (i64, i64, Vec<u8>)| {
            Ok((key_id, store.vault().rewrapped(&successor, key_id, tenant_id, &wrapped)?))
        };
        keys.into_iter().map(rewrap).collect()
    });
    wrapping.await.map_err(|error| StoreError::Damaged(error.to_string()))?
}

async fn write_all(connection: &mut SqliteConnection, keys: Vec<(i64, Vec<u8>)>, check: Vec<u8>) -> Result<(), StoreError> {
    const BEFORE: &str = "with given (key_id, wrapped) as (";
    const AFTER: &str = ") update data_key set wrapped = given.wrapped from given where data_key.key_id = given.key_id";
    if count(connection).await? != keys.len() as u64 {
        let reason = "a tenant's first delivery came at the same moment\nhint: nothing was changed; run it again";
        return Err(StoreError::Refused(reason.to_owned()));
    }
    execute(connection, BEFORE, &keys, AFTER, |mut row, (key_id, wrapped)| {
        row.push_bind(*key_id).push_bind(wrapped.clone());
    })
    .await?;
    write_check(connection, &check).await
}

async fn count(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar("select count(*) from data_key").fetch_one(connection).await?;
    Ok(u64::try_from(count).unwrap_or(0))
}
