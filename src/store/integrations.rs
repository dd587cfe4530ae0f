//! Integrations: one tenant's set-up of one source, its endpoint id and fields sealed under the tenant's data key and bound to its
//! row, tenant and source. Requests look them up in a snapshot in memory; whatever this store changes is in the snapshot before
//! the change is answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine as _;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::StoreError;
use super::integration_rows::{self, Change, New};
use super::master_key::random_key;
use super::pools;
use super::state::{Store, uninterrupted};
use crate::clock::Timestamp;
use crate::model::integration::{Integration, Integrations};
use crate::model::tenant::Tenant;
use crate::secret::Secret;

/// What every endpoint id begins with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "hti_";
const MINUTE: i64 = 60_000_000;
/// How many of the random bytes an endpoint id is made of.
const ENDPOINT_BYTES: usize = 24;

/// The integrations in memory, and which were noted as used in which minute.
pub(crate) struct Snapshot {
    current: RwLock<Arc<Integrations>>,
    /// Held while something changes, so that the snapshot follows the rows in order and what must be unique stays so.
    turn: tokio::sync::Mutex<()>,
    noted: Mutex<HashMap<i64, i64>>,
}

impl Snapshot {
    /// A snapshot of these integrations.
    pub(crate) fn new(all: Vec<Integration>) -> Self {
        let current = all.into_iter().map(Arc::new).collect();
        Self { current: RwLock::new(Arc::new(current)), turn: tokio::sync::Mutex::default(), noted: Mutex::default() }
    }

    fn replace(&self, integrations: Integrations) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(integrations);
    }
}

/// What an integration is made of.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Open fields and their values.
    pub open: BTreeMap<String, String>,
    /// Secret fields and their values.
    pub secret: BTreeMap<String, Secret<String>>,
}

/// What is to change about an integration; what is not named stays as it is.
#[derive(Clone, Debug, Default)]
pub struct FieldChanges {
    /// The new description, if it changes.
    pub description: Option<String>,
    /// Fields with new values.
    pub set: Fields,
    /// Fields that are taken away.
    pub remove: Vec<String>,
}

