//! Operations on one row: insert, upsert, delete. Each says how many rows it changed; what is already so is not touched.

use crate::model::change::Cell;
use crate::model::failure::Failure;

use super::bind::{Table, values};
use super::connection::{Connection, Stored};
use super::statement;

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
    let sql = statement::insert(table.dialect, &table.name, &set);
    let inserted = connection.execute(&sql, values(&set)).await.map_err(|error| table.failure(&error))?;
    Ok(Counts { inserted, ..Counts::default() })
}

/// The row with this key, made or brought to these values. An existing row is updated by what is named alone, so a write
/// that leaves out NOT NULL columns works on it; without a unique index on the key, all rows with the key are updated.
pub(super) async fn upsert(connection: &mut Connection, table: &Table, key: &[Cell], set: &[Cell]) -> Result<Counts, Failure> {
    let (key, set) = (table.bind_key(key)?, table.bind(set)?);
    table.reject_twice(&[&key, &set])?;
    let (dialect, name) = (table.dialect, &table.name);
    let both = || values(key.iter().chain(&set));
    let found = connection.fetch(&statement::find_same(dialect, name, &key, &set), both()).await;
    let found = found.map_err(|error| table.failure(&error))?;
    if found.is_empty() {
        let is_unique = table.schema.unique_index(dialect, key.iter().map(|bound| bound.column.as_str())).is_some();
        let sql = match is_unique {
            true => statement::insert_or_update(dialect, name, &key, &set),
            false => statement::insert(dialect, name, &[key.as_slice(), set.as_slice()].concat()),
        };
        let inserted = connection.execute(&sql, both()).await.map_err(|error| table.failure(&error))?;
        return Ok(Counts { inserted, ..Counts::default() });
    }
    if found.iter().all(|row| row.first() == Some(&Stored::Integer(1))) {
        return Ok(Counts::default());
    }
    let sql = statement::update_differing(dialect, name, &key, &set);
    let updated = connection.execute(&sql, both()).await.map_err(|error| table.failure(&error))?;
    Ok(Counts { updated, ..Counts::default() })
}

/// The row with this key goes, if it is there.
pub(super) async fn delete(connection: &mut Connection, table: &Table, key: &[Cell]) -> Result<Counts, Failure> {
    let key = table.bind_key(key)?;
    table.reject_twice(&[&key])?;
    let sql = statement::delete(table.dialect, &table.name, &key);
    let deleted = connection.execute(&sql, values(&key)).await.map_err(|error| table.failure(&error))?;
    Ok(Counts { deleted, ..Counts::default() })
}
