//! Asking for a replay of all records that were given up on and fit a filter, some hundred at a time, so that intake does not wait
//! for all of them. What took effect is replayed one delivery at a time only, since it would take effect again.

use serde::{Deserialize, Serialize};

use crate::model::record::RecordState;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Texts, query};
use crate::store::state::Store;

/// How many records are asked for in one transaction.
const AT_ONCE: i64 = 500;

/// Which records are to run again; what is not set does not matter. Only those whose request is still kept fit.
#[derive(Clone, Debug)]
pub struct Matching {
    /// Of this source.
    pub source: Option<String>,
    /// Of the tenant of this name.
    pub tenant: Option<String>,
    /// Of this event.
    pub event: Option<String>,
    /// In this state: dead, ignored or discarded.
    pub state: RecordState,
    /// Also where newer records of the lane took effect, which this may undo.
    pub force: bool,
}

/// How many records of one source, tenant and event fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The source's name.
    pub source: String,
    /// The tenant's name, when they have one.
    pub tenant: Option<String>,
    /// The event's name, when one could be told.
    pub event: Option<String>,
    /// How many.
    pub records: u64,
}

macro_rules! fitting {
    ($columns:literal, $rest:literal) => {
        Texts {
            sqlite: fitting!($columns, $rest, ""),
            postgres: fitting!($columns, $rest, " and raw.received_on = d.received_at / 86400000000"),
        }
    };
    ($columns:literal, $rest:literal, $same_day:literal) => {
        concat!(
            "select ",
            $columns,
            " from record r join pool p on p.pool_id = r.pool_id left join tenant t on t.tenant_id = p.tenant_id
            where r.state = $1 and r.asked = 0 and ($2 is null or p.source = $2) and ($3 is null or t.name = $3)
                and ($4 is null or r.event = $4)
                and exists (select 1 from delivery d join delivery_raw raw on raw.delivery_row = d.delivery_row",
            $same_day,
            " where d.delivery_row = r.delivery_row) ",
            $rest
        )
    };
}

/// How many records fit, by source, tenant and event; the most first.
pub async fn count_matching(store: &Store, matching: &Matching) -> Result<Vec<Group>, StoreError> {
    const SQL: Texts = fitting!(
        "p.source, t.name as tenant, r.event, count(*) as records",
        "group by p.source, t.name, r.event order by count(*) desc, p.source, t.name, r.event"
    );
    let state = number_of(matching.state)?;
    let count = query(SQL).bind(state).bind(&matching.source).bind(&matching.tenant).bind(&matching.event);
    let group = |row: &Row| {
        let records = u64::try_from(row.get::<i64>("records")?).unwrap_or(0);
        Ok(Group { source: row.get("source")?, tenant: row.get("tenant")?, event: row.get("event")?, records })
    };
    store.search(count).await?.iter().map(group).collect()
}

/// Asks for all records that fit to be admitted again, the oldest first, in the same run; says how many that were.
pub async fn ask_replay_matching(store: &Store, matching: &Matching) -> Result<u64, StoreError> {
    let state = number_of(matching.state)?;
    let asked: i64 = if matching.force { 3 } else { 1 };
    let (mut after, mut marked) = (0i64, 0u64);
    loop {
        let ids = next_matching(store, matching, state, after).await?;
        let Some(last) = ids.last() else { return Ok(marked) };
        after = *last;
        marked += store
            .writer()
            .run_and_wake(move |connection, _| {
                let ids = ids.clone();
                Box::pin(async move { query(MARK).bind(asked).bind(ids).bind(state).execute(connection).await })
            })
            .await?;
    }
}

const MARK: Texts = Texts {
    sqlite: "update record set asked = $1 where id in (select value from json_each($2)) and state = $3 and asked = 0",
    postgres: "update record set asked = $1 where id = any($2) and state = $3 and asked = 0",
};

async fn next_matching(store: &Store, matching: &Matching, state: i64, after: i64) -> Result<Vec<i64>, StoreError> {
    const SQL: Texts = fitting!("r.id", "and r.id > $5 order by r.id limit $6");
    let select = query(SQL).bind(state).bind(&matching.source).bind(&matching.tenant).bind(&matching.event);
    store.search(select.bind(after).bind(AT_ONCE)).await?.iter().map(|row| row.get("id")).collect()
}

fn number_of(state: RecordState) -> Result<i64, StoreError> {
    match state {
        RecordState::Ignored => Ok(2),
        RecordState::Dead => Ok(4),
        RecordState::Discarded => Ok(5),
        other => Err(StoreError::Refused(format!(
            "only dead, ignored and discarded records are replayed by a filter; found `{other}`"
        ))),
    }
}
