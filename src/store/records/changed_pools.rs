//! Pools whose open records another version of the route file admitted: they pause, their records are admitted again in the order
//! they came, each to the end of its lane, and they resume. How far that is stands in the pool's row, so that it goes on from there
//! after a crash.

use super::readmission::{MOVED_ON, Readmission, Readmitted, has_moved_on, pools_of, prepare, readmission_columns, within};
use crate::clock::Timestamp;
use crate::model::bundle::ActiveVersion;
use crate::model::record::RecordId;
use crate::store::error::StoreError;
use crate::store::intake_form::PreparedFate;
use crate::store::lanes::json_of;
use crate::store::queue::further::add_further;
use crate::store::queue::moving::{Move, move_open};
use crate::store::sql::{Connection, Row, Texts, query, with_numbers, with_versions};
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
#[derive(Clone)]
struct Batch {
    pool_id: i64,
    admit_hash: [u8; 32],
    moves: Vec<Move>,
    last: Option<RecordId>,
}

/// The pools whose lanes are not, or not all, computed by these versions.
pub async fn changed_pools(store: &Store, versions: &[ActiveVersion]) -> Result<Vec<ChangedPool>, StoreError> {
    macro_rules! text {
        ($active:literal, $hash:literal) => {
            concat!(
                "select p.pool_id, p.source, coalesce(p.admit_hash = ",
                $hash,
                ", false) as is_paused, exists (select 1 from lane l
                    where l.pool_id = p.pool_id and l.due_at > $2 and l.owner is not null and l.kind = 0) as is_held
                from ",
                $active,
                " join pool p on p.source = active.key where p.admit_hash <> ",
                $hash,
                " or p.readmit_after is not null order by p.pool_id"
            )
        };
    }
    let select = query(with_versions!(text)).bind(json_of(versions)).bind(store.clock().now());
    let pool = |row: &Row| {
        Ok(ChangedPool {
            pool_id: row.get("pool_id")?,
            source: row.get("source")?,
            is_paused: row.get("is_paused")?,
            is_held: row.get("is_held")?,
        })
    };
    store.read(select).await?.iter().map(pool).collect()
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
        where p.pool_id = $1 order by r.id limit $2"
    );
    let select = query(sql).bind(pool.pool_id).bind(i64::try_from(limit).unwrap_or(i64::MAX));
    within(bytes, &store.read(select).await?)
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

async fn begin(connection: &mut Connection, pool_id: i64, admit_hash: [u8; 32]) -> Result<(), StoreError> {
    let sql = "update pool set admit_hash = $2, readmit_after = 0 where pool_id = $1 and admit_hash is distinct from $2";
    query(sql).bind(pool_id).bind(admit_hash).execute(connection).await?;
    Ok(())
}

async fn move_batch(connection: &mut Connection, mut batch: Batch, now: Timestamp) -> Result<bool, StoreError> {
    let Some(after) = how_far(connection, &batch).await? else { return Ok(false) };
    let was_faster = batch.moves.first().is_some_and(|first| first.record.0 <= after);
    if was_faster || misses_some(connection, &batch, after).await? {
        return Ok(false);
    }
    advance(connection, &batch).await?;
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
async fn enter_pool(connection: &mut Connection, one: &mut Move, admit_hash: [u8; 32]) -> Result<(), StoreError> {
    let Some(lane) = one.prepared.lane() else { return Ok(()) };
    if !one.runs_late && has_moved_on(connection, lane, one.first_run).await? {
        one.prepared.fate = PreparedFate::Supersede(MOVED_ON.to_owned());
        return Ok(());
    }
    let sql = "update pool set admit_hash = coalesce(admit_hash, $2), readmit_after = case when admit_hash <> $2
            then min(coalesce(readmit_after, $3), $3) else readmit_after end
        where pool_id = $1";
    query(sql).bind(one.prepared.pool_id).bind(admit_hash).bind(one.record.0 - 1).execute(connection).await?;
    Ok(())
}

/// How far the pool is, which nobody changes until the commit; nothing when another version runs or the pool is through.
async fn how_far(connection: &mut Connection, batch: &Batch) -> Result<Option<i64>, StoreError> {
    const POOL: Texts = Texts {
        sqlite: "select readmit_after from pool where pool_id = $1 and admit_hash = $2 and readmit_after is not null",
        postgres: "select readmit_after from pool where pool_id = $1 and admit_hash = $2 and readmit_after is not null for update",
    };
    let row = query(POOL).bind(batch.pool_id).bind(batch.admit_hash).fetch_optional(connection).await?;
    row.map(|row| row.get("readmit_after")).transpose()
}

/// Whether there are open records before the batch's last that it does not hold: they came to the pool after it was read.
async fn misses_some(connection: &mut Connection, batch: &Batch, after: i64) -> Result<bool, StoreError> {
    macro_rules! text {
        ($moved:literal) => {
            concat!(
                "select exists (select 1 from record where pool_id = $2 and state = 0 and id > $3 and id <= $4
                    and id not in (select value from ",
                $moved,
                " given)) as misses"
            )
        };
    }
    let Some(last) = batch.last else { return Ok(false) };
    let moved: Vec<i64> = batch.moves.iter().map(|one| one.record.0).collect();
    let select = query(with_numbers!(text)).bind(moved).bind(batch.pool_id).bind(after).bind(last.0);
    select.fetch_one(connection).await?.get("misses")
}

/// Notes how far the records are.
async fn advance(connection: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
    let sql = "update pool set readmit_after = coalesce($2, readmit_after) where pool_id = $1";
    query(sql).bind(batch.pool_id).bind(batch.last.map(|last| last.0)).execute(connection).await?;
    Ok(())
}

async fn resume_when_none_is_left(connection: &mut Connection, pool_id: i64) -> Result<bool, StoreError> {
    let sql = "update pool set readmit_after = null where pool_id = $1 and not exists
        (select 1 from record r where r.pool_id = $1 and r.state = 0 and r.id > pool.readmit_after)";
    Ok(query(sql).bind(pool_id).execute(connection).await? == 1)
}
