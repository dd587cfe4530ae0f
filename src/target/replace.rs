//! Replace: the rows of a parent become exactly a list. Reads what is there once, then deletes, updates and inserts only
//! what differs, in that order, so that a new row may take a value that a gone one held.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use crate::model::change::{Cell, Row};
use crate::model::failure::{Failure, Step};

use super::bind::{Bound, Table, values};
use super::connection::{Connection, Stored};
use super::row::Counts;
use super::statement;

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

/// The rows that `of` finds become exactly `rows`.
pub(super) async fn replace(connection: &mut Connection, table: &Table, of: &[Cell], rows: &[Row]) -> Result<Counts, Failure> {
    let parent = table.bind_key(of)?;
    let wanted = bind_rows(table, &parent, of, rows)?;
    let key_columns: Vec<String> = wanted.first().map_or_else(Vec::new, |row| names(&row.key));
    if wanted.is_empty() {
        let sql = statement::delete(table.dialect, &table.name, &parent);
        let deleted = connection.execute(&sql, values(&parent)).await.map_err(|error| table.failure(&error))?;
        return Ok(Counts { deleted, ..Counts::default() });
    }
    let present = read_present(connection, table, &parent, &wanted).await?;
    let difference = compare(&key_columns, &present, &wanted);
    carry_out(connection, table, &parent, &difference).await
}

fn bind_rows(table: &Table, parent: &[Bound], of: &[Cell], rows: &[Row]) -> Result<Vec<Wanted>, Failure> {
    let mut seen = HashSet::new();
    let mut wanted: Vec<Wanted> = Vec::with_capacity(rows.len());
    for row in rows {
        let whole_key: Vec<Cell> = of.iter().chain(&row.key).cloned().collect();
        let key = table.bind_key(&whole_key)?.split_off(of.len());
        let set = table.bind(&row.set)?;
        table.reject_twice(&[parent, &key, &set])?;
        if wanted.first().is_some_and(|first| names(&first.key) != names(&key)) {
            let reason = format!("the rows for {table} have different key columns");
            return Err(Failure::permanent(Step::Map, reason));
        }
        if !seen.insert(values(&key)) {
            let shown: serde_json::Map<String, Json> =
                key.iter().map(|bound| (bound.column.clone(), bound.value.to_json())).collect();
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
    let mut columns = Vec::new();
    for bound in wanted.iter().flat_map(|row| row.key.iter().chain(&row.set)) {
        if !columns.contains(&bound.column) {
            columns.push(bound.column.clone());
        }
    }
    let sql = statement::select(table.dialect, &table.name, &columns, parent);
    let rows = connection.fetch(&sql, values(parent)).await.map_err(|error| table.failure(&error))?;
    Ok(rows.into_iter().map(|row| columns.iter().cloned().zip(row).collect()).collect())
}

/// Rows that share a key, which only a table without a unique index can hold, all go and are made anew.
fn compare<'a>(key_columns: &[String], present: &[Present], wanted: &'a [Wanted]) -> Difference<'a> {
    let key_of = |row: &Present| -> Vec<Stored> {
        key_columns.iter().map(|column| row.get(column).cloned().unwrap_or(Stored::Null)).collect()
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
                if row.set.iter().any(|bound| found.get(&bound.column) != Some(&bound.value)) {
                    difference.changed.push(row);
                }
            }
            _ => difference.new.push(row),
        }
    }
    for key in order.into_iter().filter(|key| !kept.contains(key)) {
        let bound = key_columns.iter().zip(key).map(|(column, value)| Bound { column: column.clone(), value });
        difference.gone.push(bound.collect());
    }
    difference
}

async fn carry_out(
    connection: &mut Connection,
    table: &Table,
    parent: &[Bound],
    difference: &Difference<'_>,
) -> Result<Counts, Failure> {
    let (dialect, name) = (table.dialect, &table.name);
    let mut counts = Counts::default();
    for key in &difference.gone {
        let sql = statement::delete_of(dialect, name, parent, key);
        counts.deleted += run(connection, table, &sql, parent, key, &[]).await?;
    }
    for row in &difference.changed {
        let sql = statement::update_of(dialect, name, parent, &row.key, &row.set);
        counts.updated += run(connection, table, &sql, parent, &row.key, &row.set).await?;
    }
    for row in &difference.new {
        let sql = statement::insert(dialect, name, &[parent, &row.key, &row.set].concat());
        counts.inserted += run(connection, table, &sql, parent, &row.key, &row.set).await?;
    }
    Ok(counts)
}

async fn run(
    connection: &mut Connection,
    table: &Table,
    sql: &str,
    parent: &[Bound],
    key: &[Bound],
    set: &[Bound],
) -> Result<u64, Failure> {
    let values = values(parent.iter().chain(key).chain(set));
    connection.execute(sql, values).await.map_err(|error| table.failure(&error))
}

fn names(columns: &[Bound]) -> Vec<String> {
    columns.iter().map(|bound| bound.column.clone()).collect()
}
