//! Operations on one row: insert, upsert, update, move, delete. Each says how many rows it changed; what is already so is not touched.

use crate::model::change::Cell;
use crate::model::failure::Failure;

use super::bind::{Bound, Table, slots, values};
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

/// The rows with this key brought to these values; those that are not there are not made.
pub(super) async fn update(connection: &mut Connection, table: &Table, key: &[Cell], set: &[Cell]) -> Result<Counts, Failure> {
    let (key, set) = (table.bind_key(key)?, table.bind(set)?);
    table.reject_twice(&[&key, &set])?;
    Ok(update_found(connection, table, &key, &set).await?.unwrap_or_default())
}

/// The row of one key gets another one. Where it is not, nothing happens; where both are, the old one goes.
pub(super) async fn rename(connection: &mut Connection, table: &Table, from: &[Cell], to: &[Cell]) -> Result<Counts, Failure> {
    let (from, to) = (table.bind_key(from)?, table.bind_key(to)?);
    table.reject_twice(&[&from])?;
    table.reject_twice(&[&to])?;
    if values(&from) == values(&to) {
        return Ok(Counts::default());
    }
    // both are locked in one order, whichever way the row moves
    let mut keys = [(&from, false), (&to, false)];
    keys.sort_by_cached_key(|(key, _)| format!("{:?}", values(*key)));
    for (key, is_there) in &mut keys {
        let find = statement::find_same(table.dialect, &table.quoted, &slots(*key), &[]);
        *is_there = !table.fetch(connection, &find, &[key]).await?.is_empty();
    }
    let is_there = |wanted: &[Bound]| keys.iter().any(|(key, is_there)| *is_there && values(*key) == values(wanted));
    match (is_there(&from), is_there(&to)) {
        (false, _) => Ok(Counts::default()),
        (true, true) => {
            let sql = statement::delete(table.dialect, &table.quoted, &slots(&from));
            let deleted = table.execute(connection, &sql, &[&from]).await?;
            Ok(Counts { deleted, ..Counts::default() })
        }
        (true, false) => {
            let sql = statement::update_found(table.dialect, &table.quoted, &slots(&from), &slots(&to));
            let updated = table.execute(connection, &sql, &[&from, &to]).await?;
            Ok(Counts { updated, ..Counts::default() })
        }
    }
}

/// The rows with this key are marked as gone; those that are marked keep their mark.
pub(super) async fn soft_delete(
    connection: &mut Connection,
    table: &Table,
    key: &[Cell],
    mark: &Cell,
) -> Result<Counts, Failure> {
    let (key, mark) = (table.bind_key(key)?, table.bind(std::slice::from_ref(mark))?);
    table.reject_twice(&[&key, &mark])?;
    let sql = statement::mark_gone(table.dialect, &table.quoted, &slots(&key), &slots(&mark));
    let updated = table.execute(connection, &sql, &[&key, &mark]).await?;
    Ok(Counts { updated, ..Counts::default() })
}

/// The row with this key goes, if it is there.
pub(super) async fn delete(connection: &mut Connection, table: &Table, key: &[Cell]) -> Result<Counts, Failure> {
    let key = table.bind_key(key)?;
    table.reject_twice(&[&key])?;
    let sql = statement::delete(table.dialect, &table.quoted, &slots(&key));
    let deleted = table.execute(connection, &sql, &[&key]).await?;
    Ok(Counts { deleted, ..Counts::default() })
}

/// None when there is no row with this key. What is already so is not touched. Where rows most likely change, they are changed at once: only
/// when none did, it has to be looked whether there is one.
async fn update_found(
    connection: &mut Connection,
    table: &Table,
    key: &[Bound],
    set: &[Bound],
) -> Result<Option<Counts>, Failure> {
    let (dialect, name) = (table.dialect, &table.quoted);
    if !set.is_empty() && connection.expects_change(name) {
        let updated = change_differing(connection, table, key, set).await?;
        if updated > 0 {
            return Ok(Some(Counts { updated, ..Counts::default() }));
        }
    }
    let found = table.fetch(connection, &statement::find_same(dialect, name, &slots(key), &slots(set)), &[key, set]).await?;
    let is_so = found.iter().all(|row| row.first() == Some(&Stored::Integer(1)));
    connection.expect_change(name, !is_so);
    match (found.as_slice(), is_so) {
        ([], _) => Ok(None),
        (_, true) => Ok(Some(Counts::default())),
        (_, false) => {
            let updated = change_differing(connection, table, key, set).await?;
            Ok(Some(Counts { updated, ..Counts::default() }))
        }
    }
}

async fn change_differing(connection: &mut Connection, table: &Table, key: &[Bound], set: &[Bound]) -> Result<u64, Failure> {
    let sql = statement::update_differing(table.dialect, &table.quoted, &slots(key), &slots(set));
    table.execute(connection, &sql, &[key, set]).await
}

/// Where the engine can, a row that another transaction made in the meantime is updated; where it cannot, or would take a row for this
/// one whose key only looks alike, the conflict is an error that runs the whole transaction again.
async fn insert_keyed(connection: &mut Connection, table: &Table, key: &[Bound], set: &[Bound]) -> Result<Counts, Failure> {
    let (dialect, name) = (table.dialect, &table.quoted);
    let is_unique = table.schema.unique_index(dialect, key.iter().map(Bound::name)).is_some();
    let folds = key.iter().any(|bound| bound.slot.folds);
    let sql = match is_unique && dialect.names_conflict() && !folds {
        true => statement::insert_or_update(dialect, name, &slots(key), &slots(set)),
        false => {
            connection.relies_on_look();
            statement::insert(dialect, name, &slots(key.iter().chain(set)))
        }
    };
    let inserted = table.execute(connection, &sql, &[key, set]).await?;
    Ok(Counts { inserted, ..Counts::default() })
}
