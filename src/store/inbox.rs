//! The inbox: where a delivery becomes durable. Whatever is computed is computed here, by the caller; the writer only writes.

use std::time::Duration;

use super::error::AppendError;
use super::intake_form::{pools_of, prepare};
use super::state::Store;
use crate::model::delivery::{AdmittedDelivery, Appended};

/// A delivery that is not committed within this is refused.
const APPEND_LIMIT: Duration = Duration::from_secs(2);

/// Stores a delivery with its records. Returned only after the commit: what is `Ok` is on disk.
pub async fn append(store: &Store, delivery: AdmittedDelivery) -> Result<Appended, AppendError> {
    match tokio::time::timeout(APPEND_LIMIT, prepare_and_write(store, delivery)).await {
        Ok(answer) => answer,
        Err(_) => Err(AppendError::Unavailable { reason: format!("not committed within {} s", APPEND_LIMIT.as_secs()) }),
    }
}

async fn prepare_and_write(store: &Store, delivery: AdmittedDelivery) -> Result<Appended, AppendError> {
    let pools = pools_of(store, &delivery).await?;
    let prepared = prepare(store, &pools, &delivery)?;
    drop(delivery);
    store.writer().append(prepared).await
}