impl Store {
    /// All integrations as they are now.
    pub fn integrations(&self) -> Arc<Integrations> {
        Arc::clone(&self.integration_snapshot().current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds an integration with a new endpoint id. Refused when another active one of the source has the same values in all of the
/// fields named by `unique`.
pub async fn add(
    store: &Store,
    tenant: &Tenant,
    source: &str,
    description: &str,
    fields: Fields,
    unique: &[String],
) -> Result<Arc<Integration>, StoreError> {
    let now = store.clock().now();
    let new = Integration {
        id: 0,
        tenant: tenant.clone(),
        source: source.to_owned(),
        endpoint: new_endpoint()?,
        description: description.to_owned(),
        fields: fields.open,
        secrets_changed_at: fields.secret.keys().map(|name| (name.clone(), now)).collect(),
        secrets: fields.secret,
        created_at: now,
        changed_at: now,
        last_used_at: None,
        revoked_at: None,
    };
    let (store, unique) = (store.clone(), unique.to_vec());
    uninterrupted(async move {
        let store = &store;
        let _turn = store.integration_snapshot().turn.lock().await;
        refuse_twin(&store.integrations(), &new, &unique)?;
        let data_key = pools::data_key(store, new.tenant.id).await?;
        let row = New { store: store.clone(), data_key, integration: new };
        let added = store.writer().run(move |connection, _| Box::pin(integration_rows::insert(connection, row))).await?;
        Ok(show_from_now_on(store, added).await)
    })
    .await
}

/// Sets and removes single fields of an active integration. Refused like [`add`].
pub async fn set_fields(
    store: &Store,
    id: i64,
    changes: FieldChanges,
    unique: &[String],
) -> Result<Arc<Integration>, StoreError> {
    let unique = unique.to_vec();
    change(store, id, move |integrations, integration, now| {
        let FieldChanges { description, set, remove } = changes;
        for name in &remove {
            integration.fields.remove(name);
            integration.secrets.remove(name);
            integration.secrets_changed_at.remove(name);
        }
        integration.description = description.unwrap_or(std::mem::take(&mut integration.description));
        integration.secrets_changed_at.extend(set.secret.keys().map(|name| (name.clone(), now)));
        integration.fields.extend(set.open);
        integration.secrets.extend(set.secret);
        refuse_twin(integrations, integration, &unique)
    })
    .await
}

/// Gives an active integration a new endpoint id: the old one opens nothing from now on.
pub async fn rotate_endpoint(store: &Store, id: i64) -> Result<Arc<Integration>, StoreError> {
    let endpoint = new_endpoint()?;
    change(store, id, move |_, integration, _| {
        integration.endpoint = endpoint;
        Ok(())
    })
    .await
}

/// Revokes an integration: from now on it lets nobody in, and its fields serve no record.
pub async fn revoke(store: &Store, id: i64) -> Result<Arc<Integration>, StoreError> {
    let store = store.clone();
    uninterrupted(async move {
        let store = &store;
        let _turn = store.integration_snapshot().turn.lock().await;
        let found = find(store, id)?;
        let revoked_at =
            store.writer().run(move |connection, now| Box::pin(integration_rows::revoke(connection, id, now))).await?;
        let revoked = Integration { revoked_at: Some(revoked_at), ..Integration::clone(&found) };
        Ok(show_from_now_on(store, revoked).await)
    })
    .await
}

/// The integration of that number, also when it is revoked.
pub fn find(store: &Store, id: i64) -> Result<Arc<Integration>, StoreError> {
    store.integrations().by_id(id).ok_or_else(|| StoreError::NotFound(format!("there is no integration {id}")))
}

/// All integrations with the moment of their last use, revoked ones too, in the order they were made.
pub async fn list(store: &Store) -> Result<Vec<Integration>, StoreError> {
    let used = integration_rows::last_used(store).await?;
    let listed = |one: &Arc<Integration>| {
        let last_used_at = used.get(&one.id).copied().or(one.last_used_at);
        Integration { last_used_at, ..Integration::clone(one) }
    };
    Ok(store.integrations().all().map(listed).collect())
}

/// Notes that an integration was used: once a minute, and without making anyone wait.
pub fn used(store: &Store, id: i64) {
    let minute = store.clock().now().as_micros() / MINUTE * MINUTE;
    let mut noted = store.integration_snapshot().noted.lock().unwrap_or_else(PoisonError::into_inner);
    if noted.get(&id) == Some(&minute) {
        return;
    }
    if store.writer().leave(move |connection, _| Box::pin(integration_rows::note_use(connection, id, minute))) {
        noted.insert(id, minute);
    }
}

/// What endpoint ids are found by.
pub(super) fn hash_of(endpoint: &Secret<String>) -> [u8; 32] {
    Sha256::digest(endpoint.expose()).into()
}

fn new_endpoint() -> Result<Secret<String>, StoreError> {
    let bytes = random_key()?;
    let text = Zeroizing::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes[..ENDPOINT_BYTES]));
    Ok(Secret::new(format!("{PREFIX}{}", text.as_str())))
}

/// Changes an active integration in its row and in the snapshot.
async fn change(
    store: &Store,
    id: i64,
    edit: impl FnOnce(&Integrations, &mut Integration, Timestamp) -> Result<(), StoreError> + Send + 'static,
) -> Result<Arc<Integration>, StoreError> {
    let store = store.clone();
    uninterrupted(async move {
        let store = &store;
        let _turn = store.integration_snapshot().turn.lock().await;
        let integrations = store.integrations();
        let found = find(store, id)?;
        if !found.is_active() {
            return Err(StoreError::Refused(format!("integration {id} is revoked; it does not change any more")));
        }
        let mut integration = Integration::clone(&found);
        integration.changed_at = store.clock().now();
        let changed_at = integration.changed_at;
        edit(&integrations, &mut integration, changed_at)?;
        let data_key = pools::data_key(store, integration.tenant.id).await?;
        let row = Change::new(store, &data_key, &integration)?;
        store.writer().run(move |connection, _| Box::pin(integration_rows::update(connection, row))).await?;
        Ok(show_from_now_on(store, integration).await)
    })
    .await
}

/// Two that a request cannot tell apart would make each other's records fail.
fn refuse_twin(integrations: &Integrations, new: &Integration, unique: &[String]) -> Result<(), StoreError> {
    let values: Option<Vec<(String, String)>> =
        unique.iter().map(|name| Some((name.clone(), new.fields.get(name)?.clone()))).collect();
    let Some(values) = values else { return Ok(()) };
    let twin = integrations.with_fields(&new.source, &values).find(|other| other.id != new.id);
    let Some(twin) = twin else { return Ok(()) };
    let values: Vec<String> = values.iter().map(|(name, value)| format!("`{name}` is `{value}`")).collect();
    Err(StoreError::Refused(format!(
        "integration {} of `{}` is found by the same values: {}\nhint: each must be found by its own; revoke or change that one first",
        twin.id,
        twin.tenant.name,
        values.join(", ")
    )))
}

/// Puts what was committed into the snapshot.
async fn show_from_now_on(store: &Store, changed: Integration) -> Arc<Integration> {
    let changed = Arc::new(changed);
    let (current, new) = (store.integrations(), Arc::clone(&changed));
    let rebuilt = tokio::task::spawn_blocking(move || {
        let others = current.all().filter(|one| one.id != new.id).cloned();
        others.chain([Arc::clone(&new)]).collect::<Integrations>()
    });
    match rebuilt.await {
        Ok(integrations) => store.integration_snapshot().replace(integrations),
        Err(error) => tracing::error!(%error, "a changed integration takes effect only with the next start"),
    }
    changed
}
