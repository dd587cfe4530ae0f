//! How a delivery stands as a whole, in one short look: for those who wait for what another process may do.

use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::store::error::StoreError;
use crate::store::sql::{moment, query};
use crate::store::state::Store;

/// How the records of a delivery stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Some are open, and none has failed.
    Open,
    /// All are done, superseded or left alone, the last of them since then.
    Ended(Timestamp),
    /// One has failed, whether or not it is tried again, or was given up.
    Failed,
}

/// How the records of a delivery stand.
pub async fn standing(store: &Store, delivery: DeliveryId) -> Result<Standing, StoreError> {
    let looked = query(
        "select coalesce(sum(case when r.state = 0 then 1 else 0 end), 0) as open,
            coalesce(sum(case when r.state in (4, 5) or r.state = 0 and r.attempts > 0 then 1 else 0 end), 0) as failed,
            coalesce(max(r.finished_at), 0) as ended_at, count(*) as found
        from record r join delivery d on d.delivery_row = r.delivery_row where d.id = $1",
    );
    let Some(row) = store.read_first(looked.bind(delivery.0.as_bytes())).await? else { return Ok(Standing::Open) };
    let number = |name: &str| row.get::<i64>(name);
    Ok(if number("failed")? > 0 {
        Standing::Failed
    } else if number("open")? > 0 || number("found")? == 0 {
        Standing::Open
    } else {
        Standing::Ended(moment(number("ended_at")?))
    })
}
