//! Pools whose open records another version of the route file admitted: they pause, their records are admitted again in the order
//! they came, each to the end of its lane, and they resume. How far that is stands in the pool's row, so that it goes on from there
//! after a crash.

use sqlx::{Row, SqliteConnection};

use super::readmission::{MOVED_ON, Readmission, Readmitted, has_moved_on, pools_of, prepare, readmission, readmission_columns};
use crate::clock::Timestamp;
use crate::model::bundle::ActiveVersion;
use crate::model::record::RecordId;
use crate::store::error::StoreError;
use crate::store::intake_form::PreparedFate;
use crate::store::lanes::json_of;
use crate::store::sqlite::further::add_further;
use crate::store::sqlite::moving::{Move, move_open};
use crate::store::state::Store;

/// A pool that is to be admitted again, or is about to be.
#[derive(Clone, Debug)]
pub struct ChangedPool {
    /// Its row.
    pub pool_id: i64,
    /// The source's name.
    pub source: String,
    /// Whether it is paused already.
    pub is_paused: bool,
    /// Whether a worker still holds a lane of it.
    pub is_held: bool,
}

/// Records that leave their lanes together.
struct Batch {
    pool_id: i64,
    admit_hash: [u8; 32],
    moves: Vec<Move>,
    last: Option<RecordId>,
}

/// The pools whose lanes are not, or not all, computed by these versions.
pub async fn changed_pools(store: &Store, versions: &[ActiveVersion]) -> Result<Vec<ChangedPool>, StoreError> {
    let sql = "select p.pool_id, p.source, p.admit_hash is unhex(active.value) as is_paused, exists (select 1 from lane l
            where l.pool_id = p.pool_id and l.due_at > ?2 and l.owner is not null) as is_held
        from json_each(?1) active join pool p on p.source = active.key
        where p.admit_hash <> unhex(active.value) or p.readmit_after is not null order by p.pool_id";
    let query = sqlx::query(sql).bind(json_of(versions)).bind(store.clock().now().as_micros());
    let mut pools = Vec::new();
    for row in store.read(query.fetch_all(store.readers())).await? {
        pools.push(ChangedPool {
            pool_id: row.try_get("pool_id")?,
            source: row.try_get("source")?,
            is_paused: row.try_get("is_paused")?,
            is_held: row.try_get("is_held")?,
        });
    }
    Ok(pools)
}

/// From now on nothing of a pool is claimed until all of its open records have been admitted by this version.
pub async fn pause_changed(store: &Store, pool: &ChangedPool, admit_hash: [u8; 32]) -> Result<(), StoreError> {
    let pool_id = pool.pool_id;
    store.writer().run_and_wake(move |connection, _| Box::pin(begin(connection, pool_id, admit_hash))).await
}

/// The next open records of a paused pool, in the order they came: at most `limit`, and no more than about `bytes` of bodies.
pub async fn next_open(store: &Store, pool: &ChangedPool, limit: usize, bytes: u64) -> Result<Vec<Readmission>, StoreError> {
    let sql = concat!(
        "select ",
        readmission_columns!(),
        " from pool p join record r on r.pool_id = p.pool_id and r.state = 0 and r.id > p.readmit_after
        join delivery d on d.delivery_row = r.delivery_row left join tenant t on t.tenant_id = p.tenant_id
        where p.pool_id = ?1 order by r.id limit ?2"
    );
    let query = sqlx::query(sql).bind(pool.pool_id).bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let mut open: Vec<Readmission> = Vec::new();
    let mut sum = 0;
    for row in store.read(query.fetch_all(store.readers())).await? {
        let next = readmission(&row)?;
        if open.last().is_none_or(|last| last.delivery != next.delivery) {
            sum += next.raw_bytes;
        }
        if sum > bytes && !open.is_empty() {
            break;
        }
        open.push(next);
    }
    Ok(open)
}

