//! Cells to bound columns of a live table: each column is there, can be written and stands once; keys have no holes.

use std::sync::Arc;

use crate::model::change::Cell;
use crate::model::failure::{Failure, Step};

use super::connection::Connection;
use super::dialect::{Dialect, Slot};
use super::failures;
use super::inspect::{ColumnSchema, TableSchema, listed};
use super::statement::Sql;
use super::stored::Stored;
use super::value;

/// A column as the database spells it, with the value that goes there.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// The column.
    pub(super) slot: Slot,
    /// The value in the column's own terms.
    pub(super) value: Stored,
}

impl Bound {
    /// The column's name.
    pub(super) fn name(&self) -> &str {
        &self.slot.name
    }
}

/// The table that a write names, with what its failures need to say.
pub(super) struct Table {
    /// The name of its database.
    pub(super) database: String,
    /// Its name as the file writes it, perhaps with a schema.
    pub(super) name: String,
    /// Its name as it stands in SQL.
    pub(super) quoted: String,
    /// What it looks like.
    pub(super) schema: Arc<TableSchema>,
    /// How its SQL is written.
    pub(super) dialect: Dialect,
}

impl Table {
    /// Looks a table up; one that is not there may be made yet, so the failure may pass.
    pub(super) async fn find(connection: &mut Connection, database: &str, name: &str) -> Result<Self, Failure> {
        let dialect = connection.dialect();
        match connection.table(name).await {
            Ok(Some(schema)) => Ok(Self {
                database: database.to_owned(),
                name: name.to_owned(),
                quoted: format!("{}.{}", dialect.quote(&schema.schema), dialect.quote(&schema.name)),
                schema,
                dialect,
            }),
            Ok(None) => {
                let names = connection.table_names().await.map_err(|error| failures::of(&error, database, None))?;
                let has = match names.is_empty() {
                    true => "no tables at all".to_owned(),
                    false => listed(names.iter().map(String::as_str), name),
                };
                Err(Failure::passing(Step::Write, format!("database `{database}` has no table `{name}`; it has {has}")))
            }
            Err(error) => Err(failures::of(&error, database, None)),
        }
    }

    /// Binds the columns of a row or of a part of one.
    pub(super) fn bind(&self, cells: &[Cell]) -> Result<Vec<Bound>, Failure> {
        cells.iter().map(|cell| self.bind_cell(cell)).collect()
    }

    /// Fails when rows cannot be written safely, whatever is in them.
    pub(super) fn reject_refused(&self) -> Result<(), Failure> {
        match &self.schema.refused {
            Some(reason) => Err(Failure::passing(Step::Write, format!("{self} cannot be written: {reason}"))),
            None => Ok(()),
        }
    }

    /// Runs a statement on this table with values in the order that its text was made for.
    pub(super) async fn execute(&self, connection: &mut Connection, sql: &Sql, columns: &[&[Bound]]) -> Result<u64, Failure> {
        let done = connection.execute(sql, self.sent(columns)).await;
        done.map_err(|error| self.failure(&error))
    }

    /// As [`Table::execute`], for a query: its rows as they come.
    pub(super) async fn fetch(
        &self,
        connection: &mut Connection,
        sql: &Sql,
        columns: &[&[Bound]],
    ) -> Result<Vec<Vec<Stored>>, Failure> {
        let rows = connection.fetch(sql, self.sent(columns)).await;
        rows.map_err(|error| self.failure(&error))
    }

    fn sent(&self, columns: &[&[Bound]]) -> Vec<Stored> {
        columns.iter().flat_map(|part| part.iter()).map(|bound| self.dialect.sent(&bound.slot, bound.value.clone())).collect()
    }

    /// Binds columns that find rows: there are some, and none of them is NULL. No columns would find all rows.
    pub(super) fn bind_key(&self, cells: &[Cell]) -> Result<Vec<Bound>, Failure> {
        if cells.is_empty() {
            let reason = format!("a write to table `{}` names no column to find its rows by", self.name);
            return Err(Failure::permanent(Step::Map, reason));
        }
        if let Some(hole) = cells.iter().find(|cell| cell.value.is_null()) {
            let from = if hole.origin.is_empty() { String::new() } else { format!(" from {}", hole.origin) };
            let reason = format!("key column `{}` of table `{}` got null{from}", hole.column, self.name);
            return Err(Failure::permanent(Step::Map, reason));
        }
        self.bind(cells)
    }

    /// Fails when a column stands twice in one row.
    pub(super) fn reject_twice(&self, columns: &[&[Bound]]) -> Result<(), Failure> {
        let names: Vec<_> = columns.iter().flat_map(|part| part.iter().map(Bound::name)).collect();
        match names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
            Some((_, name)) => {
                let reason = format!("column `{name}` of table `{}` is written twice by one write", self.name);
                Err(Failure::permanent(Step::Map, reason))
            }
            None => Ok(()),
        }
    }

    /// The live column of that name.
    pub(super) fn column(&self, name: &str) -> Result<&ColumnSchema, Failure> {
        self.schema.column(self.dialect, name).ok_or_else(|| {
            let has = listed(self.schema.columns.iter().map(|column| column.name.as_str()), name);
            Failure::passing(Step::Write, format!("{self} has no column `{name}`; it has {has}"))
        })
    }

    /// What became of a statement on this table.
    pub(super) fn failure(&self, error: &sqlx::Error) -> Failure {
        failures::of(error, &self.database, Some(self))
    }

    fn bind_cell(&self, cell: &Cell) -> Result<Bound, Failure> {
        let column = self.column(&cell.column)?;
        if column.generated {
            let reason = format!("column `{}` of {self} is computed by the database and cannot be written", column.name);
            return Err(Failure::passing(Step::Write, reason));
        }
        Ok(Bound { slot: column.into(), value: value::convert(self.dialect, cell, column)? })
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "table `{}` of database `{}`", self.name, self.database)
    }
}

/// The columns alone, in order.
pub(super) fn slots<'a>(columns: impl IntoIterator<Item = &'a Bound>) -> Vec<Slot> {
    columns.into_iter().map(|bound| bound.slot.clone()).collect()
}

/// The values alone, in order.
pub(super) fn values<'a>(columns: impl IntoIterator<Item = &'a Bound>) -> Vec<Stored> {
    columns.into_iter().map(|bound| bound.value.clone()).collect()
}
