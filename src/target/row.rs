//! Operations on one row: insert, upsert, delete. Each says how many rows it changed; what is already so is not touched.

use crate::model::change::Cell;
use crate::model::failure::Failure;

use super::bind::{Bound, Table, slots};
use super::connection::Connection;
use super::statement;
use super::stored::Stored;

/// How many rows one operation changed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Counts {
    /// Rows added.
    pub(super) inserted: u64,
    /// Rows brought to new values.
    pub(super) updated: u64,
    /// Rows taken away.
    pub(super) deleted: u64,
}

/// A new row.
pub(super) async fn insert(connection: &mut Connection, table: &Table, set: &[Cell]) -> Result<Counts, Failure> {
    let set = table.bind(set)?;
    table.reject_twice(&[&set])?;
    let sql = statement::insert(table.dialect, &table.quoted, &slots(&set));
    let inserted = table.execute(connection, &sql, &[&set]).await?;
    Ok(Counts { inserted, ..Counts::default() })
}

/// The row with this key, made or brought to these values. An existing row is updated by what is named alone, so a write
/// that leaves out NOT NULL columns works on it; without a unique index on the key, all rows with the key are updated.
pub(super) async fn upsert(connection: &mut Connection, table: &Table, key: &[Cell], set: &[Cell]) -> Result<Counts, Failure> {
    let (key, set) = (table.bind_key(key)?, table.bind(set)?);
    table.reject_twice(&[&key, &set])?;
    match update_found(connection, table, &key, &set).await? {
        Some(counts) => Ok(counts),
        None => insert_keyed(connection, table, &key, &set).await,
    }
}

/// The row with this key goes, if it is there.
pub(super) async fn delete(connection: &mut Connection, table: &Table, key: &[Cell]) -> Result<Counts, Failure> {
    let key = table.bind_key(key)?;
    table.reject_twice(&[&key])?;
    let sql = statement::delete(table.dialect, &table.quoted, &slots(&key));
    let deleted = table.execute(connection, &sql, &[&key]).await?;
    Ok(Counts { deleted, ..Counts::default() })
}

/// None when there is no row with this key. What is already so is not touched.
async fn update_found(
    connection: &mut Connection,
    table: &Table,
    key: &[Bound],
    set: &[Bound],
) -> Result<Option<Counts>, Failure> {
    let (dialect, name) = (table.dialect, &table.quoted);
    let found = table.fetch(connection, &statement::find_same(dialect, name, &slots(key), &slots(set)), &[key, set]).await?;
    if found.is_empty() {
        return Ok(None);
    }
    if found.iter().all(|row| row.first() == Some(&Stored::Integer(1))) {
        return Ok(Some(Counts::default()));
    }
    let sql = statement::update_differing(dialect, name, &slots(key), &slots(set));
    let updated = table.execute(connection, &sql, &[key, set]).await?;
    Ok(Some(Counts { updated, ..Counts::default() }))
}

/// Where the engine can, a row that another transaction made in the meantime is updated; where it cannot, the conflict is an error
/// that runs the whole transaction again.
async fn insert_keyed(connection: &mut Connection, table: &Table, key: &[Bound], set: &[Bound]) -> Result<Counts, Failure> {
    let (dialect, name) = (table.dialect, &table.quoted);
    let is_unique = table.schema.unique_index(dialect, key.iter().map(Bound::name)).is_some();
    let sql = match is_unique && dialect.names_conflict() {
        true => statement::insert_or_update(dialect, name, &slots(key), &slots(set)),
        false => statement::insert(dialect, name, &slots(key.iter().chain(set))),
    };
    let inserted = table.execute(connection, &sql, &[key, set]).await?;
    Ok(Counts { inserted, ..Counts::default() })
}
