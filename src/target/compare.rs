//! What the routes expect of the tables against what is there: the differences that a delivery would trip over.

use std::fmt;

use super::ddl::{ExpectedTable, find_live};
use super::dialect::Dialect;
use super::inspect::{ColumnKind, ColumnSchema, TableSchema, listed};

/// One thing that stands between the routes and a live database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// There is no such table.
    TableMissing {
        /// Its name as the files write it.
        table: String,
        /// The tables that are there, in words, the likeliest first.
        has: String,
    },
    /// The table has no such column.
    ColumnMissing {
        /// The table.
        table: String,
        /// The column as the files write it.
        column: String,
        /// The columns that are there, in words, the likeliest first.
        has: String,
    },
    /// The column is computed by the database and cannot be written.
    ColumnGenerated {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Decimals are written to a column that keeps floats.
    LosesDigits {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its declared type.
        declared: String,
    },
    /// What is written is not what the column keeps.
    Misfit {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What is written.
        written: ColumnKind,
        /// Its declared type.
        declared: String,
    },
    /// Nothing may be written to the table at all.
    TableRefused {
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
    /// A column of the key takes different texts for equal, so that some rows cannot stand side by side.
    KeyFolds {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// No unique index covers exactly the key: two writers could make the same row twice.
    KeyNotUnique {
        /// The table.
        table: String,
        /// The key's columns.
        key: Vec<String>,
    },
    /// A column that refuses NULL and has no default gets no value from any route.
    ColumnLeftOut {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

/// All differences, table by table in the order of the expected ones.
pub fn compare(dialect: Dialect, expected: &[ExpectedTable], live: &[TableSchema]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for table in expected {
        match find_live(dialect, table, live) {
            Some(present) => compare_table(dialect, table, present, &mut differences),
            None => differences.push(Difference::TableMissing {
                table: table.name.clone(),
                has: listed(live.iter().map(|live| live.name.as_str()), &table.name),
            }),
        }
    }
    differences
}

fn compare_table(dialect: Dialect, expected: &ExpectedTable, live: &TableSchema, differences: &mut Vec<Difference>) {
    let table = || expected.name.clone();
    for column in &expected.columns {
        let name = column.name.clone();
        match live.column(dialect, &name) {
            None => {
                let has = listed(live.columns.iter().map(|column| column.name.as_str()), &name);
                differences.push(Difference::ColumnMissing { table: table(), column: name, has });
            }
            Some(present) if present.generated => {
                differences.push(Difference::ColumnGenerated { table: table(), column: name });
            }
            Some(present) if loses_digits(column.kind, present.kind) => {
                let declared = present.declared.clone();
                differences.push(Difference::LosesDigits { table: table(), column: name, declared });
            }
            Some(present) if !fits(column.kind, present) => {
                let declared = present.declared.clone();
                differences.push(Difference::Misfit { table: table(), column: name, written: column.kind, declared });
            }
            Some(_) => {}
        }
    }
    differences.extend(live.refused.iter().map(|reason| Difference::TableRefused { table: table(), reason: reason.clone() }));
    let folds = |name: &&String| live.column(dialect, name).is_some_and(|column| column.folds_letters);
    differences
        .extend(expected.key.iter().filter(folds).map(|column| Difference::KeyFolds { table: table(), column: column.clone() }));
    if !expected.key.is_empty() && live.unique_index(dialect, expected.key.iter().map(String::as_str)).is_none() {
        differences.push(Difference::KeyNotUnique { table: table(), key: expected.key.clone() });
    }
    let written = |column: &ColumnSchema| expected.columns.iter().any(|named| dialect.same_name(&named.name, &column.name));
    let needs_value = |column: &&ColumnSchema| {
        column.not_null && column.default.is_none() && !column.generated && !dialect.fills(live, &column.name)
    };
    for column in live.columns.iter().filter(needs_value).filter(|column| !written(column)) {
        differences.push(Difference::ColumnLeftOut { table: table(), column: column.name.clone() });
    }
}

/// Whether a column can keep values of a kind at all; texts may be the spelling of anything.
fn fits(written: ColumnKind, live: &ColumnSchema) -> bool {
    use ColumnKind::{Boolean, Bytes, Date, Decimal, Integer, Json, List, Numeric, Real, Text, Time, Timestamp, Unknown, Uuid};
    match (written, live.kind) {
        (Text | Unknown, _) | (_, Text | Unknown | Bytes) => true,
        (written, Json) => written != Bytes,
        (Integer, Boolean) => live.limits.whole.is_some(),
        (Integer | Boolean, Integer) | (Boolean, Boolean | Numeric) => true,
        (Integer | Decimal | Numeric | Real, Decimal | Numeric | Real) => true,
        (Json, List) => true,
        (Date | Time | Timestamp | Uuid | List, kind) => kind == written,
        _ => false,
    }
}

fn words(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text | ColumnKind::Unknown => "texts",
        ColumnKind::Integer => "whole numbers",
        ColumnKind::Decimal | ColumnKind::Numeric | ColumnKind::Real => "decimals",
        ColumnKind::Boolean => "truths",
        ColumnKind::Date => "dates",
        ColumnKind::Time => "times",
        ColumnKind::Timestamp => "moments",
        ColumnKind::Uuid => "UUIDs",
        ColumnKind::Json => "lists and objects",
        ColumnKind::Bytes => "bytes",
        ColumnKind::List => "lists",
    }
}

fn loses_digits(expected: ColumnKind, live: ColumnKind) -> bool {
    expected == ColumnKind::Decimal && matches!(live, ColumnKind::Numeric | ColumnKind::Real)
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableMissing { table, has } if has.is_empty() => write!(formatter, "there is no table `{table}`"),
            Self::TableMissing { table, has } => write!(formatter, "there is no table `{table}`; there is {has}"),
            Self::ColumnMissing { table, column, has } => {
                write!(formatter, "table `{table}` has no column `{column}`; it has {has}")
            }
            Self::ColumnGenerated { table, column } => {
                write!(formatter, "column `{column}` of table `{table}` is computed by the database and cannot be written")
            }
            Self::LosesDigits { table, column, declared } => write!(
                formatter,
                "column `{column}` of table `{table}` is {declared}, which would lose digits of decimals; declare it `DECIMAL_TEXT`"
            ),
            Self::Misfit { table, column, written, declared } => {
                write!(formatter, "column `{column}` of table `{table}` is {declared}; {} are written to it", words(*written))
            }
            Self::TableRefused { table, reason } => write!(formatter, "table `{table}` cannot be written: {reason}"),
            Self::KeyFolds { table, column } => write!(
                formatter,
                "the key column `{column}` of table `{table}` takes texts for equal that differ in case or accents; give it a \
                 binary collation"
            ),
            Self::KeyNotUnique { table, key } => {
                write!(formatter, "no unique index of table `{table}` covers exactly the key `{}`", key.join("`, `"))
            }
            Self::ColumnLeftOut { table, column } => write!(
                formatter,
                "column `{column}` of table `{table}` is NOT NULL without a default, and no write gives it a value"
            ),
        }
    }
}
