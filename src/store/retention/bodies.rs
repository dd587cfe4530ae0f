//! Raw requests that have been kept long enough go one by one, the oldest first. Those of deliveries with a record or a
//! forward that is open or dead, or with a record that is asked to run again, stay.

use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Texts, query};
use crate::store::state::Store;

/// The most that one step looks at, and about how many bytes it removes.
const AT_A_TIME: i64 = 200;
const BYTES_AT_A_TIME: i64 = 4 << 20;

/// How far a round is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    received_on: i64,
    delivery_row: i64,
}

/// What a step did.
pub(super) struct Step {
    pub(super) removed: u64,
    /// Where the next one begins, if there may be more.
    pub(super) next: Option<Cursor>,
}

/// Removes the next ones that came before a moment. Where days can go whole, only those of days that are all over are looked at.
pub(super) async fn remove_some(store: &Store, cursor: Cursor, before: Timestamp) -> Result<Step, StoreError> {
    let (mut days, mut rows, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = None;
    for row in candidates(store, cursor, before).await? {
        if bytes > BYTES_AT_A_TIME || !row.get::<bool>("is_old")? {
            break;
        }
        let (received_on, delivery_row) = (row.get("received_on")?, row.get("delivery_row")?);
        next = Some(Cursor { received_on, delivery_row });
        if !row.get::<bool>("is_kept")? {
            days.push(received_on);
            rows.push(delivery_row);
            bytes += row.get::<i64>("raw_bytes")?;
        }
    }
    if rows.is_empty() {
        return Ok(Step { removed: 0, next });
    }
    days.dedup();
    let removed = store.writer().run(move |connection, _| Box::pin(delete(connection, days, rows))).await?;
    Ok(Step { removed, next })
}

/// The next in the order of their age, removable or not.
async fn candidates(store: &Store, cursor: Cursor, before: Timestamp) -> Result<Vec<crate::store::sql::Row>, StoreError> {
    macro_rules! text {
        ($next:literal, $same_day:literal) => {
            concat!(
                "select d.received_at / 86400000000 as received_on, d.delivery_row, d.received_at <= $3 as is_old, d.raw_bytes,
                exists (select 1 from record r
                    where r.delivery_row = d.delivery_row and (r.state in (0, 4) or r.asked > 0
                        or exists (select 1 from forward_job j where j.record_id = r.id and j.state in (0, 4)))) as is_kept
                from (",
                $next,
                " limit $4) raw join delivery d on d.delivery_row = raw.delivery_row order by ",
                $same_day,
                "raw.delivery_row"
            )
        };
    }
    const NEXT: Texts = Texts {
        sqlite: text!("select delivery_row from delivery_raw where $1 >= 0 and delivery_row > $2 order by delivery_row", ""),
        postgres: text!(
            "select received_on, delivery_row from delivery_raw
                where received_on < $3 / 86400000000 and (received_on, delivery_row) > ($1, $2) order by received_on, delivery_row",
            "raw.received_on, "
        ),
    };
    let Cursor { received_on, delivery_row } = cursor;
    store.read(query(NEXT).bind(received_on).bind(delivery_row).bind(before).bind(AT_A_TIME)).await
}

/// Where others write to the same state, a delivery that is being asked to run again is held by them, and passed over.
async fn delete(connection: &mut Connection, days: Vec<i64>, mut rows: Vec<i64>) -> Result<u64, StoreError> {
    const DELETE: Texts = Texts {
        sqlite: "delete from delivery_raw where delivery_row in (select value from json_each($1)) and json_valid($2)
            and not exists (select 1 from record r
                where r.delivery_row = delivery_raw.delivery_row and (r.state in (0, 4) or r.asked > 0
                    or exists (select 1 from forward_job j where j.record_id = r.id and j.state in (0, 4))))",
        postgres: "delete from delivery_raw where received_on = any($2) and delivery_row = any($1)
            and not exists (select 1 from record r
                where r.delivery_row = delivery_raw.delivery_row and (r.state in (0, 4) or r.asked > 0
                    or exists (select 1 from forward_job j where j.record_id = r.id and j.state in (0, 4))))",
    };
    if connection.is_shared() {
        rows = hold(connection, &days, rows).await?;
    }
    query(DELETE).bind(rows).bind(days).execute(connection).await
}

async fn hold(connection: &mut Connection, days: &[i64], rows: Vec<i64>) -> Result<Vec<i64>, StoreError> {
    let sql =
        "select delivery_row from delivery_raw where received_on = any($2) and delivery_row = any($1) for update skip locked";
    let held = query(sql).bind(rows).bind(days.to_vec()).fetch_all(connection).await?;
    held.iter().map(|row| row.get("delivery_row")).collect()
}
