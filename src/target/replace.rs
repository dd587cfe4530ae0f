//! Replace: the rows of a parent become exactly a list. Reads what is there once, then deletes, updates and inserts only
//! what differs, in that order, so that a new row may take a value that a gone one held.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use crate::model::change::{Cell, Row};
use crate::model::failure::{Failure, Step};

use super::bind::{Bound, Table, slots, values};
use super::connection::Connection;
use super::decode::decode;
use super::dialect::Slot;
use super::row::{self, Counts};
use super::statement;
use super::stored::Stored;

/// A row of the list in the table's own terms.
struct Wanted {
    key: Vec<Bound>,
    set: Vec<Bound>,
}

/// A row of the parent that is there: column to value, for the columns that the list names.
type Present = HashMap<String, Stored>;

/// What is to be done to get from what is there to the list.
#[derive(Default)]
struct Difference<'a> {
    gone: Vec<Vec<Bound>>,
    changed: Vec<&'a Wanted>,
    new: Vec<&'a Wanted>,
}

/// The rows that `of` finds become exactly `rows`; with `soft`, those that would go stay and are marked.
pub(super) async fn replace(
    connection: &mut Connection,
    table: &Table,
    of: &[Cell],
    rows: &[Row],
    soft: Option<&Cell>,
) -> Result<Counts, Failure> {
    if let (Some(mark), []) = (soft, rows) {
        return row::soft_delete(connection, table, of, mark).await;
    }
    let parent = table.bind_key(of)?;
    let mark = table.bind(soft.map(std::slice::from_ref).unwrap_or_default())?;
    let wanted = bind_rows(table, &parent, of, rows)?;
    let key_columns: Vec<Slot> = wanted.first().map_or_else(Vec::new, |row| slots(&row.key));
    if wanted.is_empty() {
        let sql = statement::delete(table.dialect, &table.quoted, &slots(&parent));
        let deleted = table.execute(connection, &sql, &[&parent]).await?;
        return Ok(Counts { deleted, ..Counts::default() });
    }
    let present = read_present(connection, table, &parent, &wanted).await?;
    let difference = compare(&key_columns, &present, &wanted, &mark);
    carry_out(connection, table, &parent, &difference, &mark).await
}

fn bind_rows(table: &Table, parent: &[Bound], of: &[Cell], rows: &[Row]) -> Result<Vec<Wanted>, Failure> {
    let mut seen = HashSet::new();
    let mut wanted: Vec<Wanted> = Vec::with_capacity(rows.len());
    for row in rows {
        let whole_key: Vec<Cell> = of.iter().chain(&row.key).cloned().collect();
        let key = table.bind_key(&whole_key)?.split_off(of.len());
        let set = table.bind(&row.set)?;
        table.reject_twice(&[parent, &key, &set])?;
        if wanted.first().is_some_and(|first| slots(&first.key) != slots(&key)) {
            let reason = format!("the rows for {table} have different key columns");
            return Err(Failure::permanent(Step::Map, reason));
        }
        if !seen.insert(values(&key)) {
            let shown: serde_json::Map<String, Json> =
                key.iter().map(|bound| (bound.name().to_owned(), bound.value.to_json())).collect();
            let reason = format!("two rows of the list for {table} have the key {}", Json::Object(shown));
            return Err(Failure::permanent(Step::Map, reason));
        }
        wanted.push(Wanted { key, set });
    }
    Ok(wanted)
}

async fn read_present(
    connection: &mut Connection,
    table: &Table,
    parent: &[Bound],
    wanted: &[Wanted],
) -> Result<Vec<Present>, Failure> {
    let mut columns: Vec<Slot> = Vec::new();
    for bound in wanted.iter().flat_map(|row| row.key.iter().chain(&row.set)) {
        if !columns.contains(&bound.slot) {
            columns.push(bound.slot.clone());
        }
    }
    let sql = statement::select(table.dialect, &table.quoted, &columns, &slots(parent));
    let rows = table.fetch(connection, &sql, &[parent]).await?;
    let read = |(slot, value): (&Slot, Stored)| (slot.name.clone(), decode(table.dialect, slot, value));
    Ok(rows.into_iter().map(|row| columns.iter().zip(row).map(read).collect()).collect())
}

/// Rows that share a key, which only a table without a unique index can hold, all go and are made anew. Those that are marked as gone
/// are gone already.
fn compare<'a>(key_columns: &[Slot], present: &[Present], wanted: &'a [Wanted], mark: &[Bound]) -> Difference<'a> {
    let is_marked = |row: &&Present| {
        !mark.is_empty() && mark.iter().all(|bound| row.get(bound.name()).is_some_and(|value| *value != Stored::Null))
    };
    let key_of = |row: &Present| -> Vec<Stored> {
        key_columns.iter().map(|slot| row.get(&slot.name).cloned().unwrap_or(Stored::Null)).collect()
    };
    let mut by_key: HashMap<Vec<Stored>, Vec<&Present>> = HashMap::new();
    let mut order = Vec::new();
    for row in present {
        let rows = by_key.entry(key_of(row)).or_default();
        if rows.is_empty() {
            order.push(key_of(row));
        }
        rows.push(row);
    }
    let mut difference = Difference::default();
    let mut kept = HashSet::new();
    for row in wanted {
        let key = values(&row.key);
        match by_key.get(&key).map(Vec::as_slice) {
            Some([found]) => {
                kept.insert(key);
                if row.set.iter().any(|bound| found.get(bound.name()) != Some(&bound.value)) {
                    difference.changed.push(row);
                }
            }
            _ => difference.new.push(row),
        }
    }
    let is_left = |key: &Vec<Stored>| by_key.get(key).is_some_and(|rows| !rows.iter().all(is_marked));
    for key in order.into_iter().filter(|key| !kept.contains(key) && is_left(key)) {
        let bound = key_columns.iter().zip(key).map(|(slot, value)| Bound { slot: slot.clone(), value });
        difference.gone.push(bound.collect());
    }
    difference
}

async fn carry_out(
    connection: &mut Connection,
    table: &Table,
    parent: &[Bound],
    difference: &Difference<'_>,
    mark: &[Bound],
) -> Result<Counts, Failure> {
    let (dialect, name, of) = (table.dialect, &table.quoted, slots(parent));
    let mut counts = Counts::default();
    for key in difference.gone.iter().filter(|_| !mark.is_empty()) {
        let sql = statement::update_of(dialect, name, &of, &slots(key), &slots(mark));
        counts.updated += table.execute(connection, &sql, &[parent, key, mark]).await?;
    }
    for key in difference.gone.iter().filter(|_| mark.is_empty()) {
        let sql = statement::delete_of(dialect, name, &of, &slots(key));
        counts.deleted += table.execute(connection, &sql, &[parent, key]).await?;
    }
    for row in &difference.changed {
        let sql = statement::update_of(dialect, name, &of, &slots(&row.key), &slots(&row.set));
        counts.updated += table.execute(connection, &sql, &[parent, &row.key, &row.set]).await?;
    }
    for row in &difference.new {
        let sql = statement::insert(dialect, name, &slots(parent.iter().chain(&row.key).chain(&row.set)));
        counts.inserted += table.execute(connection, &sql, &[parent, &row.key, &row.set]).await?;
    }
    Ok(counts)
}
