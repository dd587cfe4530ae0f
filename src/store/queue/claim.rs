//! Claims: due lanes of the pools in turn, each pool as often as the others, and the records at their heads.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::aside::BEYOND;
use super::due::{Floors, due_lanes, due_pools};
use super::forward_rows::read_forwards;
use super::gates;
use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::model::lane::{Claim, LaneKind};
use crate::model::record::{ClaimedRecord, RecordId};
use crate::model::tenant::Tenant;
use crate::store::error::StoreError;
use crate::store::hands::Hands;
use crate::store::sql::{Connection, Row, Texts, fixed, micros, moment, query};

/// The most records of one lane that a claim brings.
const MOST_RECORDS: i64 = 1000;

/// How often one claim goes on looking behind lanes whose heads have to wait for others.
const LOOKS: usize = 8;

/// What a worker asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) owner: i64,
    pub(crate) kind: LaneKind,
    /// A JSON object: the admission hash of each source's version that runs, in hex.
    pub(crate) versions: String,
    /// Those that are free, and who holds the others.
    pub(crate) hands: Hands,
    pub(crate) lease: Duration,
}

/// A pool with lanes that are due.
pub(super) struct DuePool {
    pub(super) pool_id: i64,
    pub(super) source: String,
    pub(super) tenant: Option<Tenant>,
    pub(super) lanes: Vec<i64>,
}

/// What is remembered from claim to claim.
#[derive(Default)]
pub(crate) struct Turn {
    of_records: TurnOf,
    of_forwards: TurnOf,
}

#[derive(Default)]
struct TurnOf {
    /// The pool that was claimed from last.
    last_pool: i64,
    floors: Floors,
}

/// Claims a lane for each free hand, as far as the shares go, beginning with the pool after the one that was last, which is moved on.
pub(crate) async fn claim(
    connection: &mut Connection,
    wanted: &Wanted,
    turn: &mut Turn,
    now: Timestamp,
) -> Result<Vec<Claim>, StoreError> {
    let mut claims = Vec::new();
    let mut rest = wanted.clone();
    for _ in 0..LOOKS {
        let (more, any_left) = claim_some(connection, &rest, turn, now).await?;
        more.iter().for_each(|claim| rest.hands.take(&claim.source, claim.pool_id));
        claims.extend(more);
        if !any_left || rest.hands.free() == 0 {
            break;
        }
    }
    Ok(claims)
}

/// Claims some, and says whether others were left to wait whose places may be taken.
async fn claim_some(
    connection: &mut Connection,
    wanted: &Wanted,
    turn: &mut Turn,
    now: Timestamp,
) -> Result<(Vec<Claim>, bool), StoreError> {
    let turn = match wanted.kind {
        LaneKind::Records => &mut turn.of_records,
        LaneKind::Forwards => &mut turn.of_forwards,
    };
    let mut pools = due_pools(connection, wanted, turn.last_pool, &turn.floors, now).await?;
    if pools.is_empty() && turn.floors.forget() {
        pools = due_pools(connection, wanted, turn.last_pool, &turn.floors, now).await?;
    }
    due_lanes(connection, &mut pools, wanted, &mut turn.floors, now).await?;
    let chosen = take_in_turn(&pools, wanted.hands.clone());
    let Some((_, last)) = chosen.last() else {
        return Ok((Vec::new(), false));
    };
    turn.last_pool = last.pool_id;
    let (mut claims, with_gates) = lease_lanes(connection, &chosen, wanted, now).await?;
    let any_left = match wanted.kind {
        LaneKind::Forwards => {
            read_forwards(connection, &mut claims).await?;
            false
        }
        LaneKind::Records => {
            read_heads(connection, &mut claims).await?;
            let settled = gates::settle(connection, &mut claims, with_gates, now).await?;
            read_followers(connection, &mut claims, &settled.first_gates).await?;
            settled.any_left
        }
    };
    for claim in claims.extract_if(.., |claim| claim.records.is_empty() && claim.forward.is_none()) {
        tracing::error!(lane.id = claim.lane_id, "a lane was due without anything open; it is put to sleep");
        put_to_sleep(connection, claim.lane_id).await?;
    }
    Ok((claims, any_left))
}

