//! One connection to a target database of any engine. It holds what has been learnt about the tables, and what the last statement
//! that failed ran into.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{MySqlConnection, PgConnection, SqliteConnection};

use crate::clock::Timestamp;

use super::dialect::Dialect;
use super::failures::{self, Trouble};
use super::inspect::TableSchema;
use super::patience::Patience;
use super::statement::Sql;
use super::stored::Stored;
use super::{mysql, mysql_schema, postgres, postgres_schema, sqlite, sqlite_schema};

/// How long what is known of a table is believed without a look, on the engines that do not say when it changed. Whatever fails
/// in the meantime looks again at once.
const BELIEVED: Duration = Duration::from_secs(10);

/// How long a transaction of several units waits for a lock; whoever met it then waits longer by itself.
const LOCK_TIMEOUT_TOGETHER: Duration = Duration::from_millis(500);

enum Engine {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    Mysql(MySqlConnection),
}

impl Engine {
    async fn run_script(&mut self, script: &str) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(inner) => sqlite::run_script(inner, script).await,
            Self::Postgres(inner) => postgres::run_script(inner, script).await,
            Self::Mysql(inner) => mysql::run_script(inner, script).await,
        }
    }
}

/// A connection and what it knows of the tables behind it.
pub(super) struct Connection {
    engine: Engine,
    /// With the transaction in which each was looked at.
    tables: HashMap<String, (u64, Arc<TableSchema>)>,
    /// Those whose last row was there with other values.
    changing: HashSet<String>,
    transaction: u64,
    schema_version: i64,
    looked_at: Option<Timestamp>,
    /// Whether this transaction relies on what was learnt before it.
    relied: bool,
    /// Whether it inserts what it looked for in vain.
    looked: bool,
    trouble: Option<Trouble>,
    patience: Patience,
    /// Whether the session was told to wait less.
    hurries: bool,
}

impl Connection {
    /// Connects, prepares the session and makes our tables where they are not there. Fails in words without the URL's secrets.
    pub(super) async fn open(url: &str, patience: Patience) -> Result<Self, String> {
        let limits = patience.limits();
        let engine = match Dialect::of_url(url) {
            Some(Dialect::Sqlite) => Engine::Sqlite(sqlite::connect(url, limits).await?),
            Some(Dialect::Postgres) => Engine::Postgres(postgres::connect(url, limits).await?),
            Some(Dialect::Mysql) => Engine::Mysql(mysql::connect(url, limits).await?),
            None => return Err("its URL must begin with `sqlite:`, `postgres:`, `mysql:` or `mariadb:`".to_owned()),
        };
        Ok(Self {
            engine,
            tables: HashMap::new(),
            changing: HashSet::new(),
            transaction: 0,
            schema_version: -1,
            looked_at: None,
            relied: false,
            looked: false,
            trouble: None,
            patience,
            hurries: false,
        })
    }

    /// How this database writes SQL.
    pub(super) fn dialect(&self) -> Dialect {
        match self.engine {
            Engine::Sqlite(_) => Dialect::Sqlite,
            Engine::Postgres(_) => Dialect::Postgres,
            Engine::Mysql(_) => Dialect::Mysql,
        }
    }

    /// Runs a statement; says how many rows it changed.
    pub(super) async fn execute(&mut self, sql: &Sql, values: Vec<Stored>) -> sqlx::Result<u64> {
        let values = sql.arrange(self.dialect(), values);
        let engine = &mut self.engine;
        let execute = async {
            match engine {
                Engine::Sqlite(inner) => sqlite::execute(inner, &sql.text, values).await,
                Engine::Postgres(inner) => postgres::execute(inner, &sql.text, values).await,
                Engine::Mysql(inner) => mysql::execute(inner, &sql.text, values).await,
            }
        };
        let done = self.patience.wait(execute).await;
        self.noting(done)
    }

