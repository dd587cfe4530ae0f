//! Records that are to be admitted again, because a person asked or the same sender's id came again: which they are, and their way
//! back to the end of a lane.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::bundle::ActiveVersion;
use crate::model::delivery::DeliveryId;
use crate::model::record::{AdmittedRecord, RecordId};
use crate::model::tenant::Tenant;
use crate::store::error::StoreError;
use crate::store::intake_form::{Place, PreparedLane, PreparedRecord, owner_of, prepare_record};
use crate::store::lanes::json_of;
use crate::store::pools::{self, Pools};
use crate::store::queue::further::add_further;
use crate::store::queue::gates;
use crate::store::queue::lane_rows::{enqueue, take_places};
use crate::store::sql::{Connection, Row, fixed, query, with_versions};
use crate::store::state::Store;

/// How many are put back in one transaction, so that deliveries never wait for more.
const AT_A_TIME: usize = 20;

/// Why a replayed record does not run where its lane has newer ones.
pub(super) const MOVED_ON: &str =
    "the lane has moved on: newer records of it are done or wait; `--force` runs this one all the same";

/// A record that waits to be admitted again.
#[derive(Clone, Debug)]
pub struct Readmission {
    /// Its row.
    pub record: RecordId,
    /// The id of its first run.
    pub first_run: RecordId,
    /// The delivery it is an item of.
    pub delivery: DeliveryId,
    /// Its place in the delivery, from 0.
    pub number: u32,
    /// The run it had.
    pub run: u32,
    /// Whether it is to be applied again, in a new run.
    pub apply_again: bool,
    /// Whether it is to run though its lane has moved on.
    pub force: bool,
    /// Whether its forwards are sent again too when it is applied again.
    pub forwards: bool,
    /// Whether its delivery has no record after it: what the route file finds behind it has none yet.
    pub is_last: bool,
    /// Bytes of its delivery's body.
    pub raw_bytes: u64,
    /// The source's name.
    pub source: String,
    /// Whose it is so far, when its source has tenants.
    pub tenant: Option<Tenant>,
    /// The integration it came by so far.
    pub integration: Option<i64>,
    /// The tenant whose credentials brought the delivery, and whose its records stay; 0 when it belongs to none.
    pub delivery_tenant: i64,
}

/// What admission made of a record that waited for it.
#[derive(Clone, Debug)]
pub struct Readmitted {
    /// Which it is.
    pub readmission: Readmission,
    /// As it is now.
    pub admitted: AdmittedRecord,
    /// Whether it may run after newer records of its lane without undoing what they wrote.
    pub runs_late: bool,
    /// Items of its delivery that have no record yet, since the file splits it otherwise now. They become records that are asked to
    /// run.
    pub further: Vec<AdmittedRecord>,
}

/// A record as it is written.
#[derive(Clone)]
struct Prepared {
    readmission: Readmission,
    record: PreparedRecord,
    runs_late: bool,
    further: Vec<PreparedRecord>,
}

/// The columns of a [`Readmission`], from `record r`, `delivery d`, `pool p` and `tenant t` of the record.
macro_rules! readmission_columns {
    () => {
        "r.id, coalesce(r.first_run, r.id) as first_run, d.id as delivery_id, r.record_no, r.run, r.asked, d.raw_bytes, p.source,
        t.tenant_id, t.name, r.integration_id, (select of.tenant_id from pool of where of.pool_id = d.pool_id) as delivery_tenant,
        not exists (select 1 from record later
            where later.delivery_row = r.delivery_row and later.record_no > r.record_no) as is_last"
    };
}
pub(super) use readmission_columns;

