//! One connection to a target database, with the value types that cross it. It holds what has been learnt about the tables
//! for as long as the database's schema stays the same.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine as _;
use serde_json::Value as Json;
use sqlx::SqliteConnection;

use super::dialect::Dialect;
use super::inspect::TableSchema;
use super::{sqlite, sqlite_schema};

/// A value as the database keeps it.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A float.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Stored {
    /// As it is printed: numbers exact, bytes as base64 text.
    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Integer(number) => Json::from(*number),
            Self::Real(number) => {
                serde_json::Number::from_f64(*number).map_or_else(|| Json::String(number.to_string()), Json::Number)
            }
            Self::Text(text) => Json::String(text.clone()),
            Self::Bytes(bytes) => Json::String(base64::engine::general_purpose::STANDARD.encode(bytes)),
        }
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Integer(one), Self::Integer(other)) => one == other,
            (Self::Real(one), Self::Real(other)) => one.to_bits() == other.to_bits(),
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Bytes(one), Self::Bytes(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Stored {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Integer(number) => number.hash(state),
            Self::Real(number) => number.to_bits().hash(state),
            Self::Text(text) => text.hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
        }
    }
}

/// A connection and what it knows of the tables behind it.
pub(super) struct Connection {
    inner: SqliteConnection,
    tables: HashMap<String, Arc<TableSchema>>,
    schema_version: i64,
}

impl Connection {
    /// Takes over a fresh connection.
    pub(super) fn new(inner: SqliteConnection) -> Self {
        Self { inner, tables: HashMap::new(), schema_version: -1 }
    }

    /// How this database writes SQL.
    pub(super) fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    /// Runs a statement; says how many rows it changed.
    pub(super) async fn execute(&mut self, sql: &str, values: Vec<Stored>) -> sqlx::Result<u64> {
        sqlite::execute(&mut self.inner, sql, values).await
    }

    /// Runs a query and reads all its rows.
    pub(super) async fn fetch(&mut self, sql: &str, values: Vec<Stored>) -> sqlx::Result<Vec<Vec<Stored>>> {
        sqlite::fetch(&mut self.inner, sql, values).await
    }

    /// Runs a script of several statements.
    pub(super) async fn run_script(&mut self, script: &str) -> sqlx::Result<()> {
        sqlite::run_script(&mut self.inner, script).await
    }

    /// Begins a transaction that may write. Other writers wait from here on.
    pub(super) async fn begin(&mut self) -> sqlx::Result<()> {
        let begin = self.dialect().begin();
        self.execute(begin, Vec::new()).await?;
        self.forget_changed_tables().await
    }

    /// Begins a transaction that only reads.
    pub(super) async fn begin_reading(&mut self) -> sqlx::Result<()> {
        self.execute("begin", Vec::new()).await?;
        self.forget_changed_tables().await
    }

    async fn forget_changed_tables(&mut self) -> sqlx::Result<()> {
        let version = sqlite_schema::schema_version(&mut self.inner).await?;
        if version != self.schema_version {
            self.tables.clear();
            self.schema_version = version;
        }
        Ok(())
    }

    /// Ends the transaction; all of it stays.
    pub(super) async fn commit(&mut self) -> sqlx::Result<()> {
        self.execute("commit", Vec::new()).await.map(drop)
    }

    /// Ends the transaction; nothing of it stays.
    pub(super) async fn rollback(&mut self) -> sqlx::Result<()> {
        self.execute("rollback", Vec::new()).await.map(drop)
    }

    /// What a table looks like, if there is one of that name. Only inside a transaction: there, it cannot change.
    pub(super) async fn table(&mut self, name: &str) -> sqlx::Result<Option<Arc<TableSchema>>> {
        if let Some(known) = self.tables.get(name) {
            return Ok(Some(known.clone()));
        }
        let Some(schema) = sqlite_schema::table(&mut self.inner, name).await?.map(Arc::new) else { return Ok(None) };
        self.tables.insert(name.to_owned(), schema.clone());
        Ok(Some(schema))
    }

    /// The names of the user's tables.
    pub(super) async fn table_names(&mut self) -> sqlx::Result<Vec<String>> {
        sqlite_schema::table_names(&mut self.inner).await
    }
}