/// One lane of each pool, then a second of each, until there is no hand for more.
fn take_in_turn(pools: &[DuePool], mut hands: Hands) -> Vec<(i64, &DuePool)> {
    let longest = pools.iter().map(|pool| pool.lanes.len()).max().unwrap_or(0);
    let rounds = (0..longest).flat_map(|turn| pools.iter().filter_map(move |pool| Some((*pool.lanes.get(turn)?, pool))));
    let mut chosen = Vec::with_capacity(hands.free());
    for (lane_id, pool) in rounds {
        if hands.free() == 0 {
            break;
        }
        if hands.has_room_for_pool(&pool.source, pool.pool_id) {
            hands.take(&pool.source, pool.pool_id);
            chosen.push((lane_id, pool));
        }
    }
    chosen
}

/// The first of as many fences as are needed. Where others share the state, each comes from a sequence instead.
async fn next_fences(connection: &mut Connection, count: usize) -> Result<i64, StoreError> {
    if connection.is_shared() {
        return Ok(0);
    }
    let sql = "update counter set value = value + $1 where name = 'fence' returning value";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let last: i64 = query(sql).bind(count).fetch_one(connection).await?.get("value")?;
    Ok(last - count + 1)
}

/// The claims, and those of their lanes that hold gates.
async fn lease_lanes(
    connection: &mut Connection,
    chosen: &[(i64, &DuePool)],
    wanted: &Wanted,
    now: Timestamp,
) -> Result<(Vec<Claim>, Vec<i64>), StoreError> {
    const LEASE: Texts = Texts {
        sqlite: "update lane set owner = $1, fence = $2 + taken.key, due_at = $3, first_at = null, quiet_until = null
            from json_each($4) taken where lane_id = taken.value returning lane_id, hash, fence, done_pos, done_record, gates",
        postgres: "update lane set owner = $1, fence = nextval('fence') + $2, due_at = $3, first_at = null, quiet_until = null
            where lane_id = any($4) returning lane_id, hash, fence, done_pos, done_record, gates",
    };
    let first_fence = next_fences(connection, chosen.len()).await?;
    let lease_ends_at = now.as_micros().saturating_add(micros(wanted.lease));
    let ids: Vec<i64> = chosen.iter().map(|(lane_id, _)| *lane_id).collect();
    let lease = query(LEASE).bind(wanted.owner).bind(first_fence).bind(lease_ends_at).bind(ids);
    let pools: HashMap<i64, &DuePool> = chosen.iter().copied().collect();
    let mut claims = Vec::with_capacity(chosen.len());
    let mut with_gates = Vec::new();
    for row in lease.fetch_all(connection).await? {
        let lane_id: i64 = row.get("lane_id")?;
        let pool = pools.get(&lane_id).ok_or_else(|| StoreError::Damaged(format!("lane {lane_id} was not asked for")))?;
        if row.get::<i64>("gates")? > 0 {
            with_gates.push(lane_id);
        }
        claims.push(Claim {
            lane_id,
            lane_hash: fixed(row.get("hash")?, "a lane's hash")?,
            fence: row.get("fence")?,
            pool_id: pool.pool_id,
            source: pool.source.clone(),
            tenant: pool.tenant.clone(),
            done_position: row.get("done_pos")?,
            done_record: row.get::<Option<i64>>("done_record")?.map(RecordId),
            others: Vec::new(),
            claimed_at: now,
            lease_ends_at: moment(lease_ends_at),
            records: Vec::new(),
            forward: None,
        });
    }
    claims.sort_by_key(|claim| claim.fence);
    Ok((claims, with_gates))
}

async fn read_heads(connection: &mut Connection, claims: &mut [Claim]) -> Result<(), StoreError> {
    let ids: Vec<i64> = claims.iter().map(|claim| claim.lane_id).collect();
    read_records(connection, claims, &ids, 1).await
}

