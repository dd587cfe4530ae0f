//! Claims: due lanes of the pools in turn, each pool as often as the others, and the records at their heads.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use super::rows::{fixed, micros, moment};
use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::model::lane::Claim;
use crate::model::record::{ClaimedRecord, RecordId};
use crate::model::tenant::Tenant;
use crate::store::error::StoreError;

/// The most records of one lane that a claim brings.
const MOST_RECORDS: i64 = 200;

/// What a worker asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) owner: i64,
    /// A JSON object: the admission hash of each source's version that runs, in hex.
    pub(crate) versions: String,
    pub(crate) limit: usize,
    pub(crate) lease: Duration,
}

struct DuePool {
    pool_id: i64,
    source: String,
    tenant: Option<Tenant>,
    lanes: Vec<i64>,
}

/// Claims up to `limit` lanes, beginning with the pool after `last_pool`, which is moved on.
pub(crate) async fn claim(
    connection: &mut SqliteConnection,
    wanted: &Wanted,
    last_pool: &mut i64,
    now: Timestamp,
) -> Result<Vec<Claim>, StoreError> {
    let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
    let mut pools = due_pools(connection, &wanted.versions, *last_pool, limit, now).await?;
    for pool in &mut pools {
        pool.lanes = due_lanes(connection, pool.pool_id, limit, now).await?;
    }
    let chosen = take_in_turn(&pools, wanted.limit);
    let Some((_, last)) = chosen.last() else {
        return Ok(Vec::new());
    };
    *last_pool = last.pool_id;
    let mut claims = lease_lanes(connection, &chosen, wanted, now).await?;
    read_heads(connection, &mut claims).await?;
    read_followers(connection, &mut claims).await?;
    for claim in claims.extract_if(.., |claim| claim.records.is_empty()) {
        tracing::error!(lane.id = claim.lane_id, "a lane was due without an open record; it is put to sleep");
        put_to_sleep(connection, claim.lane_id).await?;
    }
    Ok(claims)
}

/// One lane of each pool, then a second of each, until there are enough.
fn take_in_turn(pools: &[DuePool], limit: usize) -> Vec<(i64, &DuePool)> {
    let longest = pools.iter().map(|pool| pool.lanes.len()).max().unwrap_or(0);
    let rounds = (0..longest).flat_map(|turn| pools.iter().filter_map(move |pool| Some((*pool.lanes.get(turn)?, pool))));
    rounds.take(limit).collect()
}

