//! Deliveries that have been kept long enough go with their records, attempts and forwards, the oldest first. Their raw requests are gone by
//! then, so that none of them can be asked to run any more. Senders' ids stay: they have a time of their own.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Row, Texts, fixed, query, with_numbers};
use crate::store::state::Store;

/// The most deliveries that one step looks at, and the most records and attempts that it removes.
const AT_A_TIME: i64 = 100;
const ROWS_AT_A_TIME: u64 = 400;

/// What a step did.
pub(super) struct Step {
    pub(super) removed: u64,
    /// Where the next one begins, if there may be more.
    pub(super) next: Option<Uuid>,
}

/// Removes the next ones that came, and whose last record was finished, before a moment.
pub(super) async fn remove_some(store: &Store, after: Uuid, before: Timestamp) -> Result<Step, StoreError> {
    let mut rows = Vec::new();
    let mut next = None;
    for row in candidates(store, after, before).await? {
        if !row.get::<bool>("is_old")? {
            break;
        }
        next = Some(Uuid::from_bytes(fixed(row.get("id")?, "a delivery's id")?));
        if !row.get::<bool>("is_kept")? {
            rows.push(row.get("delivery_row")?);
        }
    }
    if rows.is_empty() {
        return Ok(Step { removed: 0, next });
    }
    let removed = store.writer().run(move |connection, _| Box::pin(delete(connection, rows))).await?;
    Ok(match removed {
        Some(removed) => Step { removed, next },
        // these have more records or attempts than one step removes
        None => Step { removed: 0, next: Some(after) },
    })
}

/// The next in the order of their ids, which begin with the moment they came, removable or not.
async fn candidates(store: &Store, after: Uuid, before: Timestamp) -> Result<Vec<Row>, StoreError> {
    macro_rules! text {
        ($same_day:literal) => {
            concat!(
                "select d.delivery_row, d.id, d.received_at <= $2 as is_old,
                exists (select 1 from record r where r.delivery_row = d.delivery_row
                    and (r.state in (0, 4) or r.asked > 0 or r.finished_at > $2
                        or exists (select 1 from forward_job j where j.record_id = r.id and (j.state in (0, 4) or j.finished_at > $2))))
                or exists (select 1 from delivery_raw raw where raw.delivery_row = d.delivery_row",
                $same_day,
                ") as is_kept
                from (select delivery_row, id, received_at from delivery where id > $1 order by id limit $3) d order by d.id"
            )
        };
    }
    const NEXT: Texts = Texts { sqlite: text!(""), postgres: text!(" and raw.received_on = d.received_at / 86400000000") };
    store.read(query(NEXT).bind(&after.as_bytes()[..]).bind(before).bind(AT_A_TIME)).await
}

/// How many deliveries went; none while they still have attempts or records.
async fn delete(connection: &mut Connection, rows: Vec<i64>) -> Result<Option<u64>, StoreError> {
    let attempts = delete_attempts(connection, &rows, ROWS_AT_A_TIME).await?;
    if attempts == ROWS_AT_A_TIME {
        return Ok(None);
    }
    let left = ROWS_AT_A_TIME - attempts;
    let forwards = delete_forwards(connection, &rows, left).await?;
    if forwards == left {
        return Ok(None);
    }
    let left = left - forwards;
    if delete_records(connection, &rows, left).await? == left {
        return Ok(None);
    }
    delete_deliveries(connection, rows).await.map(Some)
}

async fn delete_attempts(connection: &mut Connection, rows: &[i64], limit: u64) -> Result<u64, StoreError> {
    macro_rules! text {
        ($rows:literal) => {
            concat!(
                "delete from attempt where attempt_id in (select a.attempt_id from record r join attempt a on a.record_id = r.id
                where r.delivery_row in (select value from ",
                $rows,
                " given) limit $2)"
            )
        };
    }
    query(with_numbers!(text)).bind(rows.to_vec()).bind(as_limit(limit)).execute(connection).await
}

async fn delete_forwards(connection: &mut Connection, rows: &[i64], limit: u64) -> Result<u64, StoreError> {
    macro_rules! text {
        ($rows:literal) => {
            concat!(
                "delete from forward_job where id in (select j.id from record r join forward_job j on j.record_id = r.id
                where r.delivery_row in (select value from ",
                $rows,
                " given) limit $2)"
            )
        };
    }
    query(with_numbers!(text)).bind(rows.to_vec()).bind(as_limit(limit)).execute(connection).await
}

async fn delete_records(connection: &mut Connection, rows: &[i64], limit: u64) -> Result<u64, StoreError> {
    macro_rules! text {
        ($rows:literal) => {
            concat!(
                "delete from record where id in (select id from record where delivery_row in (select value from ",
                $rows,
                " given) limit $2)"
            )
        };
    }
    query(with_numbers!(text)).bind(rows.to_vec()).bind(as_limit(limit)).execute(connection).await
}

async fn delete_deliveries(connection: &mut Connection, rows: Vec<i64>) -> Result<u64, StoreError> {
    macro_rules! text {
        ($rows:literal) => {
            concat!("delete from delivery where delivery_row in (select value from ", $rows, " given)")
        };
    }
    query(with_numbers!(text)).bind(rows).execute(connection).await
}

fn as_limit(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
