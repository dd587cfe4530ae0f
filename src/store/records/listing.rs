//! Records in lists and in numbers, with the states that people see worked out from record, lane and pool.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::model::record::{RecordState, RecordSummary};
use crate::store::error::StoreError;
use crate::store::sql::{Row, fixed, moment, query};
use crate::store::state::Store;
use crate::store::vault::label_key;
use crate::store::vault_keys;

/// Which records to list; what is not set does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this source.
    pub source: Option<String>,
    /// Of the tenant of this name.
    pub tenant: Option<String>,
    /// In this state.
    pub state: Option<RecordState>,
    /// Of this event.
    pub event: Option<String>,
    /// Of this delivery.
    pub delivery: Option<DeliveryId>,
    /// Only with forwards that were given up on.
    pub dead_forwards: bool,
    /// The most to list, newest first; 0 for 100.
    pub limit: usize,
}

/// How many records of a source are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The source's name.
    pub source: String,
    /// The state.
    pub state: RecordState,
    /// How many.
    pub count: u64,
}

/// The word of a record's state; `$1` is the current moment.
macro_rules! state_word {
    () => {
        "case r.state when 1 then 'done' when 2 then 'ignored' when 3 then 'superseded' when 4 then 'dead' when 5 then 'discarded'
            else case
                when l.owner is not null and l.due_at > $1
                    and r.pos = (select min(head.pos) from record head where head.lane_id = r.lane_id and head.state = 0) then 'running'
                when p.readmit_after is not null or coalesce(p.paused_until, 0) > $1 then 'held'
                when r.aside_until is not null then 'retrying'
                when l.held_by is not null and (l.held_by = r.id
                    or (select h.lane_id from record h where h.id = l.held_by) <> l.lane_id) then 'held'
                when l.retry_at is not null and r.attempts > 0 then 'retrying'
                else 'waiting' end end"
    };
}

