//! The inbox: where a delivery becomes durable. Whatever is computed is computed here, by the caller; the writer only writes.

use std::time::Duration;

use super::error::AppendError;
use super::intake_form::{pools_of, prepare};
use super::state::Store;
use crate::model::delivery::{AdmittedDelivery, Appended};
use crate::model::record::{Fate, RecordState};

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
    let ends = |state: fn(&Fate) -> bool| delivery.records.iter().filter(|record| state(&record.fate)).count();
    let ended = [
        (RecordState::Ignored, ends(|fate| matches!(fate, Fate::Ignore(_)))),
        (RecordState::Dead, ends(|fate| matches!(fate, Fate::Bury(_)))),
    ];
    let source = delivery.source.clone();
    drop(delivery);
    let appended = store.writer().append(prepared).await?;
    if appended == Appended::Stored {
        for (state, count) in ended {
            store.ended().count(&source, state, count);
        }
    }
    Ok(appended)
}
