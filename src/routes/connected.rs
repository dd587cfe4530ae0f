//! What live tables say about the writes of route files: each problem that a delivery would trip over, at its place in the file.

use std::sync::Arc;

use super::compile::World;
use super::expected::{expected_tables, expected_writes};
use super::source::Source;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Span;
use crate::steps::map::Write;
use crate::steps::write_options::Verb;
use crate::target::compare::{Difference, compare};
use crate::target::dialect::Dialect;
use crate::target::inspect::TableSchema;

/// Compares the writes of `sources` that go to `database` with its live tables.
pub fn report(
    sources: &[Arc<Source>],
    world: World<'_>,
    database: &str,
    (dialect, live): (Dialect, &[TableSchema]),
    diagnostics: &mut Diagnostics,
) {
    let all = expected_tables(sources, world).remove(database).unwrap_or_default();
    // a column that one write leaves out may be what another one sets
    let mut left_out = compare(dialect, &all, live);
    left_out.retain(|difference| matches!(difference, Difference::ColumnLeftOut { .. }));
    for source in sources {
        for (write, table) in expected_writes(source, world).into_iter().filter(|(write, _)| write.database == database) {
            let makes_rows = matches!(write.verb, Verb::Insert | Verb::Upsert | Verb::Replace);
            for difference in compare(dialect, &[table], live) {
                let is_left_out = matches!(difference, Difference::ColumnLeftOut { .. });
                if !is_left_out || (makes_rows && left_out.contains(&difference)) {
                    diagnostics.report(diagnostic(write, &difference, database));
                }
            }
        }
    }
}

fn diagnostic(write: &Write, difference: &Difference, database: &str) -> Diagnostic {
    let message = format!("database `{database}`: {difference}");
    let (table, column) = (write.table.span, |name: &str| column_span(write, name));
    match difference {
        Difference::TableMissing { .. } => Diagnostic::error("table-missing", table, message)
            .hint("`hooktable tables --ddl` prints the statement that makes it, `--create` runs it"),
        Difference::ColumnMissing { column: name, .. } => Diagnostic::error("column-missing", column(name), message)
            .hint("mend the name, or let `hooktable tables --create` add the column"),
        Difference::ColumnGenerated { column: name, .. } => {
            Diagnostic::error("column-generated", column(name), message).hint("leave it out of `key` and `set`")
        }
        Difference::Misfit { column: name, .. } => Diagnostic::error("column-misfit", column(name), message)
            .hint("write another column, or say with `as:` what the value is to be"),
        Difference::LosesDigits { column: name, .. } => {
            Diagnostic::warning("column-loses-digits", column(name), message).hint("declare it `DECIMAL_TEXT`")
        }
        Difference::KeyFolds { column: name, .. } => Diagnostic::warning("key-folds", column(name), message)
            .hint("`collate utf8mb4_bin` (MySQL), `text` (PostgreSQL), no `collate nocase` (SQLite)"),
        Difference::KeyNotUnique { .. } => Diagnostic::warning("key-not-unique", table, message)
            .hint("make a unique index on these columns, or two writers could make the same row twice"),
        Difference::TableRefused { .. } => {
            Diagnostic::error("table-refused", table, message).hint("`alter table … engine = InnoDB`")
        }
        Difference::ColumnLeftOut { .. } => {
            Diagnostic::error("column-left-out", table, message).hint("write it, or give it a default in the database")
        }
    }
}

fn column_span(write: &Write, name: &str) -> Span {
    let kept = write.version.iter().filter_map(|version| version.column.as_ref());
    let kept = kept.filter(|column| column.value == name).map(|column| column.span).next();
    write.columns().find(|column| column.name == name).map(|column| column.span).or(kept).unwrap_or(write.table.span)
}
