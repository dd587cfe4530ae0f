//! A change: one row operation on a target table, with the values as they came and where each came from.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What a value was declared to be with `as:`; without it the target column decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// Text.
    Text,
    /// A whole number of any size.
    Integer,
    /// A number with its digits as they were sent.
    Decimal,
    /// True or false.
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
    /// `HH:MM:SS` with any fraction.
    Time,
    /// RFC 3339, UTC.
    Timestamp,
    /// Hyphenated, lower case.
    Uuid,
    /// Any JSON.
    Json,
    /// Bytes, carried in the document as base64 text.
    Bytes,
}

/// A column and the value it is to have.
#[derive(Clone, PartialEq, Debug)]
pub struct Cell {
    /// The column's name as the file writes it.
    pub column: String,
    /// The value; a JSON null is the database's NULL.
    pub value: Json,
    /// What it was declared to be.
    pub declared: Option<ValueType>,
    /// The expression it came from, for messages: `$.order.lines[2].quantity`.
    pub origin: String,
}

/// One row operation.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// The named database it goes to.
    pub database: String,
    /// The table's name as the file writes it, `schema.table` allowed.
    pub table: String,
    /// Where the write stands, for messages and traces: `routes[0].write[1]`.
    pub place: String,
    /// What is to be done.
    pub operation: Operation,
    /// Which state of the thing this is; an older one than the last that was written changes nothing.
    pub version: Option<Version>,
}

/// Which state of a thing a change tells.
#[derive(Clone, PartialEq, Debug)]
pub struct Version {
    /// Its value, a text or number, and the column of theirs that keeps it.
    pub cell: Cell,
    /// Whether it is kept in that column, not in our own table.
    pub kept_in_column: bool,
}

impl Version {
    /// The column that keeps it, with its value, when these values have none for it.
    pub fn beside(&self, set: &[Cell]) -> Option<&Cell> {
        let column = Some(&self.cell).filter(|_| self.kept_in_column);
        column.filter(|column| !set.iter().any(|cell| cell.column.eq_ignore_ascii_case(&column.column)))
    }
}

/// The kinds of row operation. The tenant column, where there is one, is already among the cells.
#[derive(Clone, PartialEq, Debug)]
pub enum Operation {
    /// A new row.
    Insert {
        /// Its values.
        set: Vec<Cell>,
    },
    /// The row with this key: made or brought to these values.
    Upsert {
        /// The columns that find it.
        key: Vec<Cell>,
        /// The others. Columns that are not named keep their values.
        set: Vec<Cell>,
    },
    /// The rows with this key are brought to these values; none is made.
    Update {
        /// The columns that find them.
        key: Vec<Cell>,
        /// The others.
        set: Vec<Cell>,
    },
    /// The row of one key gets another; where both are, the old one goes.
    Move {
        /// The key that it had.
        from: Vec<Cell>,
        /// The key that it gets: the same columns.
        to: Vec<Cell>,
    },
    /// The rows `of` a parent become exactly these.
    Replace {
        /// The columns that say whose rows they are.
        of: Vec<Cell>,
        /// The rows, in the order of the list.
        rows: Vec<Row>,
        /// The column that marks those which are not in the list, and the mark; without it they go.
        soft: Option<Cell>,
    },
    /// The row with this key goes.
    Delete {
        /// The columns that find it.
        key: Vec<Cell>,
    },
    /// The row with this key stays and is marked as gone, if it is not yet.
    SoftDelete {
        /// The columns that find it.
        key: Vec<Cell>,
        /// The column that marks it, and the mark.
        mark: Cell,
    },
}

/// One row of a `replace`.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// The columns that find it among its parent's rows.
    pub key: Vec<Cell>,
    /// The others.
    pub set: Vec<Cell>,
}

impl Operation {
    /// The same with the column that keeps its version, where one does.
    #[must_use]
    pub fn keeping(mut self, version: Option<&Version>) -> Self {
        if let Self::Upsert { set, .. } | Self::Update { set, .. } = &mut self {
            let kept = version.and_then(|version| version.beside(set)).cloned();
            set.extend(kept);
        }
        self
    }

    /// The columns that find its row or rows; none for a new one.
    pub fn found_by(&self) -> &[Cell] {
        match self {
            Self::Insert { .. } => &[],
            Self::Upsert { key, .. } | Self::Update { key, .. } | Self::Delete { key } | Self::SoftDelete { key, .. } => key,
            Self::Move { from, .. } => from,
            Self::Replace { of, .. } => of,
        }
    }

    /// The word in the route file (`delete` for what `gone` makes of an upsert).
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Insert { .. } => "insert",
            Self::Upsert { .. } => "upsert",
            Self::Update { .. } => "update",
            Self::Move { .. } => "move",
            Self::Replace { .. } => "replace",
            Self::Delete { .. } => "delete",
            Self::SoftDelete { .. } => "soft delete",
        }
    }
}