/// The records that were asked to run again and whose source runs in one of these versions, in the order they came.
/// `limit` of them at most, and no more than about `bytes` of bodies.
pub async fn to_readmit(
    store: &Store,
    versions: &[ActiveVersion],
    limit: usize,
    bytes: u64,
) -> Result<Vec<Readmission>, StoreError> {
    macro_rules! text {
        ($active:literal, $hash:literal) => {
            concat!(
                "select ",
                readmission_columns!(),
                " from record r join delivery d on d.delivery_row = r.delivery_row join pool p on p.pool_id = r.pool_id
                left join tenant t on t.tenant_id = p.tenant_id
                where r.asked > 0 and p.readmit_after is null and exists (select 1 from ",
                $active,
                " where active.key = p.source and (p.admit_hash is null or p.admit_hash = ",
                $hash,
                ")) order by r.id limit $2"
            )
        };
    }
    let select = query(with_versions!(text)).bind(json_of(versions)).bind(i64::try_from(limit).unwrap_or(i64::MAX));
    within(bytes, &store.read(select).await?)
}

/// As many as have about this many bytes of bodies, at least one.
pub(super) fn within(bytes: u64, rows: &[Row]) -> Result<Vec<Readmission>, StoreError> {
    let mut some: Vec<Readmission> = Vec::with_capacity(rows.len());
    let mut sum = 0;
    for row in rows {
        let next = readmission(row)?;
        if some.last().is_none_or(|last| last.delivery != next.delivery) {
            sum += next.raw_bytes;
            if sum > bytes && !some.is_empty() {
                break;
            }
        }
        some.push(next);
    }
    Ok(some)
}

fn readmission(row: &Row) -> Result<Readmission, StoreError> {
    let tenant_id: Option<i64> = row.get("tenant_id")?;
    let name: Option<String> = row.get("name")?;
    let asked: i64 = row.get("asked")?;
    let (forwards, asked) = (asked > 4, if asked > 4 { asked - 4 } else { asked });
    let raw_bytes: i64 = row.get("raw_bytes")?;
    Ok(Readmission {
        record: RecordId(row.get("id")?),
        first_run: RecordId(row.get("first_run")?),
        delivery: DeliveryId(Uuid::from_bytes(fixed(row.get("delivery_id")?, "a delivery's id")?)),
        number: row.get("record_no")?,
        run: row.get("run")?,
        apply_again: matches!(asked, 2 | 4),
        force: asked > 2,
        forwards,
        is_last: row.get("is_last")?,
        raw_bytes: u64::try_from(raw_bytes).unwrap_or(0),
        source: row.get("source")?,
        tenant: tenant_id.zip(name).map(|(id, name)| Tenant { id, name }),
        integration: row.get("integration_id")?,
        delivery_tenant: row.get("delivery_tenant")?,
    })
}

/// Puts records at the ends of the lanes they were admitted to now by this version, which may be another tenant's than before, or in the states that admission gave them, in
/// this order. Attempts start anew. One that would undo what newer records of its lane wrote is superseded. Those that are no
/// longer asked for, or whose pool has another version by now, are left as they are; returns how many were not.
pub async fn readmit(store: &Store, readmitted: Vec<Readmitted>, admit_hash: [u8; 32]) -> Result<u64, StoreError> {
    let mut all = Vec::with_capacity(readmitted.len());
    for one in readmitted {
        let pools = pools_of(store, std::slice::from_ref(&one)).await?;
        let (record, further) = prepare(store, &pools, &one)?;
        let Readmitted { readmission, runs_late, .. } = one;
        all.push(Prepared { readmission, record, runs_late, further });
    }
    let mut count = 0;
    for some in all.chunks(AT_A_TIME) {
        let some = some.to_vec();
        let job = store.writer().run_and_wake(move |connection, now| Box::pin(put_back_some(connection, some, admit_hash, now)));
        count += job.await?;
    }
    Ok(count)
}

/// The pools that records of one source go to.
pub(super) async fn pools_of(store: &Store, readmitted: &[Readmitted]) -> Result<Pools, StoreError> {
    let source = readmitted.first().map_or("", |one| one.readmission.source.as_str());
    let of_one = |one: &Readmitted| {
        let records = std::iter::once(&one.admitted).chain(&one.further);
        records.map(|record| owner_of(record, one.readmission.delivery_tenant)).collect::<Vec<_>>()
    };
    pools::of_tenants(store, source, readmitted.iter().flat_map(of_one)).await
}

/// The record, and those that come into being with it.
pub(super) fn prepare(
    store: &Store,
    pools: &Pools,
    one: &Readmitted,
) -> Result<(PreparedRecord, Vec<PreparedRecord>), StoreError> {
    let Readmission { source, delivery_tenant, .. } = &one.readmission;
    let place = Place { store, pools, source, delivery_tenant: *delivery_tenant };
    let prepared = |record: &AdmittedRecord| prepare_record(place, record);
    Ok((prepared(&one.admitted)?, one.further.iter().map(prepared).collect::<Result<_, _>>()?))
}

async fn put_back_some(
    connection: &mut Connection,
    all: Vec<Prepared>,
    admit_hash: [u8; 32],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for one in &all {
        if pool_has(connection, one.record.pool_id, admit_hash).await? && take_mark(connection, &one.readmission).await? {
            put_back(connection, one, now).await?;
            add_further(connection, one.readmission.record, &one.further, now).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Whether the pool's lanes are computed by this version; one that never had a lane is from now on.
async fn pool_has(connection: &mut Connection, pool_id: i64, admit_hash: [u8; 32]) -> Result<bool, StoreError> {
    let sql = "update pool set admit_hash = $2 where pool_id = $1 and readmit_after is null
        and coalesce(admit_hash, $2) = $2";
    Ok(query(sql).bind(pool_id).bind(admit_hash).execute(connection).await? == 1)
}

async fn take_mark(connection: &mut Connection, readmission: &Readmission) -> Result<bool, StoreError> {
    let sql = "update record set asked = 0 where id = $1 and asked = $2 and state <> 0";
    let Readmission { apply_again, force, forwards, .. } = readmission;
    let asked = 1 + i64::from(*apply_again) + if *force { 2 } else { 0 } + if *forwards { 4 } else { 0 };
    Ok(query(sql).bind(readmission.record.0).bind(asked).execute(connection).await? == 1)
}

async fn put_back(connection: &mut Connection, one: &Prepared, now: Timestamp) -> Result<(), StoreError> {
    let Prepared { readmission, record: prepared, runs_late, .. } = one;
    let id = if readmission.apply_again { copy_as_new_run(connection, readmission).await? } else { readmission.record.0 };
    let mut places = None;
    if let Some(lane) = prepared.lane() {
        if !readmission.force && !runs_late && has_moved_on(connection, lane, readmission.first_run).await? {
            return supersede(connection, id, prepared, now).await;
        }
        places = take_places(&mut enqueue(connection, &[lane], now).await?, lane);
        remember_what_was_done(connection, lane).await?;
    }
    let place = places.as_ref().map(|places| places.own);
    let sql = "update record set lane_id = $1, pos = $2, event = $3, state = $4, work_hash = $5, item_sha256 = $6, reason = $7,
        attempts = 0, first_failed_at = null, superseded_by = null, finished_at = $8, pool_id = $10, integration_id = $11,
        gates = $12, aside_until = null, passed = null where id = $9";
    let update = query(sql).bind(place.map(|place| place.lane_id)).bind(place.map(|place| place.next_position));
    let update = update.bind(&prepared.event).bind(prepared.state()).bind(prepared.work_hash);
    let update = update.bind(prepared.item_sha256).bind(prepared.reason());
    let update = update.bind(prepared.lane().is_none().then_some(now)).bind(id);
    let gates = places.as_ref().map_or(0, |places| gates::count(&places.gates));
    update.bind(prepared.pool_id).bind(prepared.integration).bind(gates).execute(connection).await?;
    gates::insert(connection, places.iter()).await
}

/// Whether a record that came later than this one took effect in one of its lanes, or waits there and will run before it.
pub(super) async fn has_moved_on(
    connection: &mut Connection,
    lane: &PreparedLane,
    first_run: RecordId,
) -> Result<bool, StoreError> {
    for one in lane.all() {
        if lane_has_moved_on(connection, one.hash, first_run).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn lane_has_moved_on(connection: &mut Connection, hash: [u8; 16], first_run: RecordId) -> Result<bool, StoreError> {
    let sql = "select exists (select 1 from lane l where l.hash = $1 and (l.done_record > $2
            or exists (select 1 from record r where r.lane_id = l.lane_id and r.state = 0 and coalesce(r.first_run, r.id) > $2)
            or exists (select 1 from gate g join record r on r.id = g.record_id
                where g.lane_id = l.lane_id and coalesce(r.first_run, r.id) > $2)))
        or exists (select 1 from former_lane f where f.hash = $1 and f.done_record > $2) as has";
    query(sql).bind(hash).bind(first_run.0).fetch_one(connection).await?.get("has")
}

/// Lanes that were gone and came back are told what ran in them before: the record that comes back may be older.
async fn remember_what_was_done(connection: &mut Connection, lane: &PreparedLane) -> Result<(), StoreError> {
    let sql = "update lane set done_record = f.done_record from former_lane f
        where f.hash = $1 and lane.hash = f.hash and coalesce(lane.done_record, 0) < f.done_record";
    for one in lane.all() {
        query(sql).bind(one.hash).execute(connection).await?;
    }
    Ok(())
}

async fn supersede(connection: &mut Connection, id: i64, prepared: &PreparedRecord, now: Timestamp) -> Result<(), StoreError> {
    let sql =
        "update record set state = 3, reason = $1, superseded_by = null, finished_at = $2, pool_id = $4, integration_id = $5
        where id = $3";
    let update = query(sql).bind(MOVED_ON).bind(now).bind(id).bind(prepared.pool_id).bind(prepared.integration);
    update.execute(connection).await?;
    Ok(())
}

/// A row for the next run; it is ignored until `put_back` has given it its state.
async fn copy_as_new_run(connection: &mut Connection, readmission: &Readmission) -> Result<i64, StoreError> {
    let sql = "insert into record (delivery_row, pool_id, integration_id, record_no, run, state, event, item_sha256, first_run, forwards)
        select delivery_row, pool_id, integration_id, record_no,
            (select max(run) + 1 from record other where other.delivery_row = r.delivery_row and other.record_no = r.record_no),
            2, event, item_sha256, coalesce(first_run, id), $2 from record r where id = $1 returning id";
    query(sql).bind(readmission.record.0).bind(readmission.forwards).fetch_one(connection).await?.get("id")
}
