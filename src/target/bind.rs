//! Cells to bound columns of a live table: each column is there, can be written and stands once; keys have no holes.

use std::sync::Arc;

use crate::model::change::Cell;
use crate::model::failure::{Failure, Step};

use super::connection::{Connection, Stored};
use super::dialect::Dialect;
use super::failures;
use super::inspect::{ColumnSchema, TableSchema, listed};
use super::value;

/// A column as the database spells it, with the value that goes there.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// The column's name.
    pub(super) column: String,
    /// The value in the column's own terms.
    pub(super) value: Stored,
}

/// The table that a write names, with what its failures need to say.
pub(super) struct Table {
    /// The name of its database.
    pub(super) database: String,
    /// Its name as the file writes it, perhaps with a schema.
    pub(super) name: String,
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
            Ok(Some(schema)) => Ok(Self { database: database.to_owned(), name: name.to_owned(), schema, dialect }),
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
        let names: Vec<_> = columns.iter().flat_map(|part| part.iter().map(|bound| &bound.column)).collect();
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
        Ok(Bound { column: column.name.clone(), value: value::convert(cell, column)? })
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "table `{}` of database `{}`", self.name, self.database)
    }
}

/// The values alone, in order.
pub(super) fn values<'a>(columns: impl IntoIterator<Item = &'a Bound>) -> Vec<Stored> {
    columns.into_iter().map(|bound| bound.value.clone()).collect()
}
