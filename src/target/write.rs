//! One unit of work in one transaction: its mark, its lane's fence, then its rows. All of it is there afterwards, or nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value as Json;

use crate::clock::Timestamp;
use crate::failpoint::reach;
use crate::model::attempt::ChangeTrace;
use crate::model::change::{Cell, Change, Operation};
use crate::model::failure::Failure;

use super::bind::Table;
use super::connection::Connection;
use super::marks::{self, Entrance};
use super::row::Counts;
use super::version::{self, Versions};
use super::{failures, replace, row};

/// The changes of one record's run in one database.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// Hash of state, delivery, record and run; what it stands for happens once.
    pub mark: [u8; 32],
    /// The lane's hash.
    pub lane: [u8; 16],
    /// Other lanes that are held with it.
    pub others: &'a [[u8; 16]],
    /// The number of the lane's lease; a later lease, of whichever lane, has a higher one.
    pub fence: i64,
    /// Whether what came after it may have been written before: it ran already, or its lane has moved on. A row whose version is the
    /// same stays as it is then.
    pub is_late: bool,
    /// The row operations in the order of the file.
    pub changes: &'a [Change],
}

/// What became of a unit.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    /// Whether it had been applied before; nothing was done then.
    pub already: bool,
    /// What happened to rows, one for each change in their order, none when it had been applied before; keys are not masked yet.
    pub changes: Vec<ChangeTrace>,
    /// From first to last, waiting for other writers included.
    pub took: Duration,
}

/// Why a unit was not applied. Nothing of it is in the database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// Someone else has taken the lane since; whatever this worker knows is old.
    LeaseLost,
    /// A value, a table or the database stands in the way.
    Failed(Failure),
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Writes a unit inside the transaction that is open. None when its mark is there already.
pub(super) async fn write_unit(
    connection: &mut Connection,
    database: &str,
    unit: &Unit<'_>,
    now: Timestamp,
) -> Result<Option<Vec<ChangeTrace>>, WriteError> {
    let failed = |error: sqlx::Error| failures::of(&error, database, None);
    // in one order, so that units that share lanes wait for each other and never in a circle
    let lanes: BTreeSet<[u8; 16]> = unit.others.iter().copied().chain([unit.lane]).collect();
    for (number, lane) in lanes.into_iter().enumerate() {
        let entrance = match number {
            0 => marks::enter(connection, unit.mark, lane, unit.fence, now).await.map_err(failed)?,
            _ if marks::raise_further(connection, lane, unit.fence, now).await.map_err(failed)? => Entrance::Open,
            _ => Entrance::Fenced,
        };
        match entrance {
            Entrance::Open => {}
            Entrance::Marked => return Ok(None),
            Entrance::Fenced => return Err(WriteError::LeaseLost),
        }
    }
    reach("write.mark");
    let changes = write_changes(connection, database, unit.changes, unit.is_late, now).await?;
    reach("write.rows");
    Ok(Some(changes))
}

/// Writes row operations inside the transaction that is open, in the order of the file. A unit that only deletes goes
/// backwards instead, so that rows go before the rows they refer to.
pub(super) async fn write_changes(
    connection: &mut Connection,
    database: &str,
    changes: &[Change],
    is_late: bool,
    now: Timestamp,
) -> Result<Vec<ChangeTrace>, Failure> {
    let mut traces = Vec::with_capacity(changes.len());
    let mut known = Known { versions: Versions::new(is_late), outdated: Vec::new() };
    if changes.iter().all(only_deletes) {
        for change in changes.iter().rev() {
            traces.push(write_change(connection, database, change, now, &mut known).await?);
        }
        traces.reverse();
    } else {
        for change in changes {
            traces.push(write_change(connection, database, change, now, &mut known).await?);
        }
    }
    Ok(traces)
}

/// What is known of a unit's rows while it is written.
struct Known<'c> {
    versions: Versions,
    /// The keys of the rows that were newer: what `replace` would make their children is as old.
    outdated: Vec<&'c [Cell]>,
}

async fn write_change<'c>(
    connection: &mut Connection,
    database: &str,
    change: &'c Change,
    now: Timestamp,
    known: &mut Known<'c>,
) -> Result<ChangeTrace, Failure> {
    let table = Table::find(connection, database, &change.table).await?;
    table.reject_refused()?;
    let key = change.operation.found_by();
    let is_news = match (&change.operation, &change.version) {
        (Operation::Replace { of, .. }, _) if known.outdated.iter().any(|parent| is_child(of, parent)) => false,
        (operation, Some(version)) => version::is_news(connection, &table, operation, version, &mut known.versions, now).await?,
        (_, None) => true,
    };
    if !is_news {
        known.outdated.push(key);
        return Ok(ChangeTrace { outdated: true, ..trace(change, key, Counts::default()) });
    }
    let counts = match &change.operation {
        Operation::Insert { set } => row::insert(connection, &table, set).await?,
        Operation::Upsert { key, set } => row::upsert(connection, &table, key, &with_version(set, change)).await?,
        Operation::Update { key, set } => row::update(connection, &table, key, &with_version(set, change)).await?,
        Operation::Move { from, to } => row::rename(connection, &table, from, to).await?,
        Operation::Replace { of, rows, soft } => replace::replace(connection, &table, of, rows, soft.as_ref()).await?,
        Operation::SoftDelete { key, mark } => row::soft_delete(connection, &table, key, mark).await?,
        Operation::Delete { key } => row::delete(connection, &table, key).await?,
    };
    Ok(trace(change, key, counts))
}

/// Whether rows belong to the one with this key: all of its values are among theirs.
fn is_child(of: &[Cell], parent: &[Cell]) -> bool {
    !parent.is_empty() && parent.iter().all(|column| of.iter().any(|own| own.value == column.value))
}

/// The columns with that which keeps the version, where one does.
fn with_version<'c>(set: &'c [Cell], change: &'c Change) -> Cow<'c, [Cell]> {
    match change.version.as_ref().and_then(|version| version.beside(set)) {
        Some(kept) => set.iter().chain([kept]).cloned().collect::<Vec<_>>().into(),
        None => set.into(),
    }
}

fn trace(change: &Change, key: &[Cell], Counts { inserted, updated, deleted }: Counts) -> ChangeTrace {
    let key = key.iter().map(|cell| (cell.column.clone(), cell.value.clone()));
    ChangeTrace {
        database: change.database.clone(),
        table: change.table.clone(),
        verb: change.operation.verb().to_owned(),
        key: Json::Object(key.collect()),
        inserted,
        updated,
        deleted,
        outdated: false,
    }
}

fn only_deletes(change: &Change) -> bool {
    match &change.operation {
        Operation::Delete { .. } | Operation::SoftDelete { .. } => true,
        Operation::Replace { rows, .. } => rows.is_empty(),
        Operation::Insert { .. } | Operation::Upsert { .. } | Operation::Update { .. } | Operation::Move { .. } => false,
    }
}
