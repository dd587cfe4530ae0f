//! What SQLite says when a statement fails.

use sqlx::error::{DatabaseError, ErrorKind};

use super::bind::Table;
use super::failures::{FOREIGN_KEY, Told, Trouble, has_row_already};

// SQLite's primary result codes.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READ_ONLY: i32 = 8;
const FULL: i32 = 13;
const TOO_BIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;

/// In words, with what follows from it.
pub(super) fn told(error: &dyn DatabaseError, table: Option<&Table>) -> Told {
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0) & 0xff;
    let (refused, reason) = match error.kind() {
        ErrorKind::NotNullViolation => (true, not_null(error)),
        ErrorKind::UniqueViolation => (true, unique(error, table)),
        ErrorKind::CheckViolation => (true, format!("the check `{}` refuses the row", after_colon(error))),
        ErrorKind::ForeignKeyViolation => (true, FOREIGN_KEY.to_owned()),
        _ => (matches!(code, CONSTRAINT | TOO_BIG | MISMATCH), other(error, code)),
    };
    Told { reason, refused, trouble: Trouble::Other }
}

fn not_null(error: &dyn DatabaseError) -> String {
    let column = after_colon(error).rsplit('.').next().unwrap_or_default();
    format!("column `{column}` is NOT NULL and got nothing")
}

/// Names the index: the message itself names its columns, or its name when it is on an expression.
fn unique(error: &dyn DatabaseError, table: Option<&Table>) -> String {
    let said = after_colon(error);
    if let Some(index) = said.strip_prefix("index ") {
        return format!("unique index `{}` already has such a row", index.trim_matches('\''));
    }
    let columns: Vec<_> = said.split(", ").map(|column| column.rsplit('.').next().unwrap_or_default()).collect();
    let index = table.and_then(|table| {
        let same = |index: &&super::inspect::UniqueIndex| index.columns.iter().map(String::as_str).eq(columns.iter().copied());
        table.schema.unique_indexes.iter().find(same)
    });
    has_row_already(index.map(|index| index.name.as_str()), &columns, table)
}

fn other(error: &dyn DatabaseError, code: i32) -> String {
    match code {
        BUSY | LOCKED => "it is locked by another program".to_owned(),
        READ_ONLY => "it can only be read".to_owned(),
        FULL => "the disk is full".to_owned(),
        _ => error.message().to_owned(),
    }
}

fn after_colon(error: &dyn DatabaseError) -> &str {
    error.message().split_once("failed: ").map_or(error.message(), |(_, rest)| rest)
}
