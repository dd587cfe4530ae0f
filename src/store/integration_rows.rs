//! Rows of integrations: how one is sealed and opened, written and read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::control::{Topic, announce};
use super::error::StoreError;
use super::integrations::hash_of;
use super::sql::{Connection, Row, moment, query};
use super::state::Store;
use super::vault::{DataKey, SetUp, Vault};
use super::vault_keys;
use crate::clock::Timestamp;
use crate::model::integration::Integration;
use crate::model::tenant::Tenant;
use crate::secret::Secret;

/// An integration to be added, and what it is sealed with once its row's number is known.
#[derive(Clone)]
pub(super) struct New {
    pub(super) store: Store,
    pub(super) data_key: Arc<DataKey>,
    pub(super) integration: Integration,
}

/// What an integration's row becomes.
#[derive(Clone)]
pub(super) struct Change {
    id: i64,
    endpoint_sha256: [u8; 32],
    description: String,
    changed_at: Timestamp,
    key_id: i64,
    sealed: Vec<u8>,
}

/// What is sealed, as JSON.
#[derive(Serialize, Deserialize)]
struct Content {
    endpoint: String,
    fields: BTreeMap<String, String>,
    /// Name, value, and when it was written, in microseconds.
    secrets: Vec<(String, String, i64)>,
}

impl Change {
    /// The row of an integration as it is now.
    pub(super) fn new(store: &Store, data_key: &DataKey, integration: &Integration) -> Result<Self, StoreError> {
        Ok(Self {
            id: integration.id,
            endpoint_sha256: hash_of(&integration.endpoint),
            description: integration.description.clone(),
            changed_at: integration.changed_at,
            key_id: data_key.key_id,
            sealed: seal(store.vault(), data_key, integration)?,
        })
    }
}

/// Adds a row; the integration with its number.
pub(super) async fn insert(connection: &mut Connection, new: New) -> Result<Integration, StoreError> {
    let New { store, data_key, mut integration } = new;
    let sql = "insert into integration (tenant_id, source, endpoint_sha256, description, created_at, changed_at, key_id, sealed)
        values ($1, $2, $3, $4, $5, $5, $6, $7) returning integration_id";
    let insert = query(sql).bind(integration.tenant.id).bind(&integration.source);
    let insert = insert.bind(hash_of(&integration.endpoint)).bind(&integration.description);
    let insert = insert.bind(integration.created_at).bind(data_key.key_id).bind(Vec::<u8>::new());
    integration.id = insert.fetch_one(connection).await?.get("integration_id")?;
    update(connection, Change::new(&store, &data_key, &integration)?).await?;
    Ok(integration)
}

/// Writes what an integration is now.
pub(super) async fn update(connection: &mut Connection, change: Change) -> Result<(), StoreError> {
    announce(connection, Topic::Integrations).await?;
    let sql = "update integration set endpoint_sha256 = $2, description = $3, changed_at = $4, key_id = $5, sealed = $6
        where integration_id = $1 and revoked_at is null";
    let update = query(sql).bind(change.id).bind(change.endpoint_sha256).bind(change.description);
    let update = update.bind(change.changed_at).bind(change.key_id).bind(change.sealed);
    match update.execute(connection).await? {
        0 => Err(StoreError::NotFound(format!("there is no active integration {}", change.id))),
        _ => Ok(()),
    }
}

/// Notes that an integration is revoked; since when.
pub(super) async fn revoke(connection: &mut Connection, id: i64, now: Timestamp) -> Result<Timestamp, StoreError> {
    announce(connection, Topic::Integrations).await?;
    let sql = "update integration set revoked_at = coalesce(revoked_at, $1) where integration_id = $2 returning revoked_at";
    let row = query(sql).bind(now).bind(id).fetch_optional(connection).await?;
    let row = row.ok_or_else(|| StoreError::NotFound(format!("there is no integration {id}")))?;
    Ok(moment(row.get("revoked_at")?))
}

/// Notes the minute of a use.
pub(super) async fn note_use(connection: &mut Connection, id: i64, minute: i64) -> Result<(), StoreError> {
    let sql = "update integration set last_used_at = max(coalesce(last_used_at, 0), $1) where integration_id = $2";
    query(sql).bind(minute).bind(id).execute(connection).await?;
    Ok(())
}

