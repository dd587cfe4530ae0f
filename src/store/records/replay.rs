//! Asking for a replay. This only marks records; admitting them again under the current file is the worker's.

use crate::model::delivery::DeliveryId;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Row, Texts, query};
use crate::store::state::Store;

/// Which records of a delivery are to run again, and how far that goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replay {
    /// Only this one.
    pub number: Option<u32>,
    /// Also those that took effect, in a new run.
    pub apply_again: bool,
    /// Also where newer records of the lane took effect, which this may undo.
    pub force: bool,
    /// Whether the forwards of what is applied again are sent again too.
    pub forwards: bool,
}

/// What came of asking for a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayAnswer {
    /// How many records will be admitted again.
    pub marked: u64,
    /// The numbers of those that will not, and why.
    pub refused: Vec<(u32, String)>,
}

/// How many records of a delivery are steered in one transaction, so that deliveries never wait for more.
const AT_A_TIME: usize = 50;

/// Why nothing of a delivery can run again.
const NOT_KEPT: &str = "the request is no longer kept: it was done longer ago than `retention: { bodies }` says";

/// Why a record that changes at this very moment is not marked.
const CHANGED: &str = "it is being brought to another state; look at it again";

/// The newest run of a record, as far as steering it goes.
pub(crate) struct Latest {
    pub(crate) id: i64,
    pub(crate) number: u32,
    pub(crate) state: i64,
}

/// Asks for the records of a delivery (or one of them) to be admitted again: dead, ignored and discarded ones in the same run,
/// done and superseded ones only when they are to be applied again, in a new run.
pub async fn ask_replay(store: &Store, delivery: DeliveryId, replay: Replay) -> Result<ReplayAnswer, StoreError> {
    let (mut answer, mut after) = (ReplayAnswer::default(), None);
    loop {
        let job = store.writer().run_and_wake(move |connection, _| Box::pin(mark_some(connection, delivery, replay, after)));
        let (some, next) = job.await?;
        answer.marked += some.marked;
        answer.refused.extend(some.refused);
        if next.is_none() {
            return Ok(answer);
        }
        after = next;
    }
}

/// Marks the records behind number `after`; after which the next ones are, where there may be more.
async fn mark_some(
    connection: &mut Connection,
    delivery: DeliveryId,
    Replay { number, apply_again, force, forwards }: Replay,
    after: Option<u32>,
) -> Result<(ReplayAnswer, Option<u32>), StoreError> {
    let mut answer = ReplayAnswer::default();
    let (records, next) = latest_runs(connection, delivery, number, after).await?;
    let is_kept = has_request(connection, delivery).await?;
    for record in records {
        if !is_kept {
            answer.refused.push((record.number, NOT_KEPT.to_owned()));
            continue;
        }
        let asked = match record.state {
            2 | 4 | 5 => 1,
            1 | 3 if apply_again => 2,
            state => {
                answer.refused.push((record.number, why_not(state).to_owned()));
                continue;
            }
        };
        let with_forwards = if forwards && asked == 2 { 4 } else { 0 };
        if mark(connection, &record, asked + if force { 2 } else { 0 } + with_forwards).await? {
            answer.marked += 1;
        } else {
            answer.refused.push((record.number, CHANGED.to_owned()));
        }
    }
    Ok((answer, next))
}

/// The newest runs of some records of a delivery behind number `after`, by number, and after which the next ones are, where there may
/// be more; an error when there is none at all.
pub(crate) async fn latest_runs(
    connection: &mut Connection,
    delivery: DeliveryId,
    number: Option<u32>,
    after: Option<u32>,
) -> Result<(Vec<Latest>, Option<u32>), StoreError> {
    let sql = "select r.id, r.record_no, r.state from delivery d join record r on r.delivery_row = d.delivery_row
        where d.id = $1 and ($2 is null or r.record_no = $2) and r.record_no > $3 and not exists (select 1 from record later
            where later.delivery_row = r.delivery_row and later.record_no = r.record_no and later.run > r.run)
        order by r.record_no limit $4";
    let select = query(sql).bind(delivery.0.as_bytes()).bind(number).bind(after.map_or(-1, i64::from));
    let rows = select.bind(i64::try_from(AT_A_TIME).unwrap_or(i64::MAX)).fetch_all(connection).await?;
    if rows.is_empty() && after.is_none() {
        let which = number.map_or_else(String::new, |number| format!(" with a record {number}"));
        return Err(StoreError::NotFound(format!("there is no delivery `{delivery}`{which}")));
    }
    let latest = |row: &Row| Ok(Latest { id: row.get("id")?, number: row.get("record_no")?, state: row.get("state")? });
    let latest: Vec<Latest> = rows.iter().map(latest).collect::<Result<_, StoreError>>()?;
    let next = latest.last().map(|last| last.number).filter(|_| latest.len() == AT_A_TIME);
    Ok((latest, next))
}

/// Whether the delivery's request is still there. Where others write to the same state, it stays until the commit.
async fn has_request(connection: &mut Connection, delivery: DeliveryId) -> Result<bool, StoreError> {
    const RAW: Texts = Texts {
        sqlite: "select 1 from delivery d join delivery_raw raw on raw.delivery_row = d.delivery_row where d.id = $1",
        postgres: "select 1 from delivery d join delivery_raw raw on raw.delivery_row = d.delivery_row
                and raw.received_on = d.received_at / 86400000000
            where d.id = $1 for share of raw",
    };
    Ok(query(RAW).bind(delivery.0.as_bytes()).fetch_optional(connection).await?.is_some())
}

/// Asks, unless another process has brought the record to another state meanwhile.
async fn mark(connection: &mut Connection, record: &Latest, asked: i64) -> Result<bool, StoreError> {
    let sql = "update record set asked = $1 where id = $2 and state = $3";
    Ok(query(sql).bind(asked).bind(record.id).bind(record.state).execute(connection).await? == 1)
}

fn why_not(state: i64) -> &'static str {
    match state {
        1 => "it is done; it runs again only with `--apply-again`",
        3 => "it is superseded; it runs again only with `--apply-again`",
        _ => "it is still open",
    }
}
