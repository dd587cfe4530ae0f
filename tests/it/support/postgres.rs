//! A PostgreSQL for tests: databases of the throwaway server that `scripts/test` starts, and servers of one's own that can be stopped.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::test_app::repository;

const VARIABLE: &str = "HOOKTABLE_TEST_POSTGRES";

/// Whether somebody said that no server is to be used.
pub(crate) fn is_skipped() -> bool {
    variable("HOOKTABLE_TEST_SQLITE_ONLY").is_some_and(|value| value == "1")
}

#[expect(clippy::disallowed_methods, reason = "what tests are told, not what the program is")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The URL of a new, empty database.
pub(crate) async fn new_database() -> String {
    let server = variable(VARIABLE).unwrap_or_else(|| {
        panic!(
            "no PostgreSQL to test with\nhint: `scripts/test` starts one; or set {VARIABLE} to a URL whose user may create databases, \
             or HOOKTABLE_TEST_SQLITE_ONLY=1 to leave these tests out"
        )
    });
    database_on(&server).await
}

/// The same on this server.
pub(crate) async fn database_on(server: &str) -> String {
    let name = format!("hooktable_{}", uuid::Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(server).await.expect("the server for tests answers");
    let sql = format!("create database {name}");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("a database");
    let (address, options) = server.split_once('?').map_or((server, String::new()), |(one, two)| (one, format!("?{two}")));
    let host = address.rsplit_once('/').map_or(address, |(host, _)| host);
    format!("{host}/{name}{options}")
}

/// A server of one's own.
pub(crate) struct OwnServer {
    folder: tempfile::TempDir,
    pub(crate) url: String,
}

impl OwnServer {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"), &[])
    }

    /// One in this folder, which the server can read, with these variables of the environment.
    pub(crate) fn start_in(folder: tempfile::TempDir, environment: &[(&str, &str)]) -> Self {
        let url = control("start", folder.path(), environment);
        Self { folder, url }
    }

    /// As if its machine had failed.
    pub(crate) fn crash(&self) {
        control("stop", self.folder.path(), &[]);
    }

    pub(crate) fn start_again(&self) {
        assert_eq!(control("start", self.folder.path(), &[]), self.url);
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = Command::new(script()).arg("stop").arg(self.folder.path()).output();
    }
}

fn control(action: &str, folder: &Path, environment: &[(&str, &str)]) -> String {
    let done =
        Command::new(script()).arg(action).arg(folder).envs(environment.iter().copied()).output().expect("the script runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

fn script() -> PathBuf {
    repository("scripts/postgres")
}
