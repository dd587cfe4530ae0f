//! What a database said went wrong, in words for the person who has to mend it, and whether another try may help.

use sqlx::error::{DatabaseError, ErrorKind};

use crate::model::failure::{Failure, Step};

use super::bind::Table;

/// A statement's error as a failure. What a value broke is permanent; what the database or its tables lack may be mended.
pub(super) fn of(error: &sqlx::Error, database: &str, table: Option<&Table>) -> Failure {
    let subject = table.map_or_else(|| format!("database `{database}`"), ToString::to_string);
    let Some(told) = error.as_database_error() else {
        return Failure::passing(Step::Write, format!("{subject}: {error}"));
    };
    let code = told.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0) & 0xff;
    let (refused, reason) = match told.kind() {
        ErrorKind::NotNullViolation => (true, not_null(told)),
        ErrorKind::UniqueViolation => (true, unique(told, table)),
        ErrorKind::CheckViolation => (true, format!("the check `{}` refuses the row", after_colon(told))),
        ErrorKind::ForeignKeyViolation => (true, foreign_key()),
        _ => (matches!(code, CONSTRAINT | TOO_BIG | MISMATCH), other(told, code)),
    };
    match refused {
        true => Failure::permanent(Step::Write, format!("{subject}: {reason}")),
        false => Failure::passing(Step::Write, format!("{subject}: {reason}")),
    }
}

// SQLite's primary result codes.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READ_ONLY: i32 = 8;
const FULL: i32 = 13;
const TOO_BIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;

fn not_null(told: &dyn DatabaseError) -> String {
    let column = after_colon(told).rsplit('.').next().unwrap_or_default();
    format!("column `{column}` is NOT NULL and got nothing")
}

/// Names the index: the message itself names its columns, or its name when it is on an expression.
fn unique(told: &dyn DatabaseError, table: Option<&Table>) -> String {
    let said = after_colon(told);
    if let Some(index) = said.strip_prefix("index ") {
        return format!("unique index `{}` already has such a row", index.trim_matches('\''));
    }
    let columns: Vec<_> = said.split(", ").map(|column| column.rsplit('.').next().unwrap_or_default()).collect();
    let index = table.and_then(|table| {
        let same = |index: &&super::inspect::UniqueIndex| index.columns.iter().map(String::as_str).eq(columns.iter().copied());
        table.schema.unique_indexes.iter().find(same)
    });
    let name = match index.map(|index| index.name.as_str()) {
        Some(name @ ("primary key" | "unique constraint")) => format!("the {name}"),
        Some(name) => format!("unique index `{name}`"),
        None => "a unique index".to_owned(),
    };
    let columns: Vec<_> = columns.iter().map(|column| format!("`{column}`")).collect();
    format!("{name} on {} already has a row with these values", columns.join(", "))
}

fn foreign_key() -> String {
    "a foreign key constraint refuses it: the row it refers to is not there, or rows still refer to the one that goes".to_owned()
}

fn other(told: &dyn DatabaseError, code: i32) -> String {
    match code {
        BUSY | LOCKED => "it is locked by another program".to_owned(),
        READ_ONLY => "it can only be read".to_owned(),
        FULL => "the disk is full".to_owned(),
        _ => told.message().to_owned(),
    }
}

fn after_colon(told: &dyn DatabaseError) -> &str {
    told.message().split_once("failed: ").map_or(told.message(), |(_, rest)| rest)
}
