//! Records that are admitted again by the route as it is now: those that a person asked to run again, and all that wait when a
//! changed route file computes other lanes than the one that admitted them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::deliver::Tools;
use super::pool::worked_on;
use crate::model::bundle::ActiveVersion;
use crate::model::delivery::DeliveryId;
use crate::model::record::{AdmittedRecord, Fate};
use crate::routes::source::Source;
use crate::routes::table::RouteTable;
use crate::steps::admission::Arrival;
use crate::store::records::{self, ChangedPool, Readmission, Readmitted, StoredDelivery};
use crate::store::{Store, StoreError, lanes};

/// How many are taken at a time, and how many bytes of bodies.
const AT_A_TIME: usize = 256;
const BYTES_AT_A_TIME: u64 = 8 << 20;
/// The longest without looking, and how long after each look that was asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const AFTER_LOOK: Duration = Duration::from_millis(20);
/// How often it is looked whether workers have given the lanes of a changed pool back.
const WHILE_HELD: Duration = Duration::from_millis(50);
/// How long after the state failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// What a look came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Something was admitted again; there may be more.
    Moved,
    /// A changed pool waits for workers that still hold lanes of it.
    Held,
    /// Nothing was to be done.
    Nothing,
}

/// Admits again whatever waits for it, until told to stop.
pub async fn run(tools: Tools, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let arrived = tools.store.work_arrived().notified();
        let pause = match look(&tools).await {
            Ok(Look::Moved) => continue,
            Ok(Look::Held) => WHILE_HELD,
            Ok(Look::Nothing) => LOOK_EVERY,
            Err(error) => {
                tracing::error!(%error, "records cannot be admitted again");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            () = arrived => sleep(AFTER_LOOK).await,
            () = sleep(pause) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Admits again whatever can be now.
pub async fn readmit_all(tools: &Tools) -> Result<(), StoreError> {
    while look(tools).await? == Look::Moved {}
    Ok(())
}

async fn look(tools: &Tools) -> Result<Look, StoreError> {
    let table = tools.registry.table();
    let versions = worked_on(tools, &table);
    let mut found = if lanes::bring_back(&tools.store).await? { Look::Moved } else { Look::Nothing };
    for pool in records::changed_pools(&tools.store, &versions).await? {
        let Some(source) = table.source(&pool.source) else { continue };
        match readmit_some_of(tools, &pool, source).await? {
            Look::Held if found == Look::Nothing => found = Look::Held,
            Look::Moved => found = Look::Moved,
            _ => {}
        }
    }
    if replay_some(tools, &table, &versions).await? {
        found = Look::Moved;
    }
    Ok(found)
}

/// A batch of a changed pool. Its workers are waited for first: what they hold must not be overtaken.
async fn readmit_some_of(tools: &Tools, pool: &ChangedPool, source: &Arc<Source>) -> Result<Look, StoreError> {
    if !pool.is_paused {
        tracing::info!(source = pool.source, pool.id = pool.pool_id, "the route file changed: what waits is admitted again");
        records::pause_changed(&tools.store, pool, source.admit_hash).await?;
        return Ok(Look::Moved);
    }
    if pool.is_held {
        return Ok(Look::Held);
    }
    let open = records::next_open(&tools.store, pool, AT_A_TIME, BYTES_AT_A_TIME).await?;
    let Admitted { readmitted, unopened } = admit_all(tools, source, open).await?;
    if let Some(error) = unopened {
        return Err(error);
    }
    if records::readmit_open(&tools.store, pool, source.admit_hash, readmitted).await? {
        tracing::info!(source = pool.source, pool.id = pool.pool_id, "what waited was admitted again");
    }
    Ok(Look::Moved)
}

/// A batch of what was asked to run again. Those of a source that does not run go on waiting, and so do those that cannot be opened now.
async fn replay_some(tools: &Tools, table: &RouteTable, versions: &[ActiveVersion]) -> Result<bool, StoreError> {
    let asked = records::to_readmit(&tools.store, versions, AT_A_TIME, BYTES_AT_A_TIME).await?;
    let mut by_source: HashMap<String, Vec<Readmission>> = HashMap::new();
    for one in asked {
        by_source.entry(one.source.clone()).or_default().push(one);
    }
    let (mut any, mut failure) = (false, None);
    for (name, asked) in by_source {
        let Some(source) = table.source(&name) else { continue };
        let Admitted { readmitted, unopened } = admit_all(tools, source, asked).await?;
        any |= records::readmit(&tools.store, readmitted, source.admit_hash).await? > 0;
        failure = failure.or(unopened);
    }
    match failure {
        Some(error) if !any => Err(error),
        _ => Ok(any),
    }
}

/// What came of admitting records.
struct Admitted {
    readmitted: Vec<Readmitted>,
    /// Why some are left out: their requests are there, but cannot be opened now.
    unopened: Option<StoreError>,
}

/// Admits records by a version, in the order given; what cannot be is dead, with the reason.
async fn admit_all(tools: &Tools, source: &Arc<Source>, records: Vec<Readmission>) -> Result<Admitted, StoreError> {
    let mut ids: Vec<DeliveryId> = records.iter().map(|one| one.delivery).collect();
    ids.dedup();
    let stored: HashMap<DeliveryId, _> = records::requests(&tools.store, &ids).await?.into_iter().collect();
    let (source, store) = (Arc::clone(source), tools.store.clone());
    let admitting = tokio::task::spawn_blocking(move || {
        let (mut readmitted, mut unopened) = (Vec::with_capacity(records.len()), None);
        for of_delivery in records.chunk_by(|one, next| one.delivery == next.delivery) {
            match stored.get(&of_delivery[0].delivery) {
                Some(Ok(stored)) => readmitted.extend(admit(&source, &store, stored, of_delivery)),
                Some(Err(error @ StoreError::NotFound(_))) => {
                    readmitted.extend(of_delivery.iter().map(|one| buried(one, error.to_string())));
                }
                Some(Err(error)) => unopened = unopened.or_else(|| Some(error.clone())),
                None => readmitted.extend(of_delivery.iter().map(|one| buried(one, "its delivery is gone".to_owned()))),
            }
        }
        Admitted { readmitted, unopened }
    });
    admitting.await.map_err(|error| StoreError::Damaged(format!("records could not be admitted again: {error}")))
}

/// The records of one delivery.
fn admit(source: &Source, store: &Store, stored: &StoredDelivery, records: &[Readmission]) -> Vec<Readmitted> {
    let params = source.receive.path_parameters(&stored.request.path).unwrap_or_default();
    let numbers = || records.iter().map(|one| one.number);
    let (first, last) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0));
    let end = if records.iter().any(|one| one.is_last) { u32::MAX } else { last };
    let arrival = Arrival {
        delivery: records[0].delivery,
        received_at: stored.received_at,
        caller: &stored.caller,
        attempt: 1,
        work_key: store.work_key(),
        integrations: &store.integrations(),
    };
    let received = source.admission.read(&stored.request, &params);
    let items = source.admission.items(&stored.request, received, arrival, Some(first..=end));
    let mut admitted = HashMap::with_capacity(items.len());
    for item in items {
        let runs_late = item.chosen.as_ref().is_ok_and(|chosen| chosen.runs_late());
        let mask = source.mask_for(&item.document, item.integration.as_deref());
        admitted.insert(item.number, (item.into_record().masked(&mask), runs_late));
    }
    let of = |one: &Readmission| match admitted.remove(&one.number) {
        Some((admitted, runs_late)) => Readmitted { readmission: one.clone(), admitted, runs_late, further: Vec::new() },
        None => buried(one, format!("the delivery has no item {} any more", one.number)),
    };
    let mut readmitted: Vec<Readmitted> = records.iter().map(of).collect();
    if let Some(one) = readmitted.iter_mut().find(|one| one.readmission.is_last) {
        one.further = admitted.into_values().map(|(record, _)| record).filter(|record| record.number > last).collect();
        one.further.sort_by_key(|record| record.number);
    }
    readmitted
}

fn buried(one: &Readmission, reason: String) -> Readmitted {
    let admitted = AdmittedRecord {
        number: one.number,
        tenant: one.tenant.clone(),
        integration: one.integration,
        event: None,
        item_sha256: [0; 32],
        work_hash: None,
        sender_id: None,
        fate: Fate::Bury(reason),
    };
    Readmitted { readmission: one.clone(), admitted, runs_late: false, further: Vec::new() }
}
