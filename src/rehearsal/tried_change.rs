//! The row operations of a tried request, with their statements as SQLite takes them.

use serde::Serialize;
use serde_json::Value as Json;

use crate::model::change::{Cell, Change};
use crate::secret::Mask;
use crate::target::dialect::Dialect;
use crate::target::preview::statements;

/// One row operation that would be done.
#[derive(Clone, Debug, Serialize)]
pub struct TriedChange {
    /// The named database.
    pub database: String,
    /// The table.
    pub table: String,
    /// `insert`, `upsert`, `replace`, `delete`.
    pub verb: &'static str,
    /// Its statements.
    pub statements: Vec<TriedStatement>,
}

/// One statement with its values.
#[derive(Clone, Debug, Serialize)]
pub struct TriedStatement {
    /// When it would run, where that is not always.
    pub when: Option<&'static str>,
    /// Its text.
    pub sql: String,
    /// The values of its parameters with the columns they are for, for each row it would run for.
    pub runs: Vec<Vec<(String, Json)>>,
}

/// A row operation with what is secret masked.
pub(super) fn shown(change: &Change, mask: &Mask) -> TriedChange {
    let parameter = |cell: Cell| (cell.column, mask.json(&cell.value));
    let operation = change.operation.clone().keeping(change.version.as_ref());
    let statements = statements(Dialect::Sqlite, &change.table, &operation).into_iter().map(|one| TriedStatement {
        when: one.when,
        sql: one.sql,
        runs: one.runs.into_iter().map(|cells| cells.into_iter().map(parameter).collect()).collect(),
    });
    TriedChange {
        database: change.database.clone(),
        table: change.table.clone(),
        verb: change.operation.verb(),
        statements: statements.collect(),
    }
}
