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
            Some(_) => {}
        }
    }
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