    /// Runs a statement of MySQL that may tell a number by `last_insert_id(…)`: that, or 0. On other engines nothing is told.
    pub(super) async fn execute_and_hear(&mut self, sql: &Sql, values: Vec<Stored>) -> sqlx::Result<u64> {
        let Engine::Mysql(inner) = &mut self.engine else { return self.execute(sql, values).await.map(|_| 0) };
        let values = sql.arrange(Dialect::Mysql, values);
        let told = self.patience.wait(mysql::execute_and_hear(inner, &sql.text, values)).await;
        self.noting(told)
    }

    /// Runs a query and reads all its rows.
    pub(super) async fn fetch(&mut self, sql: &Sql, values: Vec<Stored>) -> sqlx::Result<Vec<Vec<Stored>>> {
        let values = sql.arrange(self.dialect(), values);
        let engine = &mut self.engine;
        let fetch = async {
            match engine {
                Engine::Sqlite(inner) => sqlite::fetch(inner, &sql.text, values).await,
                Engine::Postgres(inner) => postgres::fetch(inner, &sql.text, values).await,
                Engine::Mysql(inner) => mysql::fetch(inner, &sql.text, values).await,
            }
        };
        let rows = self.patience.wait(fetch).await;
        self.noting(rows)
    }

    /// Runs a script of several statements.
    pub(super) async fn run_script(&mut self, script: &str) -> sqlx::Result<()> {
        let done = self.patience.wait(self.engine.run_script(script)).await;
        self.noting(done)
    }

    /// Begins a transaction that may write. On SQLite, other writers wait from here on.
    pub(super) async fn begin(&mut self) -> sqlx::Result<()> {
        let begin = match self.hurries {
            true => format!("{}; {}", mysql::wait_for_locks(self.patience.limits().lock), self.dialect().begin()).into(),
            false => Cow::Borrowed(self.dialect().begin()),
        };
        self.start(&begin).await?;
        self.hurries = false;
        Ok(())
    }

    /// Begins a transaction of several units, which waits less long for locks: whoever meets one would keep the others waiting.
    pub(super) async fn begin_together(&mut self) -> sqlx::Result<()> {
        let begin = self.dialect().begin();
        let short = self.patience.limits().lock.min(LOCK_TIMEOUT_TOGETHER);
        match self.dialect() {
            Dialect::Sqlite => self.start(begin).await,
            Dialect::Postgres => self.start(&format!("{begin}; set local lock_timeout = {}", short.as_millis())).await,
            Dialect::Mysql if self.hurries => self.start(begin).await,
            Dialect::Mysql => {
                self.hurries = true;
                self.start(&format!("{}; {begin}", mysql::wait_for_locks(short))).await
            }
        }
    }

    /// Sets the savepoint of the next of several units, and lets the one before go.
    pub(super) async fn next_savepoint(&mut self, is_first: bool) -> sqlx::Result<()> {
        self.trouble = None;
        (self.relied, self.looked) = (false, false);
        // of two with one name, MySQL lets the first one go by itself
        self.run_script(if is_first || self.dialect() == Dialect::Mysql {
            "savepoint hooktable_unit"
        } else {
            "release savepoint hooktable_unit; savepoint hooktable_unit"
        })
        .await
    }

    /// Takes back what was done since the savepoint.
    pub(super) async fn back_to_savepoint(&mut self) -> sqlx::Result<()> {
        self.run_script("rollback to savepoint hooktable_unit").await
    }

    /// Begins a transaction that only reads.
    pub(super) async fn begin_reading(&mut self) -> sqlx::Result<()> {
        self.start("begin").await
    }

    async fn start(&mut self, begin: &str) -> sqlx::Result<()> {
        self.trouble = None;
        (self.relied, self.looked) = (false, false);
        self.transaction += 1;
        self.patience.begins();
        let begun = self.patience.wait_briefly(self.engine.run_script(begin)).await;
        self.noting(begun)?;
        let Engine::Sqlite(inner) = &mut self.engine else { return Ok(()) };
        let version = self.patience.wait(sqlite_schema::schema_version(inner)).await?;
        if version != self.schema_version {
            self.tables.clear();
            self.schema_version = version;
        }
        Ok(())
    }