/// When each integration was last used.
pub(super) async fn last_used(store: &Store) -> Result<HashMap<i64, Timestamp>, StoreError> {
    let sql = "select integration_id, last_used_at from integration where last_used_at is not null";
    let rows = store.read(query(sql)).await?;
    rows.iter().map(|row| Ok((row.get("integration_id")?, moment(row.get("last_used_at")?)))).collect()
}

/// All integrations, for the snapshot. One that does not open is left out and told of, so that the others go on.
pub(super) async fn read_all(connection: &mut Connection, vault: &Vault) -> Result<Vec<Integration>, StoreError> {
    opened(&query(SELECT).fetch_all(connection).await?, vault)
}

/// The same by a reader, also those whose data keys another instance made.
pub(super) async fn read_shared(store: &Store) -> Result<Vec<Integration>, StoreError> {
    let rows = store.read(query(SELECT)).await?;
    let key_ids: Vec<i64> = rows.iter().map(|row| row.get("key_id")).collect::<Result<_, _>>()?;
    vault_keys::have(store, key_ids.into_iter()).await?;
    opened(&rows, store.vault())
}

const SELECT: &str = "select i.integration_id, i.tenant_id, t.name, i.source, i.endpoint_sha256, i.description, i.created_at,
        i.changed_at, i.last_used_at, i.revoked_at, i.key_id, i.sealed
    from integration i join tenant t on t.tenant_id = i.tenant_id order by i.integration_id";

fn opened(rows: &[Row], vault: &Vault) -> Result<Vec<Integration>, StoreError> {
    let mut all = Vec::new();
    for row in rows {
        let id: i64 = row.get("integration_id")?;
        match integration(row, vault) {
            Ok(integration) => all.push(integration),
            Err(error) => tracing::error!(integration.id = id, %error, "an integration cannot be opened and is left out"),
        }
    }
    Ok(all)
}

fn integration(row: &Row, vault: &Vault) -> Result<Integration, StoreError> {
    let id: i64 = row.get("integration_id")?;
    let tenant = Tenant { id: row.get("tenant_id")?, name: row.get("name")? };
    let source: String = row.get("source")?;
    let bound = SetUp { integration: id, tenant_id: tenant.id, source: &source };
    let plain = Zeroizing::new(vault.open_set_up(row.get("key_id")?, &bound, row.get("sealed")?)?);
    let damaged = |what: &str| StoreError::Damaged(format!("integration {id}: {what}"));
    let content: Content = serde_json::from_slice(&plain).map_err(|_| damaged("what was sealed cannot be read"))?;
    let endpoint = Secret::new(content.endpoint);
    if row.get::<&[u8]>("endpoint_sha256")? != hash_of(&endpoint) {
        return Err(damaged("its endpoint id is not the one that it is found by"));
    }
    let last_used_at: Option<i64> = row.get("last_used_at")?;
    let revoked_at: Option<i64> = row.get("revoked_at")?;
    Ok(Integration {
        id,
        tenant,
        source,
        endpoint,
        description: row.get("description")?,
        fields: content.fields,
        secrets_changed_at: content.secrets.iter().map(|(name, _, at)| (name.clone(), moment(*at))).collect(),
        secrets: content.secrets.into_iter().map(|(name, value, _)| (name, Secret::new(value))).collect(),
        created_at: moment(row.get("created_at")?),
        changed_at: moment(row.get("changed_at")?),
        last_used_at: last_used_at.map(moment),
        revoked_at: revoked_at.map(moment),
    })
}

fn seal(vault: &Vault, data_key: &DataKey, integration: &Integration) -> Result<Vec<u8>, StoreError> {
    let changed_at = |name: &String| integration.secrets_changed_at.get(name).copied().unwrap_or(integration.changed_at);
    let secrets = integration.secrets.iter();
    let mut content = Content {
        endpoint: integration.endpoint.expose().clone(),
        fields: integration.fields.clone(),
        secrets: secrets.map(|(name, value)| (name.clone(), value.expose().clone(), changed_at(name).as_micros())).collect(),
    };
    let plain = serde_json::to_vec(&content).map(Zeroizing::new);
    zeroize::Zeroize::zeroize(&mut content.endpoint);
    content.secrets.iter_mut().for_each(|(_, value, _)| zeroize::Zeroize::zeroize(value));
    let plain = plain.map_err(|error| StoreError::Damaged(error.to_string()))?;
    let bound = SetUp { integration: integration.id, tenant_id: integration.tenant.id, source: &integration.source };
    vault.seal_set_up(data_key, &bound, &plain)
}
