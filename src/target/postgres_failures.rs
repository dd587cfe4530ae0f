//! What PostgreSQL says when a statement fails, by its SQLSTATE.

use sqlx::postgres::PgDatabaseError;

use super::bind::Table;
use super::failures::{FOREIGN_KEY, Told, Trouble, has_row_already};

/// In words, with what follows from it.
pub(super) fn told(error: &PgDatabaseError, table: Option<&Table>) -> Told {
    let state = error.code();
    let refused = state.starts_with("22") || state.starts_with("23") || state == "44000";
    let trouble = match state {
        "40001" | "40P01" => Trouble::Collision,
        "23505" => Trouble::Duplicate,
        "55P03" => Trouble::Locked,
        _ if state.starts_with("08") || state.starts_with("57P") => Trouble::Disconnected,
        _ => Trouble::Other,
    };
    let constraint = error.constraint().unwrap_or_default();
    let reason = match state {
        "23502" => format!("column `{}` is NOT NULL and got nothing", error.column().unwrap_or_default()),
        "23505" => unique(constraint, table),
        "23503" => FOREIGN_KEY.to_owned(),
        "23514" => format!("the check `{constraint}` refuses the row"),
        "25006" => "it can only be read".to_owned(),
        "55P03" => "it is locked by another program".to_owned(),
        "53100" => "the disk is full".to_owned(),
        _ => error.message().to_owned(),
    };
    Told { reason, refused, trouble }
}

fn unique(constraint: &str, table: Option<&Table>) -> String {
    let Some(table) = table else { return format!("unique index `{constraint}` already has such a row") };
    let indexes = &table.schema.unique_indexes;
    let named = indexes.iter().find(|index| index.name == constraint);
    // the primary key is known by that name alone
    let primary = indexes.iter().find(|index| index.name == "primary key" && constraint.ends_with("_pkey"));
    match named.or(primary) {
        Some(index) => {
            let columns: Vec<_> = index.columns.iter().map(String::as_str).collect();
            has_row_already(Some(&index.name), &columns, Some(table))
        }
        None => format!("unique index `{constraint}` already has such a row"),
    }
}
