//! The engines that the store's tests run on. A test is written once and named in [`on_both_engines`]; which engine a store of the
//! harness uses is known to its thread.

use std::cell::{Cell, RefCell};
use std::path::Path;

use proptest::prelude::*;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::clock::Clock;
use crate::secret::Secret;
use crate::store::engine::Place;
use crate::store::postgres;

/// Where the address of a throwaway server stands.
const VARIABLE: &str = "HOOKTABLE_TEST_POSTGRES";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

thread_local! {
    static ENGINE: Cell<Engine> = const { Cell::new(Engine::Sqlite) };
    static LAST_DATABASE: RefCell<Option<String>> = const { RefCell::new(None) };
}

impl Engine {
    /// Either of them, for properties.
    pub(super) fn any() -> impl Strategy<Value = Self> {
        if is_skipped() { Just(Self::Sqlite).boxed() } else { prop_oneof![Just(Self::Sqlite), Just(Self::Postgres)].boxed() }
    }

    /// The one that this thread's test runs on.
    pub(super) fn current() -> Self {
        ENGINE.get()
    }

    /// From now on this thread's stores are kept by it.
    pub(super) fn choose(self) {
        ENGINE.set(self);
    }
}

/// A test for each engine: `sqlite` and `postgres` in a module of the function's name.
macro_rules! on_both_engines {
    ($name:ident) => {
        mod $name {
            use crate::store::tests::engines::{Engine, is_skipped};

            #[tokio::test]
            async fn sqlite() {
                super::$name().await;
            }

            #[tokio::test]
            async fn postgres() {
                if !is_skipped() {
                    Engine::Postgres.choose();
                    super::$name().await;
                }
            }
        }
    };
}
pub(super) use on_both_engines;

/// Whether somebody said that no server is to be used.
pub(super) fn is_skipped() -> bool {
    variable("HOOKTABLE_TEST_SQLITE_ONLY").is_some_and(|value| value == "1")
}

/// A new state in a folder, or in a database whose URL is kept there.
pub(super) async fn new_place(folder: &Path) -> Place {
    if Engine::current() == Engine::Postgres {
        let url = new_database().await;
        std::fs::write(folder.join("state.url"), url).expect("written");
    }
    place(folder)
}

/// The state of a folder.
pub(super) fn place(folder: &Path) -> Place {
    match std::fs::read_to_string(folder.join("state.url")) {
        Ok(url) => Place::Server(Secret::new(url)),
        Err(_) => Place::File(folder.join("state.db")),
    }
}

#[expect(clippy::disallowed_methods, reason = "what tests are told, not what the program is")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn server() -> String {
    variable(VARIABLE).unwrap_or_else(|| {
        panic!(
            "no PostgreSQL to test with\nhint: `scripts/test` starts one; or set {VARIABLE} to a URL whose user may create databases, \
             or HOOKTABLE_TEST_SQLITE_ONLY=1 to leave these tests out"
        )
    })
}

/// The URL of the same server's database of another name.
fn url_of(server: &str, database: &str) -> String {
    let (address, options) = server.split_once('?').map_or((server, String::new()), |(one, two)| (one, format!("?{two}")));
    let host = address.rsplit_once('/').map_or(address, |(host, _)| host);
    format!("{host}/{database}{options}")
}

/// An empty database, without a schema.
pub(super) async fn empty_database() -> Place {
    let server = server();
    let mut connection = PgConnection::connect(&server).await.expect("the server for tests answers");
    let name = format!("hooktable_{}", uuid::Uuid::new_v4().simple());
    run(&mut connection, format!("create database {name}")).await;
    Place::Server(Secret::new(url_of(&server, &name)))
}

/// A database of its own, copied from one with the newest schema. The thread's last one is dropped.
async fn new_database() -> String {
    let server = server();
    let mut connection = PgConnection::connect(&server).await.expect("the server for tests answers");
    let template = template(&mut connection, &server).await;
    let name = format!("hooktable_{}", uuid::Uuid::new_v4().simple());
    if let Some(last) = LAST_DATABASE.replace(Some(name.clone())) {
        run(&mut connection, format!("drop database if exists {last} with (force)")).await;
    }
    run(&mut connection, format!("create database {name} template {template}")).await;
    url_of(&server, &name)
}

/// Made once for all tests of a schema, whoever comes first.
async fn template(connection: &mut PgConnection, server: &str) -> String {
    let schema = include_str!("../postgres/migrations/0001.sql");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(schema);
    let name = format!("hooktable_template_{}", hex::encode(&digest[..8]));
    run(connection, "select pg_advisory_lock(7)".to_owned()).await;
    let exists: bool = sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1 and datistemplate)")
        .bind(&name)
        .fetch_one(&mut *connection)
        .await
        .expect("asked");
    if !exists {
        run(connection, format!("drop database if exists {name}")).await;
        run(connection, format!("create database {name}")).await;
        let url = Secret::new(url_of(server, &name));
        let (opened, _) = postgres::open::open(&url, &Clock::system()).await.expect("migrated");
        if let crate::store::sql::Connection::Postgres(connection) = opened.connection {
            connection.inner.close().await.expect("closed");
        }
        run(connection, format!("alter database {name} is_template true")).await;
    }
    run(connection, "select pg_advisory_unlock(7)".to_owned()).await;
    name
}

async fn run(connection: &mut PgConnection, sql: String) {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("done");
}
