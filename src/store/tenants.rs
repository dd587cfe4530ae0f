//! Tenants: added by an operator, never renamed, since rows carry the name.

use sqlx::SqliteConnection;

use super::error::StoreError;
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
    let query = sqlx::query_as("select tenant_id, name from tenant order by name").fetch_all(store.readers());
    let rows: Vec<(i64, String)> = store.read(query).await?;
    Ok(rows.into_iter().map(|(id, name)| Tenant { id, name }).collect())
}

/// The tenant of that name.
pub async fn find_by_name(store: &Store, name: &str) -> Result<Option<Tenant>, StoreError> {
    let query = sqlx::query_scalar("select tenant_id from tenant where name = ?").bind(name).fetch_optional(store.readers());
    let id: Option<i64> = store.read(query).await?;
    Ok(id.map(|id| Tenant { id, name: name.to_owned() }))
}

async fn insert(connection: &mut SqliteConnection, name: String, now: Timestamp) -> Result<Tenant, StoreError> {
    let sql = "insert into tenant (name, created_at) values (?, ?) on conflict (name) do nothing returning tenant_id";
    let id: Option<i64> = sqlx::query_scalar(sql).bind(&name).bind(now.as_micros()).fetch_optional(connection).await?;
    match id {
        Some(id) => Ok(Tenant { id, name }),
        None => Err(StoreError::Refused(format!("there is a tenant `{name}` already"))),
    }
}
