//! One statement with its values, run on whichever engine it is given to.

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Executor as _, SqlSafeStr as _, SqlStr, SqliteConnection};

use super::column::Row;
use super::connection::Connection;
use super::readers::Readers;
use super::value::{Value, json_list};
use crate::store::error::StoreError;

/// What a statement says to each engine. Parameters are `$1`, `$2`, … in both.
#[derive(Clone, Copy)]
pub(crate) struct Texts {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl From<&'static str> for Texts {
    fn from(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// A statement with the values it has so far.
pub(crate) struct Query {
    texts: Texts,
    values: Vec<Value>,
}

/// Begins a statement.
pub(crate) fn query(texts: impl Into<Texts>) -> Query {
    Query { texts: texts.into(), values: Vec::new() }
}

impl Query {
    /// Gives it the next value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; says how many rows it changed.
    pub(crate) async fn execute(self, connection: &mut Connection) -> Result<u64, StoreError> {
        match connection {
            Connection::Sqlite(connection) => {
                let query = sqlx::query_with(self.texts.sqlite, sqlite(self.values)?);
                Ok(connection.execute(query).await?.rows_affected())
            }
            Connection::Postgres(connection) => {
                let query = sqlx::query_with(self.texts.postgres, postgres(self.values)?);
                Ok(connection.inner.execute(query).await?.rows_affected())
            }
        }
    }

    /// All rows that it returns.
    pub(crate) async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>, StoreError> {
        let text = match connection {
            Connection::Sqlite(_) => self.texts.sqlite,
            Connection::Postgres(_) => self.texts.postgres,
        };
        fetch(connection, text.into_sql_str(), self.values).await
    }

    /// The first row that it returns, if there is one.
    pub(crate) async fn fetch_optional(self, connection: &mut Connection) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(connection).await?.into_iter().next())
    }

    /// The first row that it returns.
    pub(crate) async fn fetch_one(self, connection: &mut Connection) -> Result<Row, StoreError> {
        self.fetch_optional(connection).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// All rows, by one reader of a file.
    pub(super) async fn read_from(self, reader: &mut SqliteConnection) -> Result<Vec<Row>, StoreError> {
        let query = sqlx::query_with(self.texts.sqlite, sqlite(self.values)?);
        Ok(reader.fetch_all(query).await?.into_iter().map(Row::Sqlite).collect())
    }

    /// All rows, by a reader.
    pub(super) async fn read_all(self, readers: &Readers) -> Result<Vec<Row>, sqlx::Error> {
        match readers {
            Readers::Sqlite(pool) => {
                let query = sqlx::query_with(self.texts.sqlite, sqlite(self.values)?);
                Ok(pool.fetch_all(query).await?.into_iter().map(Row::Sqlite).collect())
            }
            Readers::Postgres(pool) => {
                let query = sqlx::query_with(self.texts.postgres, postgres(self.values)?);
                Ok(pool.fetch_all(query).await?.into_iter().map(Row::Postgres).collect())
            }
        }
    }
}

/// Runs a text that was put together of parts that are all ours.
pub(super) async fn run(connection: &mut Connection, text: String, values: Vec<Value>) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(connection) => {
            connection.execute(sqlx::query_with(AssertSqlSafe(text), sqlite(values)?)).await?;
        }
        Connection::Postgres(connection) => {
            connection.inner.execute(sqlx::query_with(AssertSqlSafe(text), postgres(values)?)).await?;
        }
    }
    Ok(())
}

pub(super) async fn fetch(connection: &mut Connection, text: SqlStr, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
    match connection {
        Connection::Sqlite(connection) => {
            let rows = connection.fetch_all(sqlx::query_with(text, sqlite(values)?)).await?;
            Ok(rows.into_iter().map(Row::Sqlite).collect())
        }
        Connection::Postgres(connection) => {
            let rows = connection.inner.fetch_all(sqlx::query_with(text, postgres(values)?)).await?;
            Ok(rows.into_iter().map(Row::Postgres).collect())
        }
    }
}

fn sqlite(values: Vec<Value>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        let added = match value {
            Value::Integer(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
            Value::Integers(value) => arguments.add(json_list(&value)),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn postgres(values: Vec<Value>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match value {
            Value::Integer(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
            Value::Integers(value) => arguments.add(value),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}
