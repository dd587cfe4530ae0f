//! The three engines that the conformance suite runs on: a fresh database of each, and how each spells the suite's column types.

use std::time::Duration;

use super::bench::{Bench, clock};
use crate::target::database::Database;
use crate::target::dialect::Dialect;
use crate::target::limits::Limits;
use crate::target::options::DatabaseOptions;

/// Makes three tests of a case: `$name::sqlite`, `$name::postgres`, `$name::mariadb`.
macro_rules! on_each_engine {
    ($(async fn $name:ident($bench:ident, schema: $schema:expr) $body:block)*) => {
        $(mod $name {
            use super::*;

            async fn case($bench: &Bench) $body

            async fn run(engine: Dialect) {
                let Some(bench) = fresh(engine, $schema).await else { return };
                case(&bench).await;
                bench.remove().await;
            }

            #[tokio::test]
            async fn sqlite() {
                run(Dialect::Sqlite).await;
            }

            #[tokio::test]
            async fn postgres() {
                run(Dialect::Postgres).await;
            }

            #[tokio::test]
            async fn mariadb() {
                run(Dialect::Mysql).await;
            }
        })*
    };
}
pub(super) use on_each_engine;

/// A database of its own with this schema, in which `{text}` and the like are the engine's types. None when servers are skipped.
pub(super) async fn fresh(engine: Dialect, schema: &str) -> Option<Bench> {
    let schema = spelled(engine, schema);
    if engine == Dialect::Sqlite {
        return Some(Bench::new(&schema).await);
    }
    let server = server(engine)?;
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    let admin = open(&server);
    let (create, drop) = match engine {
        Dialect::Postgres => (format!("create schema {name}"), format!("drop schema {name} cascade")),
        _ => (format!("create database {name} character set utf8mb4"), format!("drop database {name}")),
    };
    admin.run_script(&create).await.unwrap();
    let bench = Bench::on_server(&within(engine, &server, &name), admin, drop);
    if !schema.is_empty() {
        bench.database.run_script(&schema).await.unwrap();
    }
    Some(bench)
}

/// The URL of the throwaway server; none when servers are skipped on purpose.
#[expect(clippy::disallowed_methods, reason = "tests are told by their environment where the servers are")]
pub(super) fn server(engine: Dialect) -> Option<String> {
    let variable = if engine == Dialect::Postgres { "HOOKTABLE_TEST_POSTGRES" } else { "HOOKTABLE_TEST_MARIADB" };
    if std::env::var("HOOKTABLE_TEST_SQLITE_ONLY").is_ok_and(|value| value == "1") {
        return None;
    }
    let url = std::env::var(variable);
    Some(
        url.unwrap_or_else(|_| {
            panic!("`{variable}` is not set: run the tests with `scripts/test`, which starts a server for them")
        }),
    )
}

/// The same server, in the test's own schema or database.
fn within(engine: Dialect, server: &str, name: &str) -> String {
    let (address, parameters) = server.split_once('?').map_or((server, ""), |(address, rest)| (address, rest));
    match engine {
        Dialect::Postgres => format!("{address}?options=-c%20search_path%3D{name}&{parameters}"),
        _ => {
            let (host, _) = address.rsplit_once('/').unwrap();
            format!("{host}/{name}?{parameters}")
        }
    }
}

pub(super) fn open(url: &str) -> Database {
    Database::new(
        DatabaseOptions::new("main", url, "tenant"),
        clock(),
        Limits { lock: Duration::from_secs(1), ..Limits::default() },
    )
}

/// The suite's types on an engine; all of them hold the suite's values whole.
fn spelled(engine: Dialect, schema: &str) -> String {
    let types = [
        ("{key}", ["TEXT", "text", "varchar(190) character set utf8mb4 collate utf8mb4_nopad_bin"]),
        ("{text}", ["TEXT", "text", "longtext character set utf8mb4 collate utf8mb4_unicode_ci"]),
        ("{integer}", ["INTEGER", "bigint", "bigint"]),
        ("{decimal}", ["DECIMAL_TEXT", "numeric(28, 8)", "decimal(28, 8)"]),
        ("{real}", ["REAL", "double precision", "double"]),
        ("{boolean}", ["BOOLEAN", "boolean", "boolean"]),
        ("{date}", ["DATE_TEXT", "date", "date"]),
        ("{time}", ["TIME_TEXT", "time", "time(6)"]),
        ("{moment}", ["TIMESTAMP_TEXT", "timestamptz", "timestamp(6) null"]),
        ("{uuid}", ["UUID_TEXT", "uuid", "uuid"]),
        ("{json}", ["JSON_TEXT", "jsonb", "json"]),
        ("{bytes}", ["BLOB", "bytea", "longblob"]),
    ];
    let index = match engine {
        Dialect::Sqlite => 0,
        Dialect::Postgres => 1,
        Dialect::Mysql => 2,
    };
    types.iter().fold(schema.to_owned(), |text, (written, spellings)| text.replace(written, spellings[index]))
}
