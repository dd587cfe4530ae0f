//! The store as a value: opened once, cloned freely, closed at the end. Opening makes sure that we are alone, that the schema
//! is ours, that the master key fits, and that no lease of a former life stands.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::sqlite::SqlitePool;
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::api_keys::{self, Snapshot};
use super::compression::Packer;
use super::error::StoreError;
use super::integration_rows;
use super::integrations::Snapshot as IntegrationSnapshot;
use super::master_key;
use super::onboarding::Windows;
use super::pools::KnownPools;
use super::sqlite::connect::{self, READ_LIMIT};
use super::sqlite::message::{Writer, channel};
use super::sqlite::rows::fixed;
use super::sqlite::schema::migrate;
use super::sqlite::writer::{WriterParts, start};
use super::vault::Vault;
use crate::clock::{Clock, Timestamp};
use crate::secret::Secret;

/// Where the state is and what opens it.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The state file; a lock file and the write-ahead log stand beside it.
    pub path: PathBuf,
    /// The master key as 64 hex digits or base64 of 32 bytes; without it the key file is used.
    pub master_key: Option<Secret<String>>,
    /// The key file: made with the first start (mode 0600), never once there is sealed data.
    pub key_file: PathBuf,
    /// The clock that decides leases and due times.
    pub clock: Clock,
    /// The most bytes that the state may take; nothing is accepted from 95 % on.
    pub max_bytes: Option<u64>,
}

