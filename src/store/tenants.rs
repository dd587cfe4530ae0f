//! Tenants: added by an operator, never renamed, since rows carry the name.

use super::error::StoreError;
use super::sql::{Connection, query};
use super::state::Store;
use crate::clock::Timestamp;
use crate::model::tenant::Tenant;

/// Adds a tenant.
pub async fn add(store: &Store, name: &str) -> Result<Tenant, StoreError> {
    if !Tenant::is_name(name) {
        let reason = format!("`{name}` cannot name a tenant: 1 to 64 letters, digits, `.`, `_` and `-` are expected");
        return Err(StoreError::Refused(reason));
    }
    let name = name.to_owned();
    store.writer().run(move |connection, now| Box::pin(insert(connection, name, now))).await
}

/// All tenants, by name.
pub async fn list(store: &Store) -> Result<Vec<Tenant>, StoreError> {
    let rows = store.read(query("select tenant_id, name from tenant order by name")).await?;
    rows.iter().map(|row| Ok(Tenant { id: row.get("tenant_id")?, name: row.get("name")? })).collect()
}

/// The tenant of that name.
pub async fn find_by_name(store: &Store, name: &str) -> Result<Option<Tenant>, StoreError> {
    let row = store.read_first(query("select tenant_id from tenant where name = $1").bind(name)).await?;
    row.map(|row| Ok(Tenant { id: row.get("tenant_id")?, name: name.to_owned() })).transpose()
}

async fn insert(connection: &mut Connection, name: String, now: Timestamp) -> Result<Tenant, StoreError> {
    let sql = "insert into tenant (name, created_at) values ($1, $2) on conflict (name) do nothing returning tenant_id";
    match query(sql).bind(&name).bind(now).fetch_optional(connection).await? {
        Some(row) => Ok(Tenant { id: row.get("tenant_id")?, name }),
        None => Err(StoreError::Refused(format!("there is a tenant `{name}` already"))),
    }
}
