//! Data keys that another instance made: read and unwrapped when they are first met.

use super::error::StoreError;
use super::sql::query;
use super::state::Store;

/// Makes sure that these keys are at hand, where others may have made them. What cannot be unwrapped is told of, not failed for.
pub(crate) async fn have(store: &Store, mut key_ids: impl Iterator<Item = i64>) -> Result<(), StoreError> {
    if !store.is_shared() || key_ids.all(|key_id| store.vault().key(key_id).is_some()) {
        return Ok(());
    }
    for row in store.read(query("select key_id, tenant_id, wrapped from data_key")).await? {
        let key_id: i64 = row.get("key_id")?;
        if store.vault().key(key_id).is_none()
            && let Err(error) = store.vault().unwrap_key(key_id, row.get("tenant_id")?, row.get("wrapped")?)
        {
            tracing::error!(%error, "another instance has another master key by now; this one has to be started again with it");
        }
    }
    Ok(())
}
