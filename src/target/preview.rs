//! The statements that a row operation comes to, for those who want to see them before anything is written. The real run makes
//! them from the same texts, but only those that are needed: what is already so is not touched.

use crate::model::change::{Cell, Operation, Row};

use super::dialect::{Dialect, Slot};
use super::statement::{self, Sql};

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
    let mut preview = Preview { dialect, statements: Vec::new() };
    let table = dialect.quote_table(table);
    match operation {
        Operation::Insert { set } => preview.add(None, statement::insert(dialect, &table, &slots(set)), &[set]),
        Operation::Upsert { key, set } => preview.upsert(&table, key, set),
        Operation::Update { key, set } => {
            preview.add(None, statement::update_differing(dialect, &table, &slots(key), &slots(set)), &[key, set]);
        }
        Operation::Move { from, to } => preview.rename(&table, from, to),
        Operation::SoftDelete { key, mark } => {
            let mark = std::slice::from_ref(mark);
            preview.add(None, statement::mark_gone(dialect, &table, &slots(key), &slots(mark)), &[key, mark]);
        }
        Operation::Delete { key } => preview.add(None, statement::delete(dialect, &table, &slots(key)), &[key]),
        Operation::Replace { of, rows, soft } => match (rows.as_slice(), soft) {
            ([], Some(mark)) => {
                let mark = std::slice::from_ref(mark);
                preview.add(None, statement::mark_gone(dialect, &table, &slots(of), &slots(mark)), &[of, mark]);
            }
            ([], None) => preview.add(None, statement::delete(dialect, &table, &slots(of)), &[of]),
            ([first, ..], soft) => preview.replace(&table, (of, first, rows), soft.as_ref()),
        },
    }
    preview.statements
}

struct Preview {
    dialect: Dialect,
    statements: Vec<Statement>,
}

impl Preview {
    fn upsert(&mut self, table: &str, key: &[Cell], set: &[Cell]) {
        let dialect = self.dialect;
        if dialect.names_conflict() {
            return self.add(None, statement::insert_or_update(dialect, table, &slots(key), &slots(set)), &[key, set]);
        }
        if !set.is_empty() {
            let update = statement::update_differing(dialect, table, &slots(key), &slots(set));
            self.add(Some("when it is there with other values"), update, &[key, set]);
        }
        let insert = statement::insert(dialect, table, &slots(&[key, set].concat()));
        self.add(Some("when it is not there"), insert, &[key, set]);
    }

    fn rename(&mut self, table: &str, from: &[Cell], to: &[Cell]) {
        let dialect = self.dialect;
        let update = statement::update_found(dialect, table, &slots(from), &slots(to));
        self.add(Some("when there is no row with the new key"), update, &[from, to]);
        self.add(Some("when there is one"), statement::delete(dialect, table, &slots(from)), &[from]);
    }

    fn replace(&mut self, table: &str, (of, first, rows): (&[Cell], &Row, &[Row]), soft: Option<&Cell>) {
        let (dialect, parent) = (self.dialect, slots(of));
        let columns = [slots(&first.key), slots(&first.set)].concat();
        self.add(Some("what is there"), statement::select(dialect, table, &columns, &parent), &[of]);
        // its key is that of a row that is there, not one of the list
        let stale = match soft {
            Some(mark) => statement::update_of(dialect, table, &parent, &slots(&first.key), &slots(std::slice::from_ref(mark))),
            None => statement::delete_of(dialect, table, &parent, &slots(&first.key)),
        };
        let runs = vec![of.iter().chain(soft).cloned().collect()];
        let when = Some("for each row that is not in the list, by its key");
        self.statements.push(Statement { when, sql: stale.text, runs });
        for row in rows.iter().filter(|row| !row.set.is_empty()) {
            let sql = statement::update_of(dialect, table, &parent, &slots(&row.key), &slots(&row.set));
            self.add(Some("for each that is there with other values"), sql, &[of, &row.key, &row.set]);
        }
        for row in rows {
            let cells = [of, &row.key, &row.set].concat();
            self.add(Some("for each that is not there"), statement::insert(dialect, table, &slots(&cells)), &[&cells]);
        }
    }

    /// Adds a run to the statement with this text, which may be there.
    fn add(&mut self, when: Option<&'static str>, sql: Sql, parameters: &[&[Cell]]) {
        let run = sql.arrange(self.dialect, parameters.concat());
        match self.statements.iter_mut().find(|known| known.sql == sql.text) {
            Some(known) => known.runs.push(run),
            None => self.statements.push(Statement { when, sql: sql.text, runs: vec![run] }),
        }
    }
}

/// Without a live table, the texts depend on the columns' names alone.
fn slots(cells: &[Cell]) -> Vec<Slot> {
    cells.iter().map(|cell| Slot::named(&cell.column)).collect()
}