/// Only a head that coalesces has followers that matter: those right behind it with the same work, up to the first gate. One of
/// several lanes runs by itself.
async fn read_followers(
    connection: &mut Connection,
    claims: &mut [Claim],
    first_gates: &HashMap<i64, i64>,
) -> Result<(), StoreError> {
    let coalesces = |claim: &&mut Claim| claim.records.first().is_some_and(|head| head.work_hash.is_some() && head.gates == 0);
    let mut ids = Vec::new();
    for claim in claims.iter_mut().filter(coalesces) {
        claim.records.clear();
        ids.push(claim.lane_id);
    }
    if ids.is_empty() {
        return Ok(());
    }
    read_records(connection, claims, &ids, MOST_RECORDS).await?;
    for claim in claims.iter_mut().filter(|claim| ids.contains(&claim.lane_id)) {
        let Some(work) = claim.records.first().map(work_of) else { continue };
        let end = first_gates.get(&claim.lane_id).copied().unwrap_or(BEYOND);
        let is_same = |record: &&ClaimedRecord| work_of(record) == work && record.gates == 0 && record.position < end;
        let length = claim.records.iter().take_while(is_same).count();
        claim.records.truncate(length);
    }
    Ok(())
}

/// What two records have in common that are the same work: an integration's credentials serve its own records alone.
fn work_of(record: &ClaimedRecord) -> (Option<[u8; 32]>, Option<i64>) {
    (record.work_hash, record.integration)
}

async fn read_records(connection: &mut Connection, claims: &mut [Claim], lane_ids: &[i64], limit: i64) -> Result<(), StoreError> {
    macro_rules! text {
        ($lanes:literal, $heads:literal) => {
            concat!(
                "select r.id, coalesce(r.first_run, r.id) as first_run, r.lane_id, r.pos, d.id as delivery_id, r.record_no, r.run,
                    r.integration_id, r.work_hash, r.item_sha256, r.attempts, d.received_at, r.first_failed_at, r.gates, r.passed, d.caller,
                    r.forwards > 0 as forwards from ",
                $lanes,
                " join ",
                $heads,
                " join delivery d on d.delivery_row = r.delivery_row order by r.lane_id, r.pos"
            )
        };
    }
    const HEADS: Texts = Texts {
        sqlite: text!(
            "json_each($1) claimed",
            "record r on r.id in (select id from record where lane_id = claimed.value and state = 0 order by pos limit $2)"
        ),
        postgres: text!(
            "unnest($1::bigint[]) claimed(lane_id)",
            "lateral (select * from record where record.lane_id = claimed.lane_id and state = 0 order by pos limit $2) r on true"
        ),
    };
    let mut places: HashMap<i64, &mut Claim> = claims.iter_mut().map(|claim| (claim.lane_id, claim)).collect();
    for row in query(HEADS).bind(lane_ids.to_vec()).bind(limit).fetch_all(connection).await? {
        let lane_id: i64 = row.get("lane_id")?;
        // those beyond stand in no line
        if let Some(claim) = places.get_mut(&lane_id).filter(|_| row.get::<i64>("pos").is_ok_and(|position| position < BEYOND)) {
            claim.records.push(claimed_record(&row, claim.tenant.clone())?);
        }
    }
    Ok(())
}

fn claimed_record(row: &Row, tenant: Option<Tenant>) -> Result<ClaimedRecord, StoreError> {
    let work_hash: Option<&[u8]> = row.get("work_hash")?;
    let first_failed_at: Option<i64> = row.get("first_failed_at")?;
    let caller = serde_json::from_str(row.get("caller")?);
    Ok(ClaimedRecord {
        id: RecordId(row.get("id")?),
        first_run: RecordId(row.get("first_run")?),
        position: row.get("pos")?,
        delivery: DeliveryId(Uuid::from_bytes(fixed(row.get("delivery_id")?, "a delivery's id")?)),
        number: row.get("record_no")?,
        run: row.get("run")?,
        tenant,
        integration: row.get("integration_id")?,
        work_hash: work_hash.map(|hash| fixed(hash, "a work hash")).transpose()?,
        item_sha256: fixed(row.get("item_sha256")?, "an item's hash")?,
        attempts: row.get("attempts")?,
        received_at: moment(row.get("received_at")?),
        first_failed_at: first_failed_at.map(moment),
        gates: row.get("gates")?,
        passed: row.get::<Option<i64>>("passed")?.map(RecordId),
        caller: caller.map_err(|error| StoreError::Damaged(format!("a stored caller cannot be read: {error}")))?,
        forwards: row.get("forwards")?,
    })
}

async fn put_to_sleep(connection: &mut Connection, lane_id: i64) -> Result<(), StoreError> {
    let sql = "update lane set owner = null, waiting = 0, due_at = null where lane_id = $1";
    query(sql).bind(lane_id).execute(connection).await?;
    Ok(())
}
