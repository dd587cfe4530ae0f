//! The target writer against real SQLite files.

mod operations;
mod replacing;
mod schemas;
mod units;
mod values;

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::database::Database;
use super::options::DatabaseOptions;
use super::write::{Applied, Unit, WriteError};
use crate::clock::{Clock, Timestamp};
use crate::model::change::{Cell, Change, Operation, Row};
use crate::model::failure::{Failure, Retry};
use crate::secret::Secret;

/// A database in a temporary file, with a mark that no unit has had yet.
struct Bench {
    folder: tempfile::TempDir,
    database: Database,
    units: std::sync::atomic::AtomicU8,
}

impl Bench {
    async fn new(schema: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder.path().join("data").join("tables.db"));
        database.run_script(schema).await.unwrap();
        Self { folder, database, units: std::sync::atomic::AtomicU8::new(0) }
    }

    /// Another connection to the same file.
    fn another(&self) -> Database {
        open(&self.folder.path().join("data").join("tables.db"))
    }

    async fn apply(&self, changes: &[Change]) -> Result<Applied, WriteError> {
        let number = self.units.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.database.apply(Unit { mark: [number; 32], lane: [0; 16], fence: 1, changes }).await
    }

    /// The counts of a single change: inserted, updated, deleted.
    async fn counts(&self, table: &str, operation: Operation) -> (u64, u64, u64) {
        let applied = self.apply(&[change(table, operation)]).await.unwrap();
        let trace = &applied.changes[0];
        (trace.inserted, trace.updated, trace.deleted)
    }

    async fn failure(&self, table: &str, operation: Operation) -> Failure {
        match self.apply(&[change(table, operation)]).await {
            Err(WriteError::Failed(failure)) => failure,
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    async fn rows(&self, table: &str) -> Json {
        let rows = self.database.rows(table, None, &[]).await.unwrap();
        Json::Array(rows.into_iter().map(Json::Object).collect())
    }
}

fn open(file: &std::path::Path) -> Database {
    let url = Secret::new(format!("sqlite://{}", file.display()));
    let options = DatabaseOptions { name: "main".to_owned(), url, tenant_column: "tenant".to_owned() };
    let clock = Clock::manual(Timestamp::parse("2026-11-21T10:00:00Z").unwrap());
    Database::new(options, clock, Duration::from_millis(200))
}

fn change(table: &str, operation: Operation) -> Change {
    Change { database: "main".to_owned(), table: table.to_owned(), place: "routes[0].write[0]".to_owned(), operation }
}

fn cells(values: &Json) -> Vec<Cell> {
    let fields: &Map<String, Json> = values.as_object().unwrap();
    let cell = |(column, value): (&String, &Json)| Cell {
        column: column.clone(),
        value: value.clone(),
        declared: None,
        origin: format!("$.{column}"),
    };
    fields.iter().map(cell).collect()
}

fn insert(set: Json) -> Operation {
    Operation::Insert { set: cells(&set) }
}

fn upsert(key: Json, set: Json) -> Operation {
    Operation::Upsert { key: cells(&key), set: cells(&set) }
}

fn delete(key: Json) -> Operation {
    Operation::Delete { key: cells(&key) }
}

fn replace(of: Json, rows: &[(Json, Json)]) -> Operation {
    let row = |(key, set): &(Json, Json)| Row { key: cells(key), set: cells(set) };
    Operation::Replace { of: cells(&of), rows: rows.iter().map(row).collect() }
}

fn assert_permanent(failure: &Failure, reason: &str) {
    assert_eq!((failure.reason.as_str(), failure.retry), (reason, Retry::Never));
}

fn assert_passing(failure: &Failure, reason: &str) {
    assert_eq!((failure.reason.as_str(), failure.retry), (reason, Retry::Later));
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_a_passing_failure_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let database = open(&folder.path().join("file").join("tables.db"));
    let failure = database.connect().await.unwrap_err();
    assert_eq!(failure.retry, Retry::Later);
    assert!(failure.reason.starts_with("database `main` cannot be opened: the folder "), "{}", failure.reason);
    std::fs::remove_file(folder.path().join("file")).unwrap();
    database.connect().await.unwrap();
}

#[tokio::test]
async fn a_url_of_another_engine_is_refused_without_showing_it() {
    let options =
        DatabaseOptions { name: "erp".into(), url: "postgres://me:hunter2@host/erp".into(), tenant_column: "tenant".into() };
    let targets = super::Targets::open(vec![options], Clock::system());
    assert_eq!(targets.names().collect::<Vec<_>>(), ["erp"]);
    let failure = targets.database("erp").unwrap().connect().await.unwrap_err();
    assert_passing(
        &failure,
        "database `erp` cannot be opened: its URL must begin with `sqlite:`, the one engine that this version knows",
    );
    assert!(targets.database("main").is_none());
}

#[tokio::test]
async fn rows_given_as_json_read_back_in_the_order_of_the_primary_key() {
    let bench = Bench::new("create table t (id integer primary key, name text, at timestamp_text, raw blob)").await;
    let given = json!([{ "id": 2, "name": "b", "at": "2026-11-21T11:00:00+01:00" }, { "id": 1, "name": "a" }]);
    let given: Vec<_> = given.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect();
    bench.database.insert_rows("t", &given).await.unwrap();
    let expected = json!([
        { "id": 1, "name": "a", "at": null, "raw": null },
        { "id": 2, "name": "b", "at": "2026-11-21T10:00:00Z", "raw": null },
    ]);
    assert_eq!(bench.rows("t").await, expected);
    let names = bench.database.rows("t", Some(&["NAME".to_owned()]), &["name".to_owned()]).await.unwrap();
    assert_eq!(json!(names), json!([{ "name": "a" }, { "name": "b" }]));
    let stored = bench.database.as_stored("t", &given[..1]).await.unwrap();
    assert_eq!(json!(stored), json!([{ "id": 2, "name": "b", "at": "2026-11-21T10:00:00Z" }]));
}
