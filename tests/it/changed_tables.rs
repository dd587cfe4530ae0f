//! Tables that change under a running server: records fail with that reason, are tried again, and land when table and route fit again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::test_app::{Builder, TestApp};

const HOUR: Duration = Duration::from_secs(3600);
const FILE: &str = "routes.d/log.yaml";

fn route(column: &str) -> String {
    format!("auth: {{ none: a test }}\nwrite: {{ insert: log, set: {{ n: $.body.n, {column}: $.body.note }} }}\n")
}

/// One row is there.
async fn app() -> TestApp {
    let schema = "create table log (n integer, note text)";
    let app = Builder::new(FILE, &route("note")).schema(schema).start().await;
    send(&app, 1).await;
    app.run_pending_deliveries(Duration::ZERO).await;
    assert_eq!(app.lines("log").await, ["n=1 note=\"of 1\""]);
    app
}

async fn send(app: &TestApp, n: u64) {
    let body = format!(r#"{{"n":{n},"note":"of {n}"}}"#);
    assert_eq!(app.send("POST", "/in/log", &[("content-type", "application/json")], &body).await.status, 200);
}

async fn alter(app: &TestApp, sql: &str) {
    app.tools.targets.database("main").expect("main").run_script(sql).await.expect("altered");
}

async fn fails_with(app: &TestApp, reason: &str) {
    app.run_pending_deliveries(Duration::from_secs(60)).await;
    let newest = app.records().await.swap_remove(0);
    assert_eq!(newest.state.word(), "retrying");
    assert!(newest.reason.as_deref().is_some_and(|said| said.contains(reason)), "{newest:?}");
}

#[tokio::test]
async fn records_of_a_dropped_column_land_when_the_table_has_it_again() {
    let app = app().await;
    alter(&app, "alter table log drop column note").await;
    send(&app, 2).await;
    fails_with(&app, "table `log` of database `main` has no column `note`; it has `n`").await;
    alter(&app, "alter table log add column note text").await;
    app.run_pending_deliveries(HOUR).await;
    assert_eq!(app.states().await, ["done", "done"]);
    assert_eq!(app.lines("log").await, ["n=1 note=null", "n=2 note=\"of 2\""]);
}

#[tokio::test]
async fn records_of_a_column_with_another_name_land_when_the_route_says_it() {
    let app = app().await;
    alter(&app, "alter table log rename column note to remark").await;
    send(&app, 2).await;
    fails_with(&app, "has no column `note`; it has `n`, `remark`").await;
    app.reload(&BTreeMap::from([(FILE.to_owned(), route("remark"))]));
    app.run_pending_deliveries(HOUR).await;
    assert_eq!(app.states().await, ["done", "done"]);
    assert_eq!(app.lines("log").await, ["n=1 remark=\"of 1\"", "n=2 remark=\"of 2\""]);
}

#[tokio::test]
async fn a_table_that_is_made_anew_with_other_types_takes_what_comes_next() {
    let app = app().await;
    alter(&app, "drop table log").await;
    send(&app, 2).await;
    fails_with(&app, "database `main` has no table `log`").await;
    alter(&app, "create table log (n text primary key, note text, extra integer default 7)").await;
    app.run_pending_deliveries(HOUR).await;
    assert_eq!(app.states().await, ["done", "done"]);
    assert_eq!(app.lines("log").await, ["n=\"2\" note=\"of 2\" extra=7"]);
}
