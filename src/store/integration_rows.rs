//! Rows of integrations: how one is sealed and opened, written and read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use zeroize::Zeroizing;

use super::error::StoreError;
use super::integrations::hash_of;
use super::sqlite::rows::moment;
use super::state::Store;
use super::vault::{DataKey, SetUp, Vault};
use crate::clock::Timestamp;
use crate::model::integration::Integration;
use crate::model::tenant::Tenant;
use crate::secret::Secret;

/// An integration to be added, and what it is sealed with once its row's number is known.
pub(super) struct New {
    pub(super) store: Store,
    pub(super) data_key: Arc<DataKey>,
    pub(super) integration: Integration,
}

/// What an integration's row becomes.
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
pub(super) async fn insert(connection: &mut SqliteConnection, new: New) -> Result<Integration, StoreError> {
    let New { store, data_key, mut integration } = new;
    let sql = "insert into integration (tenant_id, source, endpoint_sha256, description, created_at, changed_at, key_id, sealed)
        values (?1, ?2, ?3, ?4, ?5, ?5, ?6, x'') returning integration_id";
    let query = sqlx::query_scalar(sql).bind(integration.tenant.id).bind(&integration.source);
    let query = query.bind(hash_of(&integration.endpoint).to_vec()).bind(&integration.description);
    let query = query.bind(integration.created_at.as_micros()).bind(data_key.key_id);
    integration.id = query.fetch_one(&mut *connection).await?;
    update(connection, Change::new(&store, &data_key, &integration)?).await?;
    Ok(integration)
}

/// Writes what an integration is now.
pub(super) async fn update(connection: &mut SqliteConnection, change: Change) -> Result<(), StoreError> {
    let sql = "update integration set endpoint_sha256 = ?2, description = ?3, changed_at = ?4, key_id = ?5, sealed = ?6
        where integration_id = ?1 and revoked_at is null";
    let query = sqlx::query(sql).bind(change.id).bind(change.endpoint_sha256.to_vec()).bind(change.description);
    let query = query.bind(change.changed_at.as_micros()).bind(change.key_id).bind(change.sealed);
    match query.execute(connection).await?.rows_affected() {
        0 => Err(StoreError::NotFound(format!("there is no active integration {}", change.id))),
        _ => Ok(()),
    }
}

/// Notes that an integration is revoked; since when.
pub(super) async fn revoke(connection: &mut SqliteConnection, id: i64, now: Timestamp) -> Result<Timestamp, StoreError> {
    let sql = "update integration set revoked_at = coalesce(revoked_at, ?1) where integration_id = ?2 returning revoked_at";
    let revoked_at: Option<i64> = sqlx::query_scalar(sql).bind(now.as_micros()).bind(id).fetch_optional(connection).await?;
    revoked_at.map(moment).ok_or_else(|| StoreError::NotFound(format!("there is no integration {id}")))
}

/// Notes the minute of a use.
pub(super) async fn note_use(connection: &mut SqliteConnection, id: i64, minute: i64) -> Result<(), StoreError> {
    let sql = "update integration set last_used_at = max(coalesce(last_used_at, 0), ?1) where integration_id = ?2";
    sqlx::query(sql).bind(minute).bind(id).execute(connection).await?;
    Ok(())
}

/// When each integration was last used.
pub(super) async fn last_used(store: &Store) -> Result<HashMap<i64, Timestamp>, StoreError> {
    let sql = "select integration_id, last_used_at from integration where last_used_at is not null";
    let rows: Vec<(i64, i64)> = store.read(sqlx::query_as(sql).fetch_all(store.readers())).await?;
    Ok(rows.into_iter().map(|(id, at)| (id, moment(at))).collect())
}

/// All integrations, for the snapshot. One that does not open is left out and told of, so that the others go on.
pub(super) async fn read_all(connection: &mut SqliteConnection, vault: &Vault) -> Result<Vec<Integration>, StoreError> {
    let sql = "select i.integration_id, i.tenant_id, t.name, i.source, i.endpoint_sha256, i.description, i.created_at,
            i.changed_at, i.last_used_at, i.revoked_at, i.key_id, i.sealed
        from integration i join tenant t on t.tenant_id = i.tenant_id order by i.integration_id";
    let mut all = Vec::new();
    for row in sqlx::query(sql).fetch_all(connection).await? {
        let id: i64 = row.try_get("integration_id")?;
        match integration(&row, vault) {
            Ok(integration) => all.push(integration),
            Err(error) => tracing::error!(integration.id = id, %error, "an integration cannot be opened and is left out"),
        }
    }
    Ok(all)
}

fn integration(row: &SqliteRow, vault: &Vault) -> Result<Integration, StoreError> {
    let id: i64 = row.try_get("integration_id")?;
    let tenant = Tenant { id: row.try_get("tenant_id")?, name: row.try_get("name")? };
    let source: String = row.try_get("source")?;
    let bound = SetUp { integration: id, tenant_id: tenant.id, source: &source };
    let plain = Zeroizing::new(vault.open_set_up(row.try_get("key_id")?, &bound, row.try_get("sealed")?)?);
    let damaged = |what: &str| StoreError::Damaged(format!("integration {id}: {what}"));
    let content: Content = serde_json::from_slice(&plain).map_err(|_| damaged("what was sealed cannot be read"))?;
    let endpoint = Secret::new(content.endpoint);
    if row.try_get::<&[u8], _>("endpoint_sha256")? != hash_of(&endpoint) {
        return Err(damaged("its endpoint id is not the one that it is found by"));
    }
    let last_used_at: Option<i64> = row.try_get("last_used_at")?;
    let revoked_at: Option<i64> = row.try_get("revoked_at")?;
    Ok(Integration {
        id,
        tenant,
        source,
        endpoint,
        description: row.try_get("description")?,
        fields: content.fields,
        secrets_changed_at: content.secrets.iter().map(|(name, _, at)| (name.clone(), moment(*at))).collect(),
        secrets: content.secrets.into_iter().map(|(name, value, _)| (name, Secret::new(value))).collect(),
        created_at: moment(row.try_get("created_at")?),
        changed_at: moment(row.try_get("changed_at")?),
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
