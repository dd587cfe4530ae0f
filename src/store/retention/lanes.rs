//! A look at some lanes after the others, all of them in time: whether their numbers are right, and whether they have been idle for a
//! day. Idle ones go; what a replay has to know of them stays.

use std::time::Duration;

use super::turn::{Duty, take};
use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::queue::aside::BEYOND;
use crate::store::sql::{Connection, Row, Texts, query, with_numbers};
use crate::store::state::Store;

/// The most lanes of one step.
const AT_A_TIME: i64 = 300;
/// How long a lane may be idle.
const IDLE: Duration = Duration::from_secs(86_400);

/// How far the look at the lanes is.
#[derive(Debug, Default)]
pub struct Sweep {
    after: i64,
}

/// What a step saw and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Lanes whose numbers are wrong.
    pub wrong: Vec<WrongLane>,
    /// How many were idle for the first time.
    pub noted: u64,
    /// How many idle ones are gone.
    pub removed: u64,
    /// Whether the next step begins with the first lane again.
    pub came_round: bool,
}

/// A lane whose row contradicts its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongLane {
    /// Its row.
    pub lane_id: i64,
    /// How many records wait in it, as it says.
    pub waiting: i64,
    /// How many are open.
    pub open: i64,
    /// Whether it will be looked at when its time comes.
    pub is_awake: bool,
}

impl Sweep {
    /// Whether this process is to look now: where it shares the state, no other one has begun to within `every`.
    pub async fn is_due(store: &Store, every: Duration) -> Result<bool, StoreError> {
        take(store, Duty::Sweep, every).await
    }

    /// Looks at the next few hundred lanes.
    pub async fn step(&mut self, store: &Store) -> Result<Swept, StoreError> {
        let idle_before = store.clock().now() - IDLE;
        let mut swept = Swept::default();
        let (mut new, mut old) = (Vec::new(), Vec::new());
        let rows = next_lanes(store, self.after).await?;
        self.after = rows.last().map(|row| row.get("lane_id")).transpose()?.unwrap_or(0);
        if rows.len() < usize::try_from(AT_A_TIME).unwrap_or(usize::MAX) {
            self.after = 0;
            swept.came_round = true;
        }
        for row in &rows {
            let lane = lane(row)?;
            let idle_since: Option<i64> = row.get("idle_since")?;
            let is_idle: bool = row.get("is_idle")?;
            if lane.waiting != lane.open || lane.is_awake == is_idle {
                swept.wrong.push(lane);
                continue;
            }
            match idle_since {
                _ if !is_idle => {}
                None => new.push(lane.lane_id),
                Some(since) if since <= idle_before.as_micros() => old.push(lane.lane_id),
                Some(_) => {}
            }
        }
        swept.noted = new.len() as u64;
        if !(new.is_empty() && old.is_empty()) {
            let job =
                store.writer().run(move |connection, now| Box::pin(note_and_remove(connection, new, old, idle_before, now)));
            swept.removed = job.await?;
        }
        Ok(swept)
    }
}

async fn next_lanes(store: &Store, after: i64) -> Result<Vec<Row>, StoreError> {
    // who sleeps for a record is woken by it: by its end, or when its last gate has arrived
    let sql = "select l.lane_id, l.waiting, l.waiting = 0 and l.owner is null as is_idle, l.idle_since,
            l.due_at is not null or exists (select 1 from record h where h.id = l.held_by and h.state = 0
                and (h.lane_id <> l.lane_id or h.gates > (select count(*) from gate g join lane at on at.lane_id = g.lane_id
                    and at.held_by = h.id where g.record_id = h.id))) as is_awake,
            (select count(*) from record r where r.lane_id = l.lane_id and r.state = 0 and r.pos < $3)
            + (select count(*) from gate g where g.lane_id = l.lane_id and g.pos < $3)
            + (select count(*) from forward_job j where j.lane_id = l.lane_id and j.state = 0) as open
        from (select lane_id, waiting, due_at, owner, held_by, idle_since from lane where lane_id > $1 order by lane_id limit $2) l
        order by l.lane_id";
    store.read(query(sql).bind(after).bind(AT_A_TIME).bind(BEYOND)).await
}

fn lane(row: &Row) -> Result<WrongLane, StoreError> {
    Ok(WrongLane {
        lane_id: row.get("lane_id")?,
        waiting: row.get("waiting")?,
        open: row.get("open")?,
        is_awake: row.get("is_awake")?,
    })
}

/// Lanes in which something happened meanwhile, or is about to, are left alone.
async fn note_and_remove(
    connection: &mut Connection,
    mut new: Vec<i64>,
    mut old: Vec<i64>,
    idle_before: Timestamp,
    now: Timestamp,
) -> Result<u64, StoreError> {
    if connection.is_shared() {
        new = hold(connection, new).await?;
        old = hold(connection, old).await?;
    }
    note_idle(connection, new, now).await?;
    remember(connection, &old, idle_before).await?;
    remove(connection, old, idle_before).await
}

/// Passes over those that another process has; nobody waits for anybody here.
async fn hold(connection: &mut Connection, lanes: Vec<i64>) -> Result<Vec<i64>, StoreError> {
    let sql = "select lane_id from lane where lane_id = any($1) for update skip locked";
    query(sql).bind(lanes).fetch_all(connection).await?.iter().map(|row| row.get("lane_id")).collect()
}

async fn note_idle(connection: &mut Connection, lanes: Vec<i64>, now: Timestamp) -> Result<(), StoreError> {
    macro_rules! text {
        ($lanes:literal) => {
            concat!(
                "update lane set idle_since = $2 where lane_id in (select value from ",
                $lanes,
                " given) and waiting = 0 and owner is null and idle_since is null"
            )
        };
    }
    query(with_numbers!(text)).bind(lanes).bind(now).execute(connection).await?;
    Ok(())
}

/// The lanes of `$1` that are idle since `$2` or longer.
macro_rules! idle {
    ($lanes:literal) => {
        concat!(
            "lane_id in (select value from ",
            $lanes,
            " given) and waiting = 0 and owner is null and idle_since <= $2
            and not exists (select 1 from record r where r.lane_id = lane.lane_id and r.state = 0)
            and not exists (select 1 from gate g where g.lane_id = lane.lane_id)
            and not exists (select 1 from forward_job j where j.lane_id = lane.lane_id and j.state = 0)"
        )
    };
}

async fn remember(connection: &mut Connection, lanes: &[i64], idle_before: Timestamp) -> Result<(), StoreError> {
    macro_rules! text {
        ($lanes:literal) => {
            concat!(
                "insert into former_lane (hash, pool_id, done_record) select hash, pool_id, done_record from lane where ",
                idle!($lanes),
                " and done_record is not null
                on conflict (hash) do update set done_record = max(former_lane.done_record, excluded.done_record)"
            )
        };
    }
    const REMEMBER: Texts = with_numbers!(text);
    query(REMEMBER).bind(lanes.to_vec()).bind(idle_before).execute(connection).await?;
    Ok(())
}

async fn remove(connection: &mut Connection, lanes: Vec<i64>, idle_before: Timestamp) -> Result<u64, StoreError> {
    macro_rules! text {
        ($lanes:literal) => {
            concat!("delete from lane where ", idle!($lanes))
        };
    }
    query(with_numbers!(text)).bind(lanes).bind(idle_before).execute(connection).await
}
