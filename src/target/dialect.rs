//! All in which the engines differ when SQL text is made or a declared type is read, side by side.

use super::inspect::{ColumnKind, TableSchema};
use super::sqlite_schema;

/// An engine's way of writing SQL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
}

impl Dialect {
    /// One identifier, safe to stand in SQL whatever is in it.
    pub fn quote(self, identifier: &str) -> String {
        match self {
            Self::Sqlite => format!("\"{}\"", identifier.replace('"', "\"\"")),
        }
    }

    /// A table's name as a route file writes it (`jobs`, `main.jobs`), quoted.
    pub fn quote_table(self, table: &str) -> String {
        match split_schema(table) {
            (Some(schema), name) => format!("{}.{}", self.quote(schema), self.quote(name)),
            (None, name) => self.quote(name),
        }
    }

    /// The parameter with this position, from 1.
    pub fn parameter(self, position: usize) -> String {
        match self {
            Self::Sqlite => format!("?{position}"),
        }
    }

    /// The start of an insert that reports every conflict, whatever the table says should happen on one.
    pub fn insert_into(self) -> &'static str {
        match self {
            Self::Sqlite => "insert or abort into",
        }
    }

    /// The start of an update that reports every conflict.
    pub fn update(self) -> &'static str {
        match self {
            Self::Sqlite => "update or abort",
        }
    }

    /// A condition that holds when a quoted column has exactly the value of a parameter, NULL included.
    pub fn same(self, column: &str, parameter: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} is {parameter} collate binary"),
        }
    }

    /// Begins a transaction that will write.
    pub fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "begin immediate",
        }
    }

    /// Whether two spellings name the same table or column.
    pub fn same_name(self, one: &str, other: &str) -> bool {
        match self {
            Self::Sqlite => one.eq_ignore_ascii_case(other),
        }
    }

    /// What a column with this declared type takes.
    pub fn kind_of(self, declared: &str) -> ColumnKind {
        match self {
            Self::Sqlite => sqlite_schema::kind_of(declared),
        }
    }

    /// The type to declare a column of this kind with.
    pub fn type_of(self, kind: ColumnKind) -> &'static str {
        match self {
            Self::Sqlite => sqlite_schema::type_of(kind),
        }
    }

    /// Whether the engine fills this column by itself when it is left out, though it has no default.
    pub fn fills(self, table: &TableSchema, column: &str) -> bool {
        match self {
            Self::Sqlite => sqlite_schema::is_rowid(table, column),
        }
    }
}

/// `main.jobs` is (`main`, `jobs`); `jobs` has no schema.
pub(super) fn split_schema(table: &str) -> (Option<&str>, &str) {
    match table.split_once('.') {
        Some((schema, name)) if !schema.is_empty() && !name.is_empty() => (Some(schema), name),
        _ => (None, table),
    }
}
