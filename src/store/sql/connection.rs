//! The connection that writes, of either engine: transactions and the clock that counts in them.

use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Executor as _, PgConnection, Row as _, SqliteConnection};

use super::column::{Row, moment};
use super::many::Array;
use crate::clock::{Clock, Timestamp};
use crate::store::error::StoreError;

/// What a transaction begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    /// The moment that counts in it.
    pub(crate) now: Timestamp,
    /// By how many microseconds everything was moved back so far because the clock of a shared state went back.
    pub(crate) moved: i64,
    /// Whether the clock is moved by hand.
    pub(crate) by_hand: bool,
}

/// Transactions of PostgreSQL hold a lock while they go by a moment: whoever moves all that waits for one waits until they have ended,
/// and they for that. Any number that nobody else is likely to have.
macro_rules! begin {
    ($lock:literal) => {
        concat!(
            "begin; ",
            $lock,
            "7310579623115); select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now,
                coalesce((select version from control where topic = 'clock'), 0) as moved"
        )
    };
}

/// A connection that may write.
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PostgresConnection),
}

/// One to PostgreSQL.
pub(crate) struct PostgresConnection {
    pub(crate) inner: PgConnection,
    /// Whether something was changed that the other instances are to hear of.
    pub(crate) has_news: bool,
}

impl From<SqliteConnection> for Connection {
    fn from(connection: SqliteConnection) -> Self {
        Self::Sqlite(connection)
    }
}

impl From<PgConnection> for Connection {
    fn from(inner: PgConnection) -> Self {
        Self::Postgres(PostgresConnection { inner, has_news: false })
    }
}

impl Connection {
    /// Whether other processes may write to the same state.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Begins a transaction. Where others share the state, only the database's clock is the same for all of them; `clock` follows it from
    /// then on, unless it is moved by hand.
    pub(crate) async fn begin(&mut self, clock: &Clock) -> Result<Begun, StoreError> {
        self.begin_with(clock, begin!("select pg_advisory_xact_lock_shared(")).await
    }

    /// Begins one that nobody else's is beside, and that may take long.
    pub(crate) async fn begin_alone(&mut self, clock: &Clock) -> Result<Begun, StoreError> {
        self.begin_with(clock, begin!("set local statement_timeout = '5min'; select pg_advisory_xact_lock(")).await
    }

    async fn begin_with(&mut self, clock: &Clock, postgres: &'static str) -> Result<Begun, StoreError> {
        let by_hand = clock.is_manual();
        match self {
            Self::Sqlite(connection) => {
                connection.execute("begin immediate").await?;
                Ok(Begun { now: clock.now(), moved: 0, by_hand })
            }
            Self::Postgres(connection) => {
                let asked = clock.uncorrected();
                let rows = sqlx::raw_sql(postgres).fetch_all(&mut connection.inner).await?;
                let row = rows.last().ok_or(sqlx::Error::RowNotFound)?;
                let moved = row.try_get("moved")?;
                if by_hand {
                    return Ok(Begun { now: clock.now(), moved, by_hand });
                }
                let now = moment(row.try_get("now")?);
                clock.follow(now, asked);
                Ok(Begun { now, moved, by_hand })
            }
        }
    }

    /// Remembers that the other instances are to hear of something once it is committed.
    pub(crate) fn note_news(&mut self) {
        if let Self::Postgres(connection) = self {
            connection.has_news = true;
        }
    }

    /// Makes what was done since `begin` last.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        self.run("commit").await
    }

    /// Undoes what was done since `begin`.
    pub(crate) async fn rollback(&mut self) -> Result<(), StoreError> {
        self.run("rollback").await
    }

    /// Runs a statement without values, or several.
    pub(crate) async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.execute(sql).await.map(drop)?,
            Self::Postgres(connection) => sqlx::raw_sql(sql).execute(&mut connection.inner).await.map(drop)?,
        }
        Ok(())
    }

    pub(super) async fn execute_columns(&mut self, text: String, columns: Vec<Array>) -> Result<(), StoreError> {
        let Self::Postgres(connection) = self else { return Ok(()) };
        connection.inner.execute(sqlx::query_with(AssertSqlSafe(text), arguments(columns)?)).await?;
        Ok(())
    }

    pub(super) async fn fetch_columns(&mut self, text: String, columns: Vec<Array>) -> Result<Vec<Row>, StoreError> {
        let Self::Postgres(connection) = self else { return Ok(Vec::new()) };
        let rows = connection.inner.fetch_all(sqlx::query_with(AssertSqlSafe(text), arguments(columns)?)).await?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }
}

fn arguments(columns: Vec<Array>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for column in columns {
        let added = match column {
            Array::Integers(column) => arguments.add(column),
            Array::Texts(column) => arguments.add(column),
            Array::Bytes(column) => arguments.add(column),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}
