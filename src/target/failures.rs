//! What a database said went wrong, in words for the person who has to mend it, and whether another try may help. What each
//! engine says is read in the file of its name.

use std::io::ErrorKind;

use crate::model::failure::{Failure, Step};

use super::bind::Table;
use super::{mysql_failures, postgres_failures, sqlite_failures};

/// What a statement ran into, as far as it decides what happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// Another transaction stood in the way; the same again will do.
    Collision,
    /// A unique index has such a row.
    Duplicate,
    /// A row or table is locked, and the wait for it took too long.
    Locked,
    /// The connection is of no use any more.
    Disconnected,
    /// Anything else.
    Other,
}

/// What a database said, read.
pub(super) struct Told {
    /// In words.
    pub(super) reason: String,
    /// Whether the values are to blame: they will be refused again.
    pub(super) refused: bool,
    /// What kind it is.
    pub(super) trouble: Trouble,
}

/// What an error of any engine says.
fn told(error: &sqlx::Error, table: Option<&Table>) -> Told {
    let disconnected = |error: &sqlx::Error| match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Trouble::Disconnected,
        _ => Trouble::Other,
    };
    let Some(database_error) = error.as_database_error() else {
        let reason = match error {
            // in our own words, see `patience`
            sqlx::Error::Io(error) if error.kind() == ErrorKind::TimedOut => error.to_string(),
            error => error.to_string(),
        };
        return Told { reason, refused: false, trouble: disconnected(error) };
    };
    if let Some(error) = database_error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return postgres_failures::told(error, table);
    }
    if let Some(error) = database_error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return mysql_failures::told(error, table);
    }
    sqlite_failures::told(database_error, table)
}

/// What kind of trouble an error is.
pub(super) fn trouble(error: &sqlx::Error) -> Trouble {
    told(error, None).trouble
}

/// A statement's error as a failure. What a value broke is permanent; what the database or its tables lack may be mended.
pub(super) fn of(error: &sqlx::Error, database: &str, table: Option<&Table>) -> Failure {
    let subject = table.map_or_else(|| format!("database `{database}`"), ToString::to_string);
    let Told { reason, refused, .. } = told(error, table);
    match refused {
        true => Failure::permanent(Step::Write, format!("{subject}: {reason}")),
        false => Failure::passing(Step::Write, format!("{subject}: {reason}")),
    }
}

/// An index that has a row already, by its name and columns; the catalogue's words for those without a name of their own.
pub(super) fn has_row_already(index: Option<&str>, columns: &[&str], table: Option<&Table>) -> String {
    let name = match index {
        Some(name @ ("primary key" | "unique constraint")) => format!("the {name}"),
        Some(name) => format!("unique index `{name}`"),
        None => "a unique index".to_owned(),
    };
    let quoted: Vec<_> = columns.iter().map(|column| format!("`{column}`")).collect();
    let said = format!("{name} on {} already has a row with these values", quoted.join(", "));
    let own = table.map(|table| table.schema.columns.as_slice()).unwrap_or_default();
    match own.iter().find(|column| column.folds && columns.contains(&column.name.as_str())) {
        Some(column) => format!(
            "{said}; the collation of `{}` may take a text for equal that differs in case, accents or spaces at its end",
            column.name
        ),
        None => said,
    }
}

/// What refuses a reference, in either direction.
pub(super) const FOREIGN_KEY: &str =
    "a foreign key constraint refuses it: the row it refers to is not there, or rows still refer to the one that goes";