macro_rules! select_where {
    ($narrowed:literal) => {
        concat!(
            "select listed.*, (select count(*) from forward_job j where j.record_id = listed.id and j.state = 0) as forwards_open,
                (select count(*) from forward_job j where j.record_id = listed.id and j.state = 4) as forwards_dead
            from (select r.id, d.id as delivery_id, r.record_no, r.run, p.source, t.name as tenant, r.integration_id, r.event, l.hash as lane_hash,
            l.label, ",
            state_word!(),
            " as state, case when r.state = 0 and p.readmit_after is not null
                then case when p.admit_hash is null then 'the source is retired' else 'the route file changed: admitted again' end
                else coalesce(r.reason, case when r.state = 0 and coalesce(p.paused_until, 0) > $1 then p.reason end) end as reason,
            p.readmit_after is not null or coalesce(p.paused_until, 0) > $1 as is_paused,
            r.attempts, d.received_at, max(coalesce(p.paused_until, 0), coalesce(r.aside_until, l.due_at, 0)) as next_at,
            case when l.retry_at is not null and r.aside_until is null then l.waiting - 1 else 0 end as blocks, r.finished_at,
            winner.id as superseded_by, ahead.hash as ahead_hash, ahead.label as ahead_label
        from record r
        join delivery d on d.delivery_row = r.delivery_row
        join pool p on p.pool_id = r.pool_id
        left join tenant t on t.tenant_id = p.tenant_id
        left join lane l on l.lane_id = r.lane_id
        left join lane ahead on ahead.lane_id = case when r.state <> 0 or l.held_by is null then null
            when l.held_by = r.id then (select min(g.lane_id) from gate g join lane at on at.lane_id = g.lane_id
                where g.record_id = r.id and at.held_by is distinct from r.id)
            else (select h.lane_id from record h where h.id = l.held_by) end
        left join record ran on ran.id = r.superseded_by
        left join delivery winner on winner.delivery_row = ran.delivery_row
        where ($2 is null or p.source = $2) and ($3 is null or t.name = $3) and ($4 is null or r.event = $4) and ",
            $narrowed,
            " order by r.id desc) listed where $5 is null or state = $5 limit $6"
        )
    };
}

const OF_DELIVERY: &str = select_where!("d.id = $7");
const OPEN: &str = select_where!("r.state = 0");
const DEAD: &str = select_where!("r.state = 4");
const WITH_DEAD_FORWARDS: &str = select_where!("r.id in (select record_id from forward_job where state = 4)");
const ANY: &str = select_where!("true");

/// Records, newest first.
pub async fn list(store: &Store, filter: &Filter) -> Result<Vec<RecordSummary>, StoreError> {
    let now = store.clock().now();
    let sql = match (filter.delivery, filter.state) {
        (Some(_), _) => OF_DELIVERY,
        (None, _) if filter.dead_forwards => WITH_DEAD_FORWARDS,
        (None, Some(state)) if state.is_open() => OPEN,
        (None, Some(RecordState::Dead)) => DEAD,
        _ => ANY,
    };
    let limit = if filter.limit == 0 { 100 } else { filter.limit };
    let select = query(sql).bind(now).bind(&filter.source).bind(&filter.tenant).bind(&filter.event);
    let select = select.bind(filter.state.map(RecordState::word)).bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = match filter.delivery {
        Some(id) => store.read(select.bind(id.0.as_bytes())).await?,
        None => store.search(select).await?,
    };
    let labels = rows.iter().flat_map(|row| [row.get("label"), row.get("ahead_label")]);
    let labels: Vec<Option<&[u8]>> = labels.collect::<Result<_, _>>()?;
    vault_keys::have(store, labels.into_iter().flatten().filter_map(label_key)).await?;
    rows.iter().map(|row| summary(store, row, now)).collect()
}

/// How many records of each source are in each state in which they wait for something: open ones and dead letters. There are too many
/// of the others to count them.
pub async fn counts(store: &Store) -> Result<Vec<Count>, StoreError> {
    let sql = concat!(
        "select p.source, ",
        state_word!(),
        " as word, count(*) as count from record r join pool p on p.pool_id = r.pool_id left join lane l on l.lane_id = r.lane_id
        where r.state = 0 group by 1, 2
        union all select p.source, 'dead', count(*) from record r join pool p on p.pool_id = r.pool_id where r.state = 4 group by 1
        order by 1, 2"
    );
    let count = |row: &Row| {
        let state = row.get::<&str>("word")?.parse().map_err(StoreError::Damaged)?;
        Ok(Count { source: row.get("source")?, state, count: u64::try_from(row.get::<i64>("count")?).unwrap_or(0) })
    };
    store.search(query(sql).bind(store.clock().now())).await?.iter().map(count).collect()
}

/// How many records and forwards of a source are not done.
pub async fn count_open(store: &Store, source: &str) -> Result<u64, StoreError> {
    let sql = "select (select count(*) from pool p join record r on r.pool_id = p.pool_id and r.state = 0 where p.source = $1)
        + (select count(*) from pool p join forward_job j on j.pool_id = p.pool_id and j.state = 0 where p.source = $1) as count";
    let row = store.read_first(query(sql).bind(source)).await?;
    let count: i64 = row.map(|row| row.get("count")).transpose()?.unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

fn summary(store: &Store, row: &Row, now: Timestamp) -> Result<RecordSummary, StoreError> {
    let state: RecordState = row.get::<&str>("state")?.parse().map_err(StoreError::Damaged)?;
    let next_at = moment(row.get("next_at")?);
    let finished_at: Option<i64> = row.get("finished_at")?;
    let superseded_by: Option<&[u8]> = row.get("superseded_by")?;
    let reason = match state {
        RecordState::Held if !row.get::<bool>("is_paused")? => Some(match label(store, row, "ahead_hash", "ahead_label")? {
            Some(ahead) => format!("waits for lane {ahead}"),
            None => "waits for another lane".to_owned(),
        }),
        _ => row.get("reason")?,
    };
    let blocks = row.get::<i64>("blocks")?.max(0).unsigned_abs();
    let waits = state.is_open() && state != RecordState::Running && next_at > now;
    Ok(RecordSummary {
        delivery: DeliveryId(Uuid::from_bytes(fixed(row.get("delivery_id")?, "a delivery's id")?)),
        number: row.get("record_no")?,
        run: row.get("run")?,
        source: row.get("source")?,
        tenant: row.get("tenant")?,
        integration: row.get("integration_id")?,
        event: row.get("event")?,
        lane: label(store, row, "lane_hash", "label")?,
        state,
        reason,
        blocks: if state == RecordState::Retrying { blocks } else { 0 },
        attempts: row.get("attempts")?,
        received_at: moment(row.get("received_at")?).to_string(),
        next_at: waits.then(|| next_at.to_string()),
        finished_at: finished_at.map(|micros| moment(micros).to_string()),
        superseded_by: superseded_by
            .map(|id| fixed(id, "a delivery's id").map(|id| DeliveryId(Uuid::from_bytes(id))))
            .transpose()?,
        forwards_open: row.get("forwards_open")?,
        forwards_dead: row.get("forwards_dead")?,
    })
}

fn label(store: &Store, row: &Row, hash: &str, label: &str) -> Result<Option<String>, StoreError> {
    let hash: Option<&[u8]> = row.get(hash)?;
    let label: Option<&[u8]> = row.get(label)?;
    Ok(hash.zip(label).and_then(|(hash, label)| store.vault().open_label(hash, label)))
}