    /// Ends the transaction; all of it stays.
    pub(super) async fn commit(&mut self) -> sqlx::Result<()> {
        self.run_script("commit").await?;
        self.patience.ended();
        Ok(())
    }

    /// Ends the transaction; nothing of it stays.
    pub(super) async fn rollback(&mut self) -> sqlx::Result<()> {
        self.run_script("rollback").await?;
        self.patience.ended();
        Ok(())
    }

    /// What the statement that failed in this transaction ran into.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// A row is inserted because it was looked for in vain.
    pub(super) fn relies_on_look(&mut self) {
        self.looked = true;
    }

    /// Whether a row that is in the way may have been made since it was looked for.
    pub(super) fn may_be_late(&self) -> bool {
        self.looked || !self.dialect().names_conflict()
    }

    /// Forgets all tables, and says whether this transaction relied on what was learnt before it, so that it may go better now.
    pub(super) fn look_again(&mut self) -> bool {
        self.tables.clear();
        self.relied
    }

    /// Forgets what has been believed for long enough.
    pub(super) fn believe_until(&mut self, now: Timestamp) {
        if matches!(self.engine, Engine::Sqlite(_)) {
            return;
        }
        if self.looked_at.is_none_or(|at| now.since(at) >= BELIEVED || now < at) {
            self.tables.clear();
            self.looked_at = Some(now);
        }
    }

    /// What a table looks like, if there is one of that name. Only inside a transaction.
    pub(super) async fn table(&mut self, name: &str) -> sqlx::Result<Option<Arc<TableSchema>>> {
        if let Some((transaction, known)) = self.tables.get(name) {
            self.relied |= *transaction != self.transaction && !matches!(self.engine, Engine::Sqlite(_));
            return Ok(Some(known.clone()));
        }
        let engine = &mut self.engine;
        let look = async {
            match engine {
                Engine::Sqlite(inner) => sqlite_schema::table(inner, name).await,
                Engine::Postgres(inner) => postgres_schema::table(inner, name).await,
                Engine::Mysql(inner) => mysql_schema::table(inner, name).await,
            }
        };
        let found = self.patience.wait(look).await;
        let Some(schema) = self.noting(found)?.map(Arc::new) else { return Ok(None) };
        self.tables.insert(name.to_owned(), (self.transaction, schema.clone()));
        Ok(Some(schema))
    }

    /// Whether the next row of a table most likely is there with other values, as the last one was. Only a guess: what comes of it is looked at.
    pub(super) fn expects_change(&self, table: &str) -> bool {
        self.changing.contains(table)
    }

    /// What the last row of a table was like.
    pub(super) fn expect_change(&mut self, table: &str, changes: bool) {
        match changes {
            false => drop(self.changing.remove(table)),
            true if self.changing.contains(table) => {}
            true => drop(self.changing.insert(table.to_owned())),
        }
    }

    /// The names of the user's tables that are found without naming a schema.
    pub(super) async fn table_names(&mut self) -> sqlx::Result<Vec<String>> {
        let engine = &mut self.engine;
        let look = async {
            match engine {
                Engine::Sqlite(inner) => sqlite_schema::table_names(inner).await,
                Engine::Postgres(inner) => postgres_schema::table_names(inner).await,
                Engine::Mysql(inner) => mysql_schema::table_names(inner).await,
            }
        };
        let names = self.patience.wait(look).await;
        self.noting(names)
    }

    fn noting<T>(&mut self, result: sqlx::Result<T>) -> sqlx::Result<T> {
        if let Err(error) = &result {
            self.trouble = Some(failures::trouble(error));
        }
        result
    }
}
