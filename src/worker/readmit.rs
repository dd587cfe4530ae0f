//! Records that a person asked to run again: admitted anew by the route as it is now, to the end of the lane that it says.

use super::deliver::Tools;
use crate::model::record::AdmittedRecord;
use crate::steps::admission::Arrival;
use crate::store::records::Readmission;
use crate::store::{StoreError, records};

/// How many are taken at a time.
const AT_A_TIME: usize = 100;

/// Admits what waits for it; says whether there was any. One whose source is not there goes on waiting.
pub async fn readmit_all(tools: &Tools) -> Result<bool, StoreError> {
    let mut any = false;
    for readmission in records::to_readmit(&tools.store, AT_A_TIME).await? {
        if let Some(admitted) = admit(tools, &readmission).await? {
            any |= records::readmit(&tools.store, readmission, admitted).await?;
        }
    }
    Ok(any)
}

async fn admit(tools: &Tools, readmission: &Readmission) -> Result<Option<AdmittedRecord>, StoreError> {
    let table = tools.registry.table();
    let Some(source) = table.source(&readmission.source) else { return Ok(None) };
    let stored = records::request(&tools.store, readmission.delivery).await?;
    let params = source.receive.path_parameters(&stored.request.path).unwrap_or_default();
    let arrival = Arrival {
        delivery: readmission.delivery,
        received_at: stored.received_at,
        caller: &stored.caller,
        attempt: 1,
        work_key: tools.store.work_key(),
    };
    let item = source
        .admission
        .items(&stored.request, source.admission.read(&stored.request, &params), arrival, Some(readmission.number))
        .into_iter()
        .next_back();
    Ok(item.map(|item| {
        let mask = source.mask_for(&item.document);
        item.into_record().masked(&mask)
    }))
}