/// Moves the records that came next, as this version admitted them. When there are none left, the pool resumes; says whether it
/// does. Nothing is moved when the file has changed once more in the meantime.
pub async fn readmit_open(
    store: &Store,
    pool: &ChangedPool,
    admit_hash: [u8; 32],
    readmitted: Vec<Readmitted>,
) -> Result<bool, StoreError> {
    let last = readmitted.last().map(|one| one.readmission.record);
    let mut moves = Vec::with_capacity(readmitted.len());
    let pools = pools_of(store, &readmitted).await?;
    for one in &readmitted {
        let (prepared, further) = prepare(store, &pools, one)?;
        let Readmission { record, first_run, .. } = one.readmission;
        moves.push(Move { record, first_run, runs_late: one.runs_late, prepared, further });
    }
    let pool_id = pool.pool_id;
    let batch = Batch { pool_id, admit_hash, moves, last };
    store.writer().run_and_wake(move |connection, now| Box::pin(move_batch(connection, batch, now))).await
}

async fn begin(connection: &mut SqliteConnection, pool_id: i64, admit_hash: [u8; 32]) -> Result<(), StoreError> {
    let sql = "update pool set admit_hash = ?2, readmit_after = 0 where pool_id = ?1 and admit_hash is not ?2";
    sqlx::query(sql).bind(pool_id).bind(admit_hash.to_vec()).execute(connection).await?;
    Ok(())
}

async fn move_batch(connection: &mut SqliteConnection, mut batch: Batch, now: Timestamp) -> Result<bool, StoreError> {
    if !advance(connection, &batch).await? {
        return Ok(false);
    }
    let (pool_id, admit_hash) = (batch.pool_id, batch.admit_hash);
    for one in batch.moves.iter_mut().filter(|one| one.prepared.pool_id != pool_id) {
        enter_pool(connection, one, admit_hash).await?;
    }
    move_open(connection, &batch.moves, now).await?;
    for one in &batch.moves {
        add_further(connection, one.record, &one.further, now).await?;
    }
    resume_when_none_is_left(connection, batch.pool_id).await
}

/// A record that becomes another tenant's. What came to that tenant later may have run already, and is not to be undone. Where
/// that tenant's lanes are computed by another version, the record is admitted again with them.
async fn enter_pool(connection: &mut SqliteConnection, one: &mut Move, admit_hash: [u8; 32]) -> Result<(), StoreError> {
    let Some(lane) = one.prepared.lane() else { return Ok(()) };
    if !one.runs_late && has_moved_on(connection, lane.hash, one.first_run).await? {
        one.prepared.fate = PreparedFate::Supersede(MOVED_ON.to_owned());
        return Ok(());
    }
    let sql = "update pool set admit_hash = coalesce(admit_hash, ?2), readmit_after = case when admit_hash <> ?2
            then min(coalesce(readmit_after, ?3), ?3) else readmit_after end
        where pool_id = ?1";
    let query = sqlx::query(sql).bind(one.prepared.pool_id).bind(admit_hash.to_vec()).bind(one.record.0 - 1);
    query.execute(connection).await?;
    Ok(())
}

/// Notes how far the records are; false when they are not, because another version runs or others were moved first.
async fn advance(connection: &mut SqliteConnection, batch: &Batch) -> Result<bool, StoreError> {
    let sql = "update pool set readmit_after = coalesce(?3, readmit_after)
        where pool_id = ?1 and admit_hash = ?2 and readmit_after <= coalesce(?3, readmit_after)";
    let query = sqlx::query(sql).bind(batch.pool_id).bind(batch.admit_hash.to_vec()).bind(batch.last.map(|last| last.0));
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

async fn resume_when_none_is_left(connection: &mut SqliteConnection, pool_id: i64) -> Result<bool, StoreError> {
    let sql = "update pool set readmit_after = null where pool_id = ?1 and not exists
        (select 1 from record r where r.pool_id = ?1 and r.state = 0 and r.id > pool.readmit_after)";
    Ok(sqlx::query(sql).bind(pool_id).execute(connection).await?.rows_affected() == 1)
}
