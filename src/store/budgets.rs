//! Budgets: how many calls a provider allows, kept by the generic cell rate algorithm, one row a window. A sliding window
//! never sees more than its count: of a count, a burst of a tenth may go at once and the rest is spread over the window.

use std::time::Duration;

use super::error::StoreError;
use super::sql::{Connection, Row, Texts, micros, moment, query};
use super::state::Store;
use crate::clock::Timestamp;

/// At most `count` in any `window`, and in `slack` more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many.
    pub count: u32,
    /// In how long. A budget has one row for each length, whatever its count and slack, so that what was taken is still known when
    /// those change.
    pub window: Duration,
    /// How much later than it is granted a call may be made or seen by the provider.
    pub slack: Duration,
}

/// What a budget gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many calls may be made now: at least one, at most as many as were wanted.
    Granted(u32),
    /// None now; not before this moment.
    NotBefore(Timestamp),
}

/// The rhythm of a window, in microseconds.
#[derive(Clone, Copy)]
struct Rhythm {
    window: i64,
    emission: i64,
    tolerance: i64,
}

/// Takes up to `want` calls out of the budget `name`: the same number out of every window, or none.
pub async fn take(store: &Store, name: &str, windows: &[Window], want: u32) -> Result<Taken, StoreError> {
    let rhythms: Vec<Rhythm> = windows.iter().copied().map(Rhythm::of).collect();
    let name = name.to_owned();
    store
        .writer()
        .run(move |connection, now| Box::pin(async move { take_now(connection, &name, &rhythms, want, now).await }))
        .await
}

/// Grants nothing out of the budget `name` before `until`: the provider said so. An earlier moment than one set before is ignored.
pub async fn pause(store: &Store, name: &str, until: Timestamp) -> Result<(), StoreError> {
    let name = name.to_owned();
    store.writer().run(move |connection, _| Box::pin(async move { write_pause(connection, &name, until).await })).await
}

impl Rhythm {
    /// One microsecond more than needed between two calls keeps both ends of a window from counting.
    fn of(window: Window) -> Self {
        let count = i64::from(window.count.max(1));
        let burst = (count / 10).max(1);
        let emission = micros(window.window + window.slack) / (count - burst + 1) + 1;
        Self { window: micros(window.window), emission, tolerance: (burst - 1) * emission }
    }

    /// How many calls may be made now.
    fn room(self, earliest: i64, now: i64) -> i64 {
        let spare = now + self.tolerance - earliest;
        if spare < 0 { 0 } else { spare / self.emission + 1 }
    }
}

async fn take_now(
    connection: &mut Connection,
    name: &str,
    rhythms: &[Rhythm],
    want: u32,
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let now = now.as_micros();
    let mut rows = read_rows(connection, name).await?;
    let is_missing = |rhythm: &&Rhythm| rows.iter().all(|row| row.window != rhythm.window);
    let missing: Vec<&Rhythm> = rhythms.iter().filter(is_missing).collect();
    if connection.is_shared() && !missing.is_empty() {
        // a row that is not there cannot be locked against the other instances
        for rhythm in missing {
            make_row(connection, name, rhythm.window).await?;
        }
        rows = read_rows(connection, name).await?;
    }
    let mut not_before = rows.iter().filter_map(|row| row.paused_until).max().unwrap_or(0);
    let mut granted = i64::from(want.max(1));
    let mut taken = Vec::with_capacity(rhythms.len());
    for rhythm in rhythms {
        let stored = rows.iter().find(|row| row.window == rhythm.window).map_or(0, |row| row.earliest);
        let earliest = stored.max(now);
        granted = granted.min(rhythm.room(earliest, now));
        not_before = not_before.max(earliest - rhythm.tolerance);
        taken.push((rhythm, earliest));
    }
    if granted < 1 || not_before > now {
        return Ok(Taken::NotBefore(moment(not_before)));
    }
    for (rhythm, earliest) in taken {
        write_row(connection, name, rhythm.window, earliest + granted * rhythm.emission).await?;
    }
    Ok(Taken::Granted(u32::try_from(granted).unwrap_or(want)))
}

struct BudgetRow {
    window: i64,
    earliest: i64,
    paused_until: Option<i64>,
}

async fn read_rows(connection: &mut Connection, name: &str) -> Result<Vec<BudgetRow>, StoreError> {
    const ROWS: Texts = Texts {
        sqlite: "select window_us, tat, paused_until from budget where name = $1",
        postgres: "select window_us, tat, paused_until from budget where name = $1 order by window_us for update",
    };
    let rows = query(ROWS).bind(name).fetch_all(connection).await?;
    let row = |row: &Row| {
        Ok(BudgetRow { window: row.get("window_us")?, earliest: row.get("tat")?, paused_until: row.get("paused_until")? })
    };
    rows.iter().map(row).collect()
}

async fn make_row(connection: &mut Connection, name: &str, window: i64) -> Result<(), StoreError> {
    let sql = "insert into budget (name, window_us) values ($1, $2) on conflict (name, window_us) do nothing";
    query(sql).bind(name).bind(window).execute(connection).await?;
    Ok(())
}

async fn write_row(connection: &mut Connection, name: &str, window: i64, earliest: i64) -> Result<(), StoreError> {
    let sql = "insert into budget (name, window_us, tat) values ($1, $2, $3)
        on conflict (name, window_us) do update set tat = excluded.tat";
    query(sql).bind(name).bind(window).bind(earliest).execute(connection).await?;
    Ok(())
}

async fn write_pause(connection: &mut Connection, name: &str, until: Timestamp) -> Result<(), StoreError> {
    let sql = "insert into budget (name, window_us, paused_until) values ($1, 0, $2)
        on conflict (name, window_us) do update set paused_until = max(coalesce(budget.paused_until, 0), excluded.paused_until)";
    query(sql).bind(name).bind(until).execute(connection).await?;
    Ok(())
}
