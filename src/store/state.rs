//! The store as a value: opened once, cloned freely, closed at the end. Opening makes sure that the schema is ours, that the master
//! key fits and, where the state is a file, that we are alone with it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::api_keys::{self, Snapshot};
use super::bundles::Newest;
use super::compression::Packer;
use super::ended::EndedRecords;
use super::engine::{Opened, Place, Started};
use super::error::StoreError;
use super::integration_rows;
use super::integrations::Snapshot as IntegrationSnapshot;
use super::onboarding::Windows;
use super::opening::open_vault;
use super::pools::KnownPools;
use super::sql::{Connection, Query, READ_LIMIT, Readers, Row, query};
use super::vault::Vault;
use super::waiting::Waiting;
use super::writing::message::Writer;
use super::writing::thread::End;
use super::{bundles, postgres, sqlite};
use crate::clock::Clock;
use crate::secret::Secret;

/// Where the state is and what opens it.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// A file of ours alone, or a database that several processes share.
    pub place: Place,
    /// The master key as 64 hex digits or base64 of 32 bytes; without it the key file is used.
    pub master_key: Option<Secret<String>>,
    /// The key file: made with the first start (mode 0600), never once there is sealed data.
    pub key_file: PathBuf,
    /// The clock that decides leases and due times. Where the state is shared it follows the database's.
    pub clock: Clock,
    /// The most bytes that the state may take; nothing is accepted from 95 % on.
    pub max_bytes: Option<u64>,
}

/// The open state. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// A store as those know it who must not keep it open.
pub(crate) struct WeakStore(Weak<Inner>);

impl WeakStore {
    /// The store, while someone has it.
    pub(crate) fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(|inner| Store { inner })
    }
}

struct Inner {
    clock: Clock,
    state_id: Uuid,
    vault: Vault,
    /// Where the master key is, unless it was given.
    key_file: Option<PathBuf>,
    packer: Packer,
    writer: Writer,
    readers: Readers,
    work_arrived: Arc<Notify>,
    waiting: Arc<Waiting>,
    ended: EndedRecords,
    pools: KnownPools,
    master_key_turn: tokio::sync::Mutex<()>,
    api_keys: Snapshot,
    windows: Windows,
    integrations: IntegrationSnapshot,
    newest: Newest,
    end: End,
    following: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop_following();
    }
}

impl Inner {
    fn stop_following(&self) {
        for task in self.following.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

/// What is kept in memory of the state.
struct Loaded {
    vault: Vault,
    api_keys: Snapshot,
    windows: Windows,
    integrations: IntegrationSnapshot,
    newest: Newest,
    versions: std::collections::HashMap<String, i64>,
}

impl Loaded {
    async fn read(connection: &mut Connection, options: &OpenOptions) -> Result<Self, StoreError> {
        let versions = if connection.is_shared() {
            let rows = query("select topic, version from control").fetch_all(connection).await?;
            rows.iter().map(|row| Ok((row.get("topic")?, row.get("version")?))).collect::<Result<_, StoreError>>()?
        } else {
            std::collections::HashMap::new()
        };
        let vault = open_vault(connection, options).await?;
        let api_keys = Snapshot::new(api_keys::read_all(connection).await?);
        let integrations = IntegrationSnapshot::new(integration_rows::read_all(connection, &vault).await?);
        let windows = Windows::read(connection).await?;
        let newest = bundles::newest(connection).await?;
        Ok(Self { vault, api_keys, windows, integrations, newest, versions })
    }
}

impl Store {
    /// Opens the state, making it when there is none.
    pub async fn open(options: OpenOptions) -> Result<Self, StoreError> {
        match options.place.clone() {
            Place::File(path) => Self::open_file(options, &path).await,
            Place::Server(url) => Self::open_server(options, &url).await,
        }
    }

    async fn open_file(options: OpenOptions, path: &Path) -> Result<Self, StoreError> {
        let (Opened { mut connection, readers }, lock) = sqlite::open::open(path).await?;
        let loaded = Loaded::read(&mut connection, &options).await?;
        let started = sqlite::open::begin(connection, lock, path, options.clock.clone(), options.max_bytes).await?;
        Ok(Self::assembled(options, loaded, readers, started))
    }

    async fn open_server(options: OpenOptions, url: &Secret<String>) -> Result<Self, StoreError> {
        let (Opened { mut connection, readers }, opening) = postgres::open::open(url, &options.clock).await?;
        let mut loaded = Loaded::read(&mut connection, &options).await?;
        let state_id = loaded.vault.state_id();
        let versions = std::mem::take(&mut loaded.versions);
        let started = opening.begin(connection, state_id, options.clock.clone(), options.max_bytes).await?;
        let store = Self::assembled(options, loaded, readers, started);
        let following = postgres::follow(&store, versions);
        *store.inner.following.lock().unwrap_or_else(PoisonError::into_inner) = following;
        Ok(store)
    }

    fn assembled(options: OpenOptions, loaded: Loaded, readers: Readers, started: Started) -> Self {
        let inner = Inner {
            clock: options.clock,
            state_id: loaded.vault.state_id(),
            vault: loaded.vault,
            key_file: options.master_key.is_none().then_some(options.key_file),
            packer: Packer::default(),
            writer: started.writer,
            readers,
            work_arrived: started.work_arrived,
            waiting: Arc::default(),
            ended: EndedRecords::default(),
            pools: KnownPools::default(),
            master_key_turn: tokio::sync::Mutex::default(),
            api_keys: loaded.api_keys,
            windows: loaded.windows,
            integrations: loaded.integrations,
            newest: loaded.newest,
            end: started.end,
            following: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Writes what waits, copies the log into the file and releases the lock. Clones answer [`StoreError::Closed`] from then on.
    pub async fn close(self) {
        self.inner.stop_following();
        self.inner.writer.stop().await;
        self.inner.readers.close().await;
        let _ = self.inner.end.clone().wait_for(Option::is_some).await;
    }

    /// Resolved with the reason when nothing can be written any more, whatever is tried: the program has to be started again.
    pub async fn failed(&self) -> String {
        match self.inner.end.clone().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Err(reason))) => reason.clone(),
            Ok(_) => std::future::pending().await,
            Err(_) => "the thread that writes it has died".to_owned(),
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

    /// The senders that wait for their deliveries.
    pub fn waiting(&self) -> &Arc<Waiting> {
        &self.inner.waiting
    }

    /// How many records came to an end since the start.
    pub fn ended(&self) -> &EndedRecords {
        &self.inner.ended
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

    pub(crate) fn readers(&self) -> &Readers {
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

    /// Which version of each source is the newest, where several processes share the state.
    pub(crate) fn newest(&self) -> &Newest {
        &self.inner.newest
    }

    /// Whether several processes share the state.
    pub fn is_shared(&self) -> bool {
        matches!(self.inner.readers, Readers::Postgres(_))
    }

    /// The store for those who must not keep it open.
    pub(crate) fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.inner))
    }

    /// Everything that a statement reads; waited for, but not for long.
    pub(crate) async fn read(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.inner.readers.fetch_all(query).await
    }

    /// The same for a statement that may look at very many rows.
    pub(crate) async fn search(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.inner.readers.search(query, READ_LIMIT).await
    }

    /// The first row that a statement reads, if there is one.
    pub(crate) async fn read_first(&self, query: Query) -> Result<Option<Row>, StoreError> {
        Ok(self.read(query).await?.into_iter().next())
    }
}

/// Does something to its end, also when the one who asked goes away: rows and what is in memory of them must not differ.
pub(crate) async fn uninterrupted<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work).await.map_err(|error| StoreError::Damaged(error.to_string()))?
}
