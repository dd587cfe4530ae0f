//! Records that were asked to run again: which they are, and their way back to the end of a lane.

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::model::record::{AdmittedRecord, RecordId};
use crate::model::tenant::Tenant;
use crate::store::error::StoreError;
use crate::store::intake_form::{PreparedRecord, prepare_record};
use crate::store::pools;
use crate::store::sqlite::lane_rows::enqueue;
use crate::store::sqlite::rows::fixed;
use crate::store::state::Store;

/// A record that waits to be admitted again.
#[derive(Clone, Debug)]
pub struct Readmission {
    /// Its row.
    pub record: RecordId,
    /// The delivery it is an item of.
    pub delivery: DeliveryId,
    /// Its place in the delivery, from 0.
    pub number: u32,
    /// The run it had.
    pub run: u32,
    /// Whether it is to be applied again, in a new run.
    pub apply_again: bool,
    /// The source's name.
    pub source: String,
    /// The tenant, when the source has one.
    pub tenant: Option<Tenant>,
}

/// The records that were asked to run again, in the order they came.
pub async fn to_readmit(store: &Store, limit: usize) -> Result<Vec<Readmission>, StoreError> {
    let sql = "select r.id, d.id as delivery_id, r.record_no, r.run, r.asked, p.source, t.tenant_id, t.name
        from record r join delivery d on d.delivery_row = r.delivery_row join pool p on p.pool_id = r.pool_id
        left join tenant t on t.tenant_id = p.tenant_id where r.asked > 0 order by r.id limit ?";
    let query = sqlx::query(sql).bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(store.readers());
    let mut readmissions = Vec::new();
    for row in store.read(query).await? {
        let tenant_id: Option<i64> = row.try_get("tenant_id")?;
        let name: Option<String> = row.try_get("name")?;
        readmissions.push(Readmission {
            record: RecordId(row.try_get("id")?),
            delivery: DeliveryId(Uuid::from_bytes(fixed(row.try_get("delivery_id")?, "a delivery's id")?)),
            number: row.try_get("record_no")?,
            run: row.try_get("run")?,
            apply_again: row.try_get::<i64, _>("asked")? == 2,
            source: row.try_get("source")?,
            tenant: tenant_id.zip(name).map(|(id, name)| Tenant { id, name }),
        });
    }
    Ok(readmissions)
}

/// Puts a record at the end of the lane it was admitted to now, or in the state that admission gave it. Attempts start anew.
/// False when it is no longer asked for, and then nothing is changed.
pub async fn readmit(store: &Store, readmission: Readmission, admitted: AdmittedRecord) -> Result<bool, StoreError> {
    let tenant_id = readmission.tenant.as_ref().map_or(0, |tenant| tenant.id);
    let pool = pools::find_or_make(store, &readmission.source, tenant_id).await?;
    let prepared = prepare_record(store, &pool, &readmission.source, tenant_id, &admitted)?;
    store.writer().run_and_wake(move |connection, now| Box::pin(put_back(connection, readmission, prepared, now))).await
}

async fn put_back(
    connection: &mut SqliteConnection,
    readmission: Readmission,
    prepared: PreparedRecord,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if !take_mark(connection, &readmission).await? {
        return Ok(false);
    }
    let id = if readmission.apply_again { copy_as_new_run(connection, readmission.record).await? } else { readmission.record.0 };
    let mut place = None;
    if let Some(lane) = prepared.lane() {
        place = enqueue(connection, &[lane], now).await?.remove(&lane.hash);
    }
    let sql = "update record set lane_id = ?1, pos = ?2, event = ?3, state = ?4, work_hash = ?5, item_sha256 = ?6, reason = ?7,
        attempts = 0, first_failed_at = null, superseded_by = null, finished_at = ?8 where id = ?9";
    let query = sqlx::query(sql).bind(place.map(|place| place.lane_id)).bind(place.map(|place| place.next_position));
    let query = query.bind(&prepared.event).bind(prepared.state()).bind(prepared.work_hash.map(|hash| hash.to_vec()));
    let query = query.bind(prepared.item_sha256.to_vec()).bind(prepared.reason());
    let query = query.bind(prepared.lane().is_none().then(|| now.as_micros())).bind(id);
    query.execute(connection).await?;
    Ok(true)
}

async fn take_mark(connection: &mut SqliteConnection, readmission: &Readmission) -> Result<bool, StoreError> {
    let sql = "update record set asked = 0 where id = ?1 and asked = ?2 and state <> 0";
    let asked = if readmission.apply_again { 2 } else { 1 };
    let done = sqlx::query(sql).bind(readmission.record.0).bind(asked).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// A row for the next run; it is ignored until `put_back` has given it its state.
async fn copy_as_new_run(connection: &mut SqliteConnection, record: RecordId) -> Result<i64, StoreError> {
    let sql = "insert into record (delivery_row, pool_id, record_no, run, state, item_sha256)
        select delivery_row, pool_id, record_no,
            (select max(run) + 1 from record other where other.delivery_row = r.delivery_row and other.record_no = r.record_no),
            2, item_sha256 from record r where id = ? returning id";
    Ok(sqlx::query_scalar(sql).bind(record.0).fetch_one(connection).await?)
}
