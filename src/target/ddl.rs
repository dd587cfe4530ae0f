//! SQL texts that make what is missing: whole tables, and columns of tables that are there. Nothing else is ever altered.

use super::dialect::{Dialect, split_schema};
use super::inspect::{ColumnKind, TableSchema};

/// A table as the routes need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectedTable {
    /// Its name as the files write it, `schema.table` allowed.
    pub name: String,
    /// The columns that are written.
    pub columns: Vec<ExpectedColumn>,
    /// The columns that find its rows; empty when rows are only inserted.
    pub key: Vec<String>,
}

/// A column as the routes need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectedColumn {
    /// Its name.
    pub name: String,
    /// What is written into it.
    pub kind: ColumnKind,
    /// Whether it always gets a value.
    pub not_null: bool,
}

/// The live table that an expected one means.
pub(super) fn find_live<'a>(dialect: Dialect, expected: &ExpectedTable, live: &'a [TableSchema]) -> Option<&'a TableSchema> {
    let (schema, name) = split_schema(&expected.name);
    let found = |table: &&TableSchema| {
        dialect.same_name(&table.name, name)
            && schema.map_or(table.in_default_schema, |schema| dialect.same_name(&table.schema, schema))
    };
    live.iter().find(|table| found(table) && table.name == name).or_else(|| live.iter().find(found))
}

/// The statement that makes a table; its key is the primary key.
pub fn create_table(dialect: Dialect, table: &ExpectedTable) -> String {
    let in_key = |name: &str| table.key.iter().any(|key| dialect.same_name(key, name));
    let mut lines: Vec<_> = table
        .columns
        .iter()
        .map(|column| {
            let not_null = if column.not_null || in_key(&column.name) { " not null" } else { "" };
            format!("  {}{not_null}", declaration(dialect, column, in_key(&column.name)))
        })
        .collect();
    if !table.key.is_empty() {
        let key: Vec<_> = table.key.iter().map(|column| dialect.quote(column)).collect();
        lines.push(format!("  primary key ({})", key.join(", ")));
    }
    format!("create table {} (\n{}\n);", dialect.quote_table(&table.name), lines.join(",\n"))
}

/// The statements that make what the live tables lack, in the order of the expected ones. Added columns take NULL, for the
/// rows that are there.
pub fn missing(dialect: Dialect, expected: &[ExpectedTable], live: &[TableSchema]) -> Vec<String> {
    let mut statements = Vec::new();
    for table in expected {
        let Some(present) = find_live(dialect, table, live) else {
            statements.push(create_table(dialect, table));
            continue;
        };
        for column in table.columns.iter().filter(|column| present.column(dialect, &column.name).is_none()) {
            let name = dialect.quote_table(&table.name);
            statements.push(format!("alter table {name} add column {};", declaration(dialect, column, false)));
        }
    }
    statements
}

fn declaration(dialect: Dialect, column: &ExpectedColumn, in_key: bool) -> String {
    format!("{} {}", dialect.quote(&column.name), dialect.type_of(column.kind, in_key)).trim_end().to_owned()
}
