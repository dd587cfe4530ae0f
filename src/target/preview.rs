//! The statements that a row operation comes to, for those who want to see them before anything is written. The real run makes
//! them from the same texts, but only those that are needed: what is already so is not touched.

use crate::model::change::{Cell, Operation, Row};

use super::bind::Bound;
use super::connection::Stored;
use super::dialect::Dialect;
use super::statement;

/// One statement, perhaps run several times.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    /// When it runs, where that is not always.
    pub when: Option<&'static str>,
    /// Its text.
    pub sql: String,
    /// The parameters in order, for each row it runs for.
    pub runs: Vec<Vec<Cell>>,
}

/// The statements of an operation on a table.
pub fn statements(dialect: Dialect, table: &str, operation: &Operation) -> Vec<Statement> {
    let once = |sql: String, parameters: Vec<Cell>| vec![Statement { when: None, sql, runs: vec![parameters] }];
    match operation {
        Operation::Insert { set } => once(statement::insert(dialect, table, &bound(set)), set.clone()),
        Operation::Upsert { key, set } => {
            once(statement::insert_or_update(dialect, table, &bound(key), &bound(set)), [key.as_slice(), set].concat())
        }
        Operation::Delete { key } => once(statement::delete(dialect, table, &bound(key)), key.clone()),
        Operation::Replace { of, rows } => match rows.as_slice() {
            [] => once(statement::delete(dialect, table, &bound(of)), of.clone()),
            [first, ..] => replace(dialect, table, of, first, rows),
        },
    }
}

fn replace(dialect: Dialect, table: &str, of: &[Cell], first: &Row, rows: &[Row]) -> Vec<Statement> {
    let parent = bound(of);
    let columns: Vec<String> = first.key.iter().chain(&first.set).map(|cell| cell.column.clone()).collect();
    let present = statement::select(dialect, table, &columns, &parent);
    let stale = statement::delete_of(dialect, table, &parent, &bound(&first.key));
    let mut all = vec![
        Statement { when: Some("what is there"), sql: present, runs: vec![of.to_vec()] },
        Statement { when: Some("for each row that is not in the list, by its key"), sql: stale, runs: vec![of.to_vec()] },
    ];
    for row in rows.iter().filter(|row| !row.set.is_empty()) {
        let sql = statement::update_of(dialect, table, &parent, &bound(&row.key), &bound(&row.set));
        add(&mut all, "for each that is there with other values", sql, [of, &row.key, &row.set].concat());
    }
    for row in rows {
        let cells = [of, &row.key, &row.set].concat();
        add(&mut all, "for each that is not there", statement::insert(dialect, table, &bound(&cells)), cells);
    }
    all
}

/// Adds a run to the statement with this text.
fn add(all: &mut Vec<Statement>, when: &'static str, sql: String, parameters: Vec<Cell>) {
    match all.iter_mut().find(|known| known.sql == sql) {
        Some(known) => known.runs.push(parameters),
        None => all.push(Statement { when: Some(when), sql, runs: vec![parameters] }),
    }
}

/// The texts depend on the columns' names alone.
fn bound(cells: &[Cell]) -> Vec<Bound> {
    cells.iter().map(|cell| Bound { column: cell.column.clone(), value: Stored::Null }).collect()
}
