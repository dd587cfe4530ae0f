//! Rotating the master key: every data key is wrapped by the new one in a single transaction, while everything goes on. With a key
//! file, the new key stands beside the old one until the commit, so that a crash at any moment leaves one that fits.

use std::path::Path;
use std::sync::Arc;

use super::error::StoreError;
use super::master_key::{self, KeyBytes, random_key};
use super::opening::{hold_data_keys, write_check};
use super::sql::{Connection, Many, Row, query, values};
use super::state::{Store, uninterrupted};
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
        finish_cut_off(store, key_file).await?;
        master_key::write_next(key_file, bytes)?;
    }
    let rows = rewrapped(store, &successor).await?;
    let data_keys = rows.len() as u64;
    let check = successor.check()?;
    let job = store.writer().run(move |connection, _| Box::pin(write_all(connection, rows, check)));
    match job.await {
        Ok(()) => take_over(store, bytes)?,
        Err(error @ StoreError::Refused(_)) => {
            store.key_file().map(master_key::forget_next).transpose()?;
            return Err(error);
        }
        // Nobody knows yet whether it is stored. The key stays beside the key file unless that can be asked.
        Err(error) => match stored_check(store).await {
            Ok(check) if successor.fits(&check) => take_over(store, bytes)?,
            _ => return Err(error),
        },
    }
    Ok(Rotated { data_keys, was_given: store.key_file().is_none() })
}

/// Takes over the key beside the key file, where an earlier rotation was stored and nobody heard of it. It must not be written over then.
async fn finish_cut_off(store: &Store, key_file: &Path) -> Result<(), StoreError> {
    let next = match master_key::read_next(key_file) {
        // what is no whole key was never used
        Ok(None) | Err(StoreError::BadMasterKey { .. }) => return Ok(()),
        next => next?,
    };
    let check = stored_check(store).await?;
    match next {
        Some(bytes) if Vault::new(store.state_id(), &bytes).fits(&check) => take_over(store, &bytes),
        _ => Ok(()),
    }
}

/// What the master key of the state is recognised by, once whatever was under way is over.
async fn stored_check(store: &Store) -> Result<Vec<u8>, StoreError> {
    let read = store.writer().run(move |connection, _| {
        Box::pin(async move {
            hold_data_keys(connection).await?;
            query("select master_key_check from meta").fetch_one(connection).await?.get("master_key_check")
        })
    });
    read.await
}

/// From now on the key is the one of this process, and of the next start.
fn take_over(store: &Store, bytes: &KeyBytes) -> Result<(), StoreError> {
    store.vault().adopt(Vault::new(store.state_id(), bytes));
    store.key_file().map_or(Ok(()), put_in_place)
}

fn put_in_place(key_file: &Path) -> Result<(), StoreError> {
    master_key::adopt_next(key_file).inspect_err(|error| {
        tracing::error!(%error, "the new master key is in use, but stands beside the key file; the next start puts it in place");
    })
}

/// All data keys, wrapped by the new master key. Computed apart from the writer, which has deliveries to store.
async fn rewrapped(store: &Store, successor: &Arc<Vault>) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let rows = store.read(query("select key_id, tenant_id, wrapped from data_key")).await?;
    let key = |row: &Row| Ok((row.get("key_id")?, row.get("tenant_id")?, row.get("wrapped")?));
    let keys: Vec<(i64, i64, Vec<u8>)> = rows.iter().map(key).collect::<Result<_, StoreError>>()?;
    let (store, successor) = (store.clone(), Arc::clone(successor));
    let wrapping = tokio::task::spawn_blocking(move || {
        let rewrap = |(key_id, tenant_id, wrapped): (i64, i64, Vec<u8>)| {
            Ok((key_id, store.vault().rewrapped(&successor, key_id, tenant_id, &wrapped)?))
        };
        keys.into_iter().map(rewrap).collect()
    });
    wrapping.await.map_err(|error| StoreError::Damaged(error.to_string()))?
}

async fn write_all(connection: &mut Connection, keys: Vec<(i64, Vec<u8>)>, check: Vec<u8>) -> Result<(), StoreError> {
    let statement = Many::new(
        "with given (key_id, wrapped) as (",
        ") update data_key set wrapped = given.wrapped from given where data_key.key_id = given.key_id",
    );
    hold_data_keys(connection).await?;
    if count(connection).await? != keys.len() as u64 {
        let reason = "a tenant's first delivery came at the same moment\nhint: nothing was changed; run it again";
        return Err(StoreError::Refused(reason.to_owned()));
    }
    statement.execute(connection, &keys, |(key_id, wrapped)| values![*key_id, wrapped]).await?;
    write_check(connection, &check).await
}

async fn count(connection: &mut Connection) -> Result<u64, StoreError> {
    let count: i64 = query("select count(*) as count from data_key").fetch_one(connection).await?.get("count")?;
    Ok(u64::try_from(count).unwrap_or(0))
}
