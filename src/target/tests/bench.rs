//! What the tests share: a database in a temporary file, and changes out of JSON.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::clock::{Clock, Timestamp};
use crate::model::change::{Cell, Change, Operation, Row, Version};
use crate::model::failure::{Failure, Retry};
use crate::secret::Secret;
use crate::target::database::Database;
use crate::target::limits::Limits;
use crate::target::options::DatabaseOptions;
use crate::target::write::{Applied, Unit, WriteError};

/// A database of its own, with a mark that no unit has had yet.
pub(super) struct Bench {
    home: Home,
    pub(super) database: Database,
    units: AtomicU64,
}

/// Where the database is.
enum Home {
    Folder(tempfile::TempDir),
    Server { url: String, admin: Box<Database>, drop: String },
}

impl Bench {
    pub(super) async fn new(schema: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder.path().join("data").join("tables.db"));
        database.run_script(schema).await.unwrap();
        Self { home: Home::Folder(folder), database, units: AtomicU64::new(0) }
    }

    /// A database on a server; `drop` is what `admin` runs in the end.
    pub(super) fn on_server(url: &str, admin: Database, drop: String) -> Self {
        let home = Home::Server { url: url.to_owned(), admin: Box::new(admin), drop };
        Self { home, database: super::engines::open(url), units: AtomicU64::new(0) }
    }

    /// Another program's connections to the same database.
    pub(super) fn another(&self) -> Database {
        match &self.home {
            Home::Folder(folder) => open(&folder.path().join("data").join("tables.db")),
            Home::Server { url, .. } => super::engines::open(url),
        }
    }

    /// Where the server's database is.
    pub(super) fn url(&self) -> &str {
        match &self.home {
            Home::Folder(_) => panic!("a file has no server"),
            Home::Server { url, .. } => url,
        }
    }

    /// Removes what is on a server.
    pub(super) async fn remove(self) {
        if let Home::Server { admin, drop, .. } = self.home {
            std::mem::drop(self.database);
            admin.run_script(&drop).await.unwrap();
        }
    }

    pub(super) async fn apply(&self, changes: &[Change]) -> Result<Applied, WriteError> {
        self.apply_unit(changes, false).await
    }

    /// Writes what may be behind what came later.
    pub(super) async fn apply_late(&self, changes: &[Change]) -> Applied {
        self.apply_unit(changes, true).await.unwrap()
    }

    async fn apply_unit(&self, changes: &[Change], is_late: bool) -> Result<Applied, WriteError> {
        let mut mark = [0; 32];
        mark[..8].copy_from_slice(&self.units.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        self.database.apply(Unit { mark, lane: [0; 16], others: &[], fence: 1, is_late, changes }).await
    }

    /// The counts of a single change: inserted, updated, deleted.
    pub(super) async fn counts(&self, table: &str, operation: Operation) -> (u64, u64, u64) {
        let applied = self.apply(&[change(table, operation)]).await.unwrap();
        let trace = &applied.changes[0];
        (trace.inserted, trace.updated, trace.deleted)
    }

    pub(super) async fn failure(&self, table: &str, operation: Operation) -> Failure {
        match self.apply(&[change(table, operation)]).await {
            Err(WriteError::Failed(failure)) => failure,
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    pub(super) async fn rows(&self, table: &str) -> Json {
        let rows = self.database.rows(table, None, &[]).await.unwrap();
        Json::Array(rows.into_iter().map(Json::Object).collect())
    }
}

pub(super) fn open(file: &std::path::Path) -> Database {
    let url = Secret::new(format!("sqlite://{}", file.display()));
    let options = DatabaseOptions::new("main", url, "tenant");
    Database::new(options, clock(), Limits { lock: Duration::from_millis(200), ..Limits::default() })
}

/// A clock that stands.
pub(super) fn clock() -> Clock {
    Clock::manual(Timestamp::parse("2026-11-21T10:00:00Z").unwrap())
}

pub(super) fn change(table: &str, operation: Operation) -> Change {
    Change {
        database: "main".to_owned(),
        table: table.to_owned(),
        place: "routes[0].write[0]".to_owned(),
        operation,
        version: None,
    }
}

pub(super) fn cells(values: &Json) -> Vec<Cell> {
    let fields: &Map<String, Json> = values.as_object().unwrap();
    let cell = |(column, value): (&String, &Json)| Cell {
        column: column.clone(),
        value: value.clone(),
        declared: None,
        origin: format!("$.{column}"),
    };
    fields.iter().map(cell).collect()
}

pub(super) fn insert(set: Json) -> Operation {
    Operation::Insert { set: cells(&set) }
}

pub(super) fn upsert(key: Json, set: Json) -> Operation {
    Operation::Upsert { key: cells(&key), set: cells(&set) }
}

pub(super) fn update(key: Json, set: Json) -> Operation {
    Operation::Update { key: cells(&key), set: cells(&set) }
}

pub(super) fn delete(key: Json) -> Operation {
    Operation::Delete { key: cells(&key) }
}

pub(super) fn replace(of: Json, rows: &[(Json, Json)]) -> Operation {
    let row = |(key, set): &(Json, Json)| Row { key: cells(key), set: cells(set) };
    Operation::Replace { of: cells(&of), rows: rows.iter().map(row).collect(), soft: None }
}

pub(super) fn assert_permanent(failure: &Failure, reason: &str) {
    assert_eq!((failure.reason.as_str(), failure.retry), (reason, Retry::Never));
}

pub(super) fn assert_passing(failure: &Failure, reason: &str) {
    assert_eq!((failure.reason.as_str(), failure.retry), (reason, Retry::Later));
}

pub(super) fn versioned(table: &str, operation: Operation, version: Json) -> Change {
    let cell = Cell { column: String::new(), value: version, declared: None, origin: "$.version".to_owned() };
    Change { version: Some(Version { cell, kept_in_column: false }), ..change(table, operation) }
}

/// The same with its version in a column of the row.
pub(super) fn in_column(mut change: Change) -> Change {
    let version = change.version.as_mut().unwrap();
    version.kept_in_column = true;
    version.cell.column = "updated_at".to_owned();
    change
}
