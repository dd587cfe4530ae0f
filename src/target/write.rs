//! One unit of work in one transaction: its mark, its lane's fence, then its rows. All of it is there afterwards, or nothing.

use std::time::Duration;

use serde_json::Value as Json;

use crate::clock::Timestamp;
use crate::model::attempt::ChangeTrace;
use crate::model::change::{Cell, Change, Operation};
use crate::model::failure::Failure;

use super::bind::Table;
use super::connection::Connection;
use super::row::Counts;
use super::{failures, marks, replace, row};

/// The changes of one record's run in one database.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// Hash of state, delivery, record and run; what it stands for happens once.
    pub mark: [u8; 32],
    /// The lane's hash.
    pub lane: [u8; 16],
    /// The number of the lane's lease; a later lease has a higher one.
    pub fence: i64,
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
    if !marks::insert_mark(connection, unit.mark, now).await.map_err(failed)? {
        return Ok(None);
    }
    if !marks::raise_fence(connection, unit.lane, unit.fence, now).await.map_err(failed)? {
        return Err(WriteError::LeaseLost);
    }
    Ok(Some(write_changes(connection, database, unit.changes).await?))
}

/// Writes row operations inside the transaction that is open, in the order of the file. A unit that only deletes goes
/// backwards instead, so that rows go before the rows they refer to.
pub(super) async fn write_changes(
    connection: &mut Connection,
    database: &str,
    changes: &[Change],
) -> Result<Vec<ChangeTrace>, Failure> {
    let mut traces = Vec::with_capacity(changes.len());
    if changes.iter().all(only_deletes) {
        for change in changes.iter().rev() {
            traces.push(write_change(connection, database, change).await?);
        }
        traces.reverse();
    } else {
        for change in changes {
            traces.push(write_change(connection, database, change).await?);
        }
    }
    Ok(traces)
}

async fn write_change(connection: &mut Connection, database: &str, change: &Change) -> Result<ChangeTrace, Failure> {
    let table = Table::find(connection, database, &change.table).await?;
    table.reject_refused()?;
    let (key, counts) = match &change.operation {
        Operation::Insert { set } => (&[][..], row::insert(connection, &table, set).await?),
        Operation::Upsert { key, set } => (key.as_slice(), row::upsert(connection, &table, key, set).await?),
        Operation::Replace { of, rows } => (of.as_slice(), replace::replace(connection, &table, of, rows).await?),
        Operation::Delete { key } => (key.as_slice(), row::delete(connection, &table, key).await?),
    };
    Ok(trace(change, key, counts))
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
    }
}

fn only_deletes(change: &Change) -> bool {
    match &change.operation {
        Operation::Delete { .. } => true,
        Operation::Replace { rows, .. } => rows.is_empty(),
        Operation::Insert { .. } | Operation::Upsert { .. } => false,
    }
}
