//! The inbox: where a delivery becomes durable. Whatever is computed is computed here, by the caller; the writer only writes.

use super::error::AppendError;
use super::intake_form::prepare;
use super::state::Store;
use crate::model::delivery::{AdmittedDelivery, Appended};

/// Stores a delivery with its records. Returned only after the commit: what is `Ok` is on disk.
pub async fn append(store: &Store, delivery: AdmittedDelivery) -> Result<Appended, AppendError> {
    let tenant_id = delivery.caller.tenant.as_ref().map_or(0, |tenant| tenant.id);
    let pool = store.pool(&delivery.source, tenant_id).await?;
    let prepared = prepare(store, &pool, &delivery)?;
    drop(delivery);
    store.writer().append(prepared).await
}
