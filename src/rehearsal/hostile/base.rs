//! What a test comes to when nothing goes wrong: the answer, what became of its records, and all rows.

use std::collections::{BTreeMap, BTreeSet};

use crate::auth::signature::sign::Placed;
use crate::rehearsal::blank::Blank;
use crate::rehearsal::cases::Case;
use crate::rehearsal::compare::{Row, TableDifference, compare};
use crate::rehearsal::equip::Age;
use crate::rehearsal::project::Project;
use crate::rehearsal::report::{Mismatch, Seen};
use crate::rehearsal::run::{equip, find_column, look_at, mismatches, prepare, receive};
use crate::rehearsal::suite::Suite;
use crate::steps::map::{Column, Write};
use crate::target::Database;
use crate::target::inspect::ColumnKind;

/// Our own tables beside theirs.
const OURS: &str = "hooktable_";
/// What differs from delivery to delivery, however alike they are.
const CHANGING: [&str; 3] = ["received_at", "delivery", "attempt"];

/// The ordinary run of a test.
pub(super) struct Base {
    /// What was seen.
    pub(super) seen: Seen,
    /// What of it is not as the test expects.
    pub(super) mismatches: Vec<Mismatch>,
    /// The credentials.
    pub(super) placed: Vec<Placed>,
    /// How many calls were made before the answer: for the keys of an issuer, say.
    pub(super) calls_at_intake: usize,
    /// How many calls were made after it.
    pub(super) calls_at_work: usize,
    /// How many attempts were made.
    pub(super) attempts: u32,
    /// All rows, by database and table, without what may differ.
    pub(super) rows: Rows,
}

/// Rows by database and table.
pub(super) type Rows = BTreeMap<(String, String), Vec<Row>>;

impl Base {
    /// Runs the test once.
    pub(super) async fn of(suite: &Suite, case: &Case) -> Result<Self, String> {
        let blank = suite.blank().await?;
        let project = Project::new(blank, case.answers.clone()).await?;
        // what comes is worked on afterwards here
        project.tools.store.waiting().close();
        let base = Self::in_project(suite, blank, case, &project).await;
        project.close().await;
        base
    }

    async fn in_project(suite: &Suite, blank: &Blank, case: &Case, project: &Project) -> Result<Self, String> {
        prepare(suite, blank, case, project).await?;
        let equipped = equip(suite, case, project, Age::Fresh).await?;
        let mut seen = receive(project, &equipped.request).await?;
        let calls_at_intake = project.recorded.calls().len();
        project.settle().await?;
        look_at(suite, project, &mut seen).await?;
        Ok(Self {
            mismatches: mismatches(suite, blank, case, project, &seen).await?,
            placed: equipped.placed,
            calls_at_intake,
            calls_at_work: project.recorded.calls().len() - calls_at_intake,
            attempts: seen.records.iter().map(|record| record.attempts).sum(),
            rows: rows(suite, project).await?,
            seen,
        })
    }

    /// How the rows of a project differ from what they should be; `changed` may adjust what is expected of a table.
    pub(super) async fn differences(
        &self,
        suite: &Suite,
        project: &Project,
        expected: &Rows,
    ) -> Result<Vec<TableDifference>, String> {
        let found = rows(suite, project).await?;
        let blank = suite.blank().await?;
        let mut differences = Vec::new();
        for ((name, table), found) in &found {
            let expected = expected.get(&(name.clone(), table.clone())).map_or(&[][..], Vec::as_slice);
            let columns = blank.columns(name, table);
            let kind = |name: &str| find_column(columns, name).map_or(ColumnKind::Unknown, |column| column.kind);
            differences.extend(compare(table, expected, found, kind));
        }
        Ok(differences)
    }
}

/// All rows of all tables that can change, with the columns that are to be the same whenever and however often the delivery comes.
pub(super) async fn rows(suite: &Suite, project: &Project) -> Result<Rows, String> {
    let mut all = Rows::new();
    let (blank, targets) = (suite.blank().await?, &project.tools.targets);
    for database in targets.names().filter_map(|name| targets.database(name)) {
        let can_change = |table: &str| blank.act_by_themselves(database.name()) || is_written(suite, database.name(), table);
        let tables = blank.tables(database.name()).iter().filter(|table| !table.name.starts_with(OURS));
        for table in tables.filter(|table| can_change(&table.name)) {
            let rows = rows_of(suite, database, &table.name).await?;
            all.insert((database.name().to_owned(), table.name.clone()), rows);
        }
    }
    Ok(all)
}

async fn rows_of(suite: &Suite, database: &Database, table: &str) -> Result<Vec<Row>, String> {
    let mut rows = database.rows(table, None, &[]).await.map_err(|failure| failure.reason)?;
    if let Some(kept) = steady_columns(suite, database.name(), table) {
        rows.iter_mut().for_each(|row| row.retain(|column, _| kept.contains(&column.to_ascii_lowercase())));
    }
    Ok(rows)
}

/// The columns that the source writes and that tell neither when nor as which delivery something came; all of a table that it does
/// not write.
fn steady_columns(suite: &Suite, database: &str, table: &str) -> Option<BTreeSet<String>> {
    let writes = suite.source.admission.routes.iter().flat_map(|route| &route.pipeline.writes);
    let own: Vec<&Write> = writes.filter(|write| write.database == database && is_table(write, table)).collect();
    if own.is_empty() {
        return None;
    }
    let columns = || own.iter().flat_map(|write| write.key.iter().chain(&write.of).chain(&write.set));
    let changing: BTreeSet<String> = columns().filter(|column| changes(column)).map(|column| lower(&column.name)).collect();
    let soft = own.iter().filter_map(|write| write.soft.as_deref()).map(lower);
    let changing: BTreeSet<String> = changing.into_iter().chain(soft).collect();
    let tenants = own.iter().filter_map(|write| write.tenant_column.as_deref()).map(lower);
    Some(columns().map(|column| lower(&column.name)).chain(tenants).filter(|name| !changing.contains(name)).collect())
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Whether a route of the source writes to this table.
fn is_written(suite: &Suite, database: &str, table: &str) -> bool {
    let mut writes = suite.source.admission.routes.iter().flat_map(|route| &route.pipeline.writes);
    writes.any(|write| write.database == database && is_table(write, table))
}

/// Whether a write is to this table.
pub(super) fn is_table(write: &Write, table: &str) -> bool {
    let written = write.table.value.as_str();
    written.rsplit('.').next().unwrap_or(written).eq_ignore_ascii_case(table)
}

fn changes(column: &Column) -> bool {
    let origin = column.value.value.origin();
    let names = |name: &str| match origin.strip_prefix("$.") {
        Some(path) => path == name,
        None => origin.contains(name),
    };
    CHANGING.into_iter().any(names)
}
