//! Whose turn upkeep is: where several processes share the state, one of them does it at a time.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, query};
use crate::store::state::Store;

/// Work of which one process is enough.
#[derive(Clone, Copy, Debug)]
pub(super) enum Duty {
    /// A round of removing.
    Retention,
    /// A look at some lanes.
    Sweep,
    /// A round through the target databases.
    Targets,
}

impl Duty {
    fn word(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Sweep => "sweep",
            Self::Targets => "targets",
        }
    }
}

/// Whether this process is to begin now: where it shares the state, no other one has begun within `every`.
pub(super) async fn take(store: &Store, duty: Duty, every: Duration) -> Result<bool, StoreError> {
    if !store.is_shared() {
        return Ok(true);
    }
    store.writer().run(move |connection, now| Box::pin(begin(connection, duty, now, now - every))).await
}

async fn begin(connection: &mut Connection, duty: Duty, now: Timestamp, before: Timestamp) -> Result<bool, StoreError> {
    let sql = "update control set version = $2 where topic = $1 and version <= $3";
    Ok(query(sql).bind(duty.word()).bind(now).bind(before).execute(connection).await? == 1)
}
