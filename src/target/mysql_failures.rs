//! What MySQL and MariaDB say when a statement fails, by their error numbers.

use sqlx::mysql::MySqlDatabaseError;

use super::bind::Table;
use super::failures::{FOREIGN_KEY, Told, Trouble, has_row_already};

/// In words, with what follows from it.
pub(super) fn told(error: &MySqlDatabaseError, table: Option<&Table>) -> Told {
    let number = error.number();
    let trouble = match number {
        1213 | 1020 => Trouble::Collision,
        1062 => Trouble::Duplicate,
        1205 => Trouble::Locked,
        1053 | 1077 | 1927 | 2006 | 2013 | 3169 | 4031 => Trouble::Disconnected,
        _ => Trouble::Other,
    };
    let (refused, reason) = match number {
        1062 => (true, unique(error.message(), table)),
        1048 | 1364 => (true, format!("column `{}` is NOT NULL and got nothing", quoted(error.message()))),
        1216 | 1217 | 1451 | 1452 => (true, FOREIGN_KEY.to_owned()),
        3819 | 4025 => (true, format!("the check `{}` refuses the row", check(error.message(), table))),
        1264 | 1265 | 1292 | 1366 | 1406 | 1411 | 1416 | 1690 | 3140 | 3156 => (true, error.message().to_owned()),
        1205 => (false, "it is locked by another program".to_owned()),
        1290 | 1792 | 1836 => (false, "it can only be read".to_owned()),
        1021 | 1114 => (false, "the disk is full".to_owned()),
        _ => (false, error.message().to_owned()),
    };
    Told { reason, refused, trouble }
}

/// `Duplicate entry 'x' for key 'jobs.jobs_title'` (MySQL), `… for key 'jobs_title'` (MariaDB).
fn unique(message: &str, table: Option<&Table>) -> String {
    let key = message.rsplit_once("for key '").map_or("", |(_, rest)| rest.trim_end_matches('\''));
    let indexes = table.map(|table| table.schema.unique_indexes.as_slice()).unwrap_or_default();
    let bare = |name: &str| key == name || key.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    let is_primary = bare("PRIMARY");
    let index = indexes.iter().find(|index| if is_primary { index.name == "primary key" } else { bare(&index.name) });
    let Some(index) = index else { return format!("unique index `{key}` already has such a row") };
    let columns: Vec<_> = index.columns.iter().map(String::as_str).collect();
    has_row_already(Some(&index.name), &columns, table)
}

/// `Column 'title' cannot be null`, `Field 'title' doesn't have a default value`.
fn quoted(message: &str) -> &str {
    message.split('\'').nth(1).unwrap_or_default()
}

/// ``CONSTRAINT `jobs.quantity` failed for `db`.`jobs` `` (MariaDB), `Check constraint 'positive' is violated.` (MySQL).
fn check(message: &str, table: Option<&Table>) -> String {
    let name = message.split(['`', '\'']).nth(1).unwrap_or_default();
    let prefix = table.map(|table| format!("{}.", table.schema.name)).unwrap_or_default();
    name.strip_prefix(&prefix).unwrap_or(name).to_owned()
}