/// The open state. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    state_id: Uuid,
    vault: Vault,
    /// Where the master key is, unless it was given.
    key_file: Option<PathBuf>,
    packer: Packer,
    writer: Writer,
    readers: SqlitePool,
    work_arrived: Arc<Notify>,
    pools: KnownPools,
    master_key_turn: tokio::sync::Mutex<()>,
    api_keys: Snapshot,
    windows: Windows,
    integrations: IntegrationSnapshot,
    end: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Store {
    /// Opens the state, making it when there is none.
    pub async fn open(options: OpenOptions) -> Result<Self, StoreError> {
        let lock = lock(&options.path)?;
        let mut connection = connect::writer(&options.path).await?;
        migrate(&mut connection).await?;
        let vault = open_vault(&mut connection, &options).await?;
        clear_owners(&mut connection, options.clock.now()).await?;
        let api_keys = Snapshot::new(api_keys::read_all(&mut connection).await?);
        let windows = Windows::read(&mut connection).await?;
        let integrations = IntegrationSnapshot::new(integration_rows::read_all(&mut connection, &vault).await?);
        let readers = connect::readers(&options.path).await?;
        let (writer, mailbox) = channel();
        let work_arrived = Arc::new(Notify::new());
        let end = start(WriterParts {
            connection,
            mailbox,
            path: options.path,
            max_bytes: options.max_bytes,
            clock: options.clock.clone(),
            work_arrived: Arc::clone(&work_arrived),
            lock,
        })?;
        let inner = Inner {
            clock: options.clock,
            state_id: vault.state_id(),
            vault,
            key_file: options.master_key.is_none().then_some(options.key_file),
            packer: Packer::default(),
            writer,
            readers,
            work_arrived,
            pools: KnownPools::default(),
            master_key_turn: tokio::sync::Mutex::default(),
            api_keys,
            windows,
            integrations,
            end: Mutex::new(Some(end)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Writes what waits, copies the log into the file and releases the lock. Clones answer [`StoreError::Closed`] from then on.
    pub async fn close(self) {
        self.inner.writer.stop().await;
        self.inner.readers.close().await;
        let end = self.inner.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(end) = end {
            let _ = end.await;
        }
    }

    /// What work hashes are keyed with.
    pub fn work_key(&self) -> &[u8; 32] {
        self.inner.vault.work_key()
    }

    /// The clock that decides leases and due times.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// What tells this state from every other; part of every applied mark.
    pub fn state_id(&self) -> Uuid {
        self.inner.state_id
    }

    /// Told whenever a commit of this store has made work due or asked for records to be admitted again.
    pub fn work_arrived(&self) -> &Notify {
        &self.inner.work_arrived
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    /// Where the master key is, unless it was given as text.
    pub(crate) fn key_file(&self) -> Option<&Path> {
        self.inner.key_file.as_deref()
    }

    pub(crate) fn packer(&self) -> &Packer {
        &self.inner.packer
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.inner.readers
    }

    pub(crate) fn known_pools(&self) -> &KnownPools {
        &self.inner.pools
    }

    /// Held while something depends on which master key it is.
    pub(crate) fn master_key_turn(&self) -> &tokio::sync::Mutex<()> {
        &self.inner.master_key_turn
    }

    pub(crate) fn api_keys(&self) -> &Snapshot {
        &self.inner.api_keys
    }

    pub(crate) fn windows(&self) -> &Windows {
        &self.inner.windows
    }

    pub(crate) fn integration_snapshot(&self) -> &IntegrationSnapshot {
        &self.inner.integrations
    }

    /// Waits for a read, but not for long.
    pub(crate) async fn read<T>(&self, query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        match tokio::time::timeout(READ_LIMIT, query).await {
            Ok(rows) => Ok(rows?),
            Err(_) => Err(StoreError::TooSlow { seconds: READ_LIMIT.as_secs() }),
        }
    }
}

/// Does something to its end, also when the one who asked goes away: rows and what is in memory of them must not differ.
pub(crate) async fn uninterrupted<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work).await.map_err(|error| StoreError::Damaged(error.to_string()))?
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let cannot_open = |error: std::io::Error| StoreError::CannotOpen { path: lock_path.clone(), reason: error.to_string() };
    let file = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(cannot_open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(cannot_open(error)),
    }
}

async fn open_vault(connection: &mut SqliteConnection, options: &OpenOptions) -> Result<Vault, StoreError> {
    let row = sqlx::query("select state_id, master_key_check from meta").fetch_one(&mut *connection).await?;
    let state_id = Uuid::from_bytes(fixed(row.try_get("state_id")?, "the state's id")?);
    let check: Option<Vec<u8>> = row.try_get("master_key_check")?;
    let data_keys = sqlx::query("select key_id, tenant_id, wrapped from data_key").fetch_all(&mut *connection).await?;
    let key = master_key::obtain(options.master_key.as_ref(), &options.key_file, !data_keys.is_empty())?;
    let mut vault = Vault::new(state_id, &key.bytes);
    match check {
        Some(check) if !key.is_new => {
            if !vault.fits(&check) {
                vault = finish_rotation(options, state_id, &check)?;
            } else if options.master_key.is_none() {
                master_key::forget_next(&options.key_file)?;
            }
        }
        _ => write_check(connection, &vault.check()?).await?,
    }
    for row in data_keys {
        vault.unwrap_key(row.try_get("key_id")?, row.try_get("tenant_id")?, row.try_get("wrapped")?)?;
    }
    Ok(vault)
}

/// The vault of a state whose master key was rotated by a program that was killed before it had put the new key in the old one's
/// place.
fn finish_rotation(options: &OpenOptions, state_id: Uuid, check: &[u8]) -> Result<Vault, StoreError> {
    let next = if options.master_key.is_none() { master_key::read_next(&options.key_file)? } else { None };
    let vault = next.map(|bytes| Vault::new(state_id, &bytes)).filter(|vault| vault.fits(check));
    let vault = vault.ok_or(StoreError::WrongMasterKey)?;
    master_key::adopt_next(&options.key_file)?;
    tracing::info!("the rotation of the master key that was cut off is complete now");
    Ok(vault)
}

pub(crate) async fn write_check(connection: &mut SqliteConnection, check: &[u8]) -> Result<(), StoreError> {
    sqlx::query("update meta set master_key_check = ?").bind(check.to_vec()).execute(connection).await?;
    Ok(())
}

/// We are alone, so whoever held a lane is gone: their leases end now.
async fn clear_owners(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "update lane set owner = null, due_at = case when waiting > 0 then ? end where owner is not null";
    let mut transaction = connection.begin_with("begin immediate").await?;
    sqlx::query(sql).bind(now.as_micros()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}
