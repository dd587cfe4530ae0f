//! What is due: pools in turn and the lanes of each. Where others claim from the same state, a lane that one of them is just taking
//! is left out, and the search begins above what was due before, so that it does not wade through what is gone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::claim::{DuePool, Wanted};
use crate::clock::Timestamp;
use crate::model::lane::LaneKind;
use crate::model::tenant::Tenant;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Row, Texts, query};

/// How long a search begins above what was due before.
const FLOOR_FOR: Duration = Duration::from_secs(5);

/// Where the search for due lanes of a pool begins: the first due time of the last batch.
#[derive(Default)]
pub(super) struct Floors {
    of_pools: HashMap<i64, i64>,
    since: Option<Instant>,
}

impl Floors {
    /// Searches everything from now on; whether that is more than before.
    pub(super) fn forget(&mut self) -> bool {
        self.since = None;
        let any = !self.of_pools.is_empty();
        self.of_pools.clear();
        any
    }

    fn raise(&mut self, pool_id: i64, due_at: i64) {
        if self.since.is_none_or(|since| since.elapsed() > FLOOR_FOR) {
            self.of_pools.clear();
            self.since = Some(Instant::now());
        }
        self.of_pools.insert(pool_id, due_at);
    }

    fn current(&self) -> impl Iterator<Item = (i64, i64)> {
        let is_young = self.since.is_some_and(|since| since.elapsed() <= FLOOR_FOR);
        self.of_pools.iter().filter(move |_| is_young).map(|(pool_id, due_at)| (*pool_id, *due_at))
    }

    fn of(&self, pool_id: i64) -> i64 {
        self.current().find(|(known, _)| *known == pool_id).map_or(i64::MIN, |(_, due_at)| due_at)
    }

    /// `{"7": 1795248131250000}`.
    fn json(&self) -> String {
        let entry = |(pool_id, due_at): (i64, i64)| (pool_id.to_string(), due_at.into());
        serde_json::Value::Object(self.current().map(entry).collect()).to_string()
    }
}

/// The pools of these versions that have something due, beginning with the one after `last_pool`. Where others share the state, a
/// pool cannot be paused for another version while something of it is being claimed.
pub(super) async fn due_pools(
    connection: &mut Connection,
    wanted: &Wanted,
    last_pool: i64,
    floors: &Floors,
    now: Timestamp,
) -> Result<Vec<DuePool>, StoreError> {
    macro_rules! text {
        ($active:literal, $hash:literal, $floors:literal, $may:literal, $kind:literal, $from:literal, $lock:literal) => {
            concat!(
                "select p.pool_id, p.source, p.tenant_id, t.name from ",
                $active,
                " join pool p on p.source = active.key and p.admit_hash = ",
                $hash,
                " left join tenant t on t.tenant_id = p.tenant_id ",
                $floors,
                " where p.readmit_after is null",
                $may,
                " and exists (select 1 from lane where lane.pool_id = p.pool_id and lane.due_at <= $2 and lane.kind = ",
                $kind,
                $from,
                ") order by p.pool_id <= $3, p.pool_id limit $4",
                $lock
            )
        };
    }
    macro_rules! texts {
        ($may:literal, $kind:literal) => {
            Texts {
                sqlite: text!("json_each($1) active", "unhex(active.value)", "", $may, $kind, "", ""),
                postgres: text!(
                    "jsonb_each_text($1::jsonb) active",
                    "decode(active.value, 'hex')",
                    "left join jsonb_each_text($5::jsonb) floor on floor.key = p.pool_id::text",
                    $may,
                    $kind,
                    // without `offset` the planner may join all lanes that are due and look at their pools afterwards
                    " and lane.due_at >= coalesce(floor.value::bigint, -9223372036854775808) offset 0",
                    " for share of p skip locked"
                ),
            }
        };
    }
    let texts = match wanted.kind {
        LaneKind::Records => texts!(" and coalesce(p.paused_until, 0) <= $2", "0"),
        // what is paused is what calls the provider, which other targets have nothing to do with
        LaneKind::Forwards => texts!("", "1"),
    };
    // those that hold their share already are among them
    let limit = i64::try_from(wanted.hands.free() + wanted.hands.pools()).unwrap_or(i64::MAX);
    let mut select = query(texts).bind(&wanted.versions).bind(now).bind(last_pool).bind(limit);
    if connection.is_shared() {
        select = select.bind(floors.json());
    }
    let pool = |row: &Row| {
        let (id, name) = (row.get("tenant_id")?, row.get::<Option<String>>("name")?);
        let tenant = name.map(|name| Tenant { id, name });
        Ok(DuePool { pool_id: row.get("pool_id")?, source: row.get("source")?, tenant, lanes: Vec::new() })
    };
    select.fetch_all(connection).await?.iter().map(pool).collect()
}

/// Fills in the lanes of each pool that are due. Where others claim from the same state they are locked, so that the pools get
/// their shares first, and only what is left over then.
pub(super) async fn due_lanes(
    connection: &mut Connection,
    pools: &mut [DuePool],
    wanted: &Wanted,
    floors: &mut Floors,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (kind, limit) = (wanted.kind, wanted.hands.free());
    let share = if connection.is_shared() { limit.div_ceil(pools.len().max(1)) } else { limit };
    let mut left = limit;
    for pool in pools.iter_mut() {
        let wanted = share.min(left);
        pool.lanes = some_due_lanes(connection, pool, (kind, wanted), floors, now).await?;
        if connection.is_shared() {
            left -= pool.lanes.len();
        }
    }
    if !connection.is_shared() {
        return Ok(());
    }
    for pool in pools.iter_mut().filter(|pool| pool.lanes.len() == share) {
        if left == 0 {
            break;
        }
        let more = some_due_lanes(connection, pool, (kind, left), floors, now).await?;
        left -= more.len();
        pool.lanes.extend(more);
    }
    Ok(())
}

async fn some_due_lanes(
    connection: &mut Connection,
    pool: &DuePool,
    (kind, limit): (LaneKind, usize),
    floors: &mut Floors,
    now: Timestamp,
) -> Result<Vec<i64>, StoreError> {
    macro_rules! texts {
        ($kind:literal) => {
            Texts {
                sqlite: concat!(
                    "select lane_id, due_at from lane where kind = ",
                    $kind,
                    " and pool_id = $1 and due_at <= $2 order by due_at limit $3"
                ),
                postgres: concat!(
                    "select lane_id, due_at from lane where kind = ",
                    $kind,
                    " and pool_id = $1 and due_at <= $2 and due_at >= $4 and lane_id <> all($5)
                    order by due_at limit $3 for update skip locked"
                ),
            }
        };
    }
    let texts = match kind {
        LaneKind::Records => texts!("0"),
        LaneKind::Forwards => texts!("1"),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut select = query(texts).bind(pool.pool_id).bind(now).bind(limit);
    if connection.is_shared() {
        select = select.bind(floors.of(pool.pool_id)).bind(pool.lanes.clone());
    }
    let rows = select.fetch_all(connection).await?;
    if let Some(first) = rows.first().filter(|_| connection.is_shared()) {
        floors.raise(pool.pool_id, first.get("due_at")?);
    }
    rows.iter().map(|row| row.get("lane_id")).collect()
}