async fn due_pools(
    connection: &mut SqliteConnection,
    versions: &str,
    last_pool: i64,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<DuePool>, StoreError> {
    let sql = "select p.pool_id, p.source, p.tenant_id, t.name from json_each(?1) active
        join pool p on p.source = active.key and p.admit_hash = unhex(active.value)
        left join tenant t on t.tenant_id = p.tenant_id
        where p.readmit_after is null and coalesce(p.paused_until, 0) <= ?2
            and exists (select 1 from lane where lane.pool_id = p.pool_id and lane.due_at <= ?2)
        order by p.pool_id <= ?3, p.pool_id limit ?4";
    let query = sqlx::query(sql).bind(versions).bind(now.as_micros()).bind(last_pool).bind(limit);
    let mut pools = Vec::new();
    for row in query.fetch_all(connection).await? {
        let tenant_id: i64 = row.try_get("tenant_id")?;
        let name: Option<String> = row.try_get("name")?;
        let tenant = name.map(|name| Tenant { id: tenant_id, name });
        pools.push(DuePool { pool_id: row.try_get("pool_id")?, source: row.try_get("source")?, tenant, lanes: Vec::new() });
    }
    Ok(pools)
}

async fn due_lanes(connection: &mut SqliteConnection, pool_id: i64, limit: i64, now: Timestamp) -> Result<Vec<i64>, StoreError> {
    let sql = "select lane_id from lane where pool_id = ?1 and due_at <= ?2 order by due_at limit ?3";
    Ok(sqlx::query_scalar(sql).bind(pool_id).bind(now.as_micros()).bind(limit).fetch_all(connection).await?)
}

async fn next_fences(connection: &mut SqliteConnection, count: usize) -> Result<i64, StoreError> {
    let sql = "update counter set value = value + ?1 where name = 'fence' returning value";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let last: i64 = sqlx::query_scalar(sql).bind(count).fetch_one(connection).await?;
    Ok(last - count + 1)
}

async fn lease_lanes(
    connection: &mut SqliteConnection,
    chosen: &[(i64, &DuePool)],
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Vec<Claim>, StoreError> {
    let sql = "update lane set owner = ?1, fence = ?2 + taken.key, due_at = ?3, first_at = null, quiet_until = null
        from json_each(?4) taken where lane_id = taken.value returning lane_id, hash, fence, done_pos";
    let first_fence = next_fences(connection, chosen.len()).await?;
    let lease_ends_at = now.as_micros().saturating_add(micros(wanted.lease));
    let ids: Vec<i64> = chosen.iter().map(|(lane_id, _)| *lane_id).collect();
    let query = sqlx::query(sql).bind(wanted.owner).bind(first_fence).bind(lease_ends_at).bind(json_list(&ids));
    let pools: HashMap<i64, &DuePool> = chosen.iter().copied().collect();
    let mut claims = Vec::with_capacity(chosen.len());
    for row in query.fetch_all(connection).await? {
        let lane_id: i64 = row.try_get("lane_id")?;
        let pool = pools.get(&lane_id).ok_or_else(|| StoreError::Damaged(format!("lane {lane_id} was not asked for")))?;
        claims.push(Claim {
            lane_id,
            lane_hash: fixed(row.try_get("hash")?, "a lane's hash")?,
            fence: row.try_get("fence")?,
            pool_id: pool.pool_id,
            source: pool.source.clone(),
            tenant: pool.tenant.clone(),
            done_position: row.try_get("done_pos")?,
            claimed_at: now,
            lease_ends_at: moment(lease_ends_at),
            records: Vec::new(),
        });
    }
    claims.sort_by_key(|claim| claim.fence);
    Ok(claims)
}

async fn read_heads(connection: &mut SqliteConnection, claims: &mut [Claim]) -> Result<(), StoreError> {
    let ids: Vec<i64> = claims.iter().map(|claim| claim.lane_id).collect();
    read_records(connection, claims, &ids, 1).await
}

/// Only a head that coalesces has followers that matter: those right behind it with the same work.
async fn read_followers(connection: &mut SqliteConnection, claims: &mut [Claim]) -> Result<(), StoreError> {
    let coalesces = |claim: &&mut Claim| claim.records.first().is_some_and(|head| head.work_hash.is_some());
    let mut ids = Vec::new();
    for claim in claims.iter_mut().filter(coalesces) {
        claim.records.clear();
        ids.push(claim.lane_id);
    }
    if ids.is_empty() {
        return Ok(());
    }
    read_records(connection, claims, &ids, MOST_RECORDS).await?;
    for claim in claims {
        let Some(work) = claim.records.first().map(work_of) else { continue };
        let length = claim.records.iter().take_while(|record| work_of(record) == work).count();
        claim.records.truncate(length);
    }
    Ok(())
}

/// What two records have in common that are the same work: an integration's credentials serve its own records alone.
fn work_of(record: &ClaimedRecord) -> (Option<[u8; 32]>, Option<i64>) {
    (record.work_hash, record.integration)
}

async fn read_records(
    connection: &mut SqliteConnection,
    claims: &mut [Claim],
    lane_ids: &[i64],
    limit: i64,
) -> Result<(), StoreError> {
    let sql = "select r.id, coalesce(r.first_run, r.id) as first_run, r.lane_id, r.pos, d.id as delivery_id, r.record_no, r.run, r.integration_id, r.work_hash, r.item_sha256, r.attempts,
            d.received_at, r.first_failed_at, d.caller
        from json_each(?1) claimed
        join record r on r.id in
            (select id from record where lane_id = claimed.value and state = 0 order by pos limit ?2)
        join delivery d on d.delivery_row = r.delivery_row
        order by r.lane_id, r.pos";
    let mut places: HashMap<i64, &mut Claim> = claims.iter_mut().map(|claim| (claim.lane_id, claim)).collect();
    for row in sqlx::query(sql).bind(json_list(lane_ids)).bind(limit).fetch_all(connection).await? {
        let lane_id: i64 = row.try_get("lane_id")?;
        if let Some(claim) = places.get_mut(&lane_id) {
            claim.records.push(claimed_record(&row, claim.tenant.clone())?);
        }
    }
    Ok(())
}

fn claimed_record(row: &SqliteRow, tenant: Option<Tenant>) -> Result<ClaimedRecord, StoreError> {
    let work_hash: Option<&[u8]> = row.try_get("work_hash")?;
    let first_failed_at: Option<i64> = row.try_get("first_failed_at")?;
    let caller = serde_json::from_str(row.try_get("caller")?);
    Ok(ClaimedRecord {
        id: RecordId(row.try_get("id")?),
        first_run: RecordId(row.try_get("first_run")?),
        position: row.try_get("pos")?,
        delivery: DeliveryId(Uuid::from_bytes(fixed(row.try_get("delivery_id")?, "a delivery's id")?)),
        number: row.try_get("record_no")?,
        run: row.try_get("run")?,
        tenant,
        integration: row.try_get("integration_id")?,
        work_hash: work_hash.map(|hash| fixed(hash, "a work hash")).transpose()?,
        item_sha256: fixed(row.try_get("item_sha256")?, "an item's hash")?,
        attempts: row.try_get("attempts")?,
        received_at: moment(row.try_get("received_at")?),
        first_failed_at: first_failed_at.map(moment),
        caller: caller.map_err(|error| StoreError::Damaged(format!("a stored caller cannot be read: {error}")))?,
    })
}

async fn put_to_sleep(connection: &mut SqliteConnection, lane_id: i64) -> Result<(), StoreError> {
    let sql = "update lane set owner = null, waiting = 0, due_at = null where lane_id = ?";
    sqlx::query(sql).bind(lane_id).execute(connection).await?;
    Ok(())
}

pub(crate) fn json_list(ids: &[i64]) -> String {
    let texts: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("[{}]", texts.join(","))
}
