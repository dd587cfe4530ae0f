//! What is kept and how long, seen from outside: a delivery that is done, one that is dead, and one whose request somebody removed.

use std::sync::Arc;
use std::time::Duration;

use hooktable::app::metrics::Metrics;
use hooktable::app::target_upkeep::TargetUpkeep;
use hooktable::app::upkeep::Upkeep;
use hooktable::store::records::{self, Replay};
use hooktable::store::retention::Keep;
use hooktable::worker::pool::run_pending;
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::support::project::{Project, request, until};
use crate::support::test_app::Builder;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn after_a_year_a_dead_letter_still_becomes_rows_and_what_was_done_is_gone() {
    let file = "auth: { none: test }\nwrite: { insert: log, set: { n: $.body.n } }\n";
    let app = Builder::new("routes.d/log.yaml", file).schema("create table log (n integer not null)").start().await;
    app.send("POST", "/in/log", &[], r#"{"n":1}"#).await;
    app.send("POST", "/in/log", &[], r#"{"n":null}"#).await;
    app.run_pending_deliveries(DAY * 3).await;
    assert_eq!(app.states().await, ["done", "dead"]);
    app.clock.move_to(app.clock.now() + DAY * 365);
    let metrics = Arc::new(Metrics::default());
    let mut upkeep = Upkeep::new(app.tools.store.clone(), Keep::default(), Arc::clone(&metrics));
    let removed = upkeep.remove_old().await.expect("removed");
    assert_eq!((removed.bodies, removed.deliveries), (1, 1));
    upkeep.look_after_lanes().await.expect("looked after");
    app.clock.move_to(app.clock.now() + DAY);
    upkeep.look_after_lanes().await.expect("looked after");
    let text = metrics.text(&[], &[], None, &[], None);
    for line in ["hooktable_removed_total{what=\"deliveries\"} 1", "hooktable_removed_total{what=\"lanes\"} 2"] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    let dead = app.records().await.pop().expect("the dead letter");
    app.tools
        .targets
        .database("main")
        .expect("main")
        .run_script("drop table log; create table log (n integer)")
        .await
        .expect("mended");
    let asked = records::ask_replay(&app.tools.store, dead.delivery, Replay::default()).await.expect("asked");
    assert_eq!(asked.marked, 1);
    app.run_pending_deliveries(DAY).await;
    assert_eq!(app.states().await, ["done"], "{:?}", app.records().await);
    assert_eq!(app.lines("log").await.len(), 1);
}

#[tokio::test]
async fn a_record_whose_request_somebody_removed_is_dead_at_once_and_says_why() {
    let file = "auth: { none: test }\nwrite: { insert: log, set: { n: $.body.n } }\n";
    let app = Builder::new("routes.d/log.yaml", file).schema("create table log (n integer)").start().await;
    app.send("POST", "/in/log", &[], r#"{"n":1}"#).await;
    let url = format!("sqlite://{}", app.folder().join("state.db").display());
    let mut connection = SqliteConnection::connect(&url).await.expect("connected");
    connection.execute("delete from delivery_raw").await.expect("removed");
    connection.close().await.expect("closed");
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    let record = app.records().await.pop().expect("a record");
    assert_eq!((record.state.word(), record.attempts), ("dead", 1));
    assert!(record.reason.as_ref().is_some_and(|reason| reason.contains("is no longer kept")), "{record:?}");
    let refused = records::ask_replay(&app.tools.store, record.delivery, Replay::default()).await.expect("answered");
    assert!(refused.marked == 0 && refused.refused[0].1.contains("no longer kept"), "{refused:?}");
}

#[tokio::test]
async fn a_replay_of_what_cannot_be_opened_now_waits_and_holds_up_no_other() {
    let file = "auth: { none: test }\nwrite: { insert: log, set: { n: $.body.n } }\n";
    let app = Builder::new("routes.d/log.yaml", file).schema("create table log (n integer not null)").start().await;
    for body in [r#"{"n":null}"#, r#"{"n":null }"#] {
        app.send("POST", "/in/log", &[], body).await;
    }
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    assert_eq!(app.states().await, ["dead", "dead"]);
    for record in app.records().await {
        assert_eq!(records::ask_replay(&app.tools.store, record.delivery, Replay::default()).await.expect("asked").marked, 1);
    }
    app.tools
        .targets
        .database("main")
        .expect("main")
        .run_script("drop table log; create table log (n integer)")
        .await
        .expect("mended");
    let url = format!("sqlite://{}", app.folder().join("state.db").display());
    let mut connection = SqliteConnection::connect(&url).await.expect("connected");
    let oldest = "where delivery_row = (select min(delivery_row) from delivery_raw)";
    let of_oldest = |set: &str| sqlx::raw_sql(sqlx::AssertSqlSafe(format!("update delivery_raw set {set} {oldest}")));
    connection.execute(of_oldest("sealed = cast(x'00' || sealed as blob)")).await.expect("broken");
    let error = run_pending(&app.tools, 1).await.expect_err("it cannot be opened").to_string();
    assert!(error.contains("cannot be unsealed"), "{error}");
    assert_eq!(app.states().await, ["dead", "waiting"]);
    connection.execute(of_oldest("sealed = substr(sealed, 2)")).await.expect("mended");
    connection.close().await.expect("closed");
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    assert_eq!(app.states().await, ["done", "done"], "{:?}", app.records().await);
}

#[test]
fn a_server_lets_requests_go_when_the_settings_say_so_and_says_what_that_means() {
    let project = Project::with_sensors();
    project.write("hooktable.yaml", "retention: { bodies: 1ms, records: 1h }\n");
    let server = project.serve();
    let reply = request(&server.intake, "POST", "/in/sensors", &[("x-token", "sesame")], r#"{"t":21.5}"#);
    let id = reply.json()["delivery"].as_str().expect("an id").to_owned();
    until(|| project.rows("sensor_log").len() == 1, || "no row".to_owned());
    server.terminate();
    let server = project.serve();
    server.wait_until_it_says("removed what has been kept long enough");
    let shown = project.data_of(&["deliveries", "show", &id]);
    assert!(shown.contains("no longer kept") && shown.contains("record 0: DONE"), "{shown}");
    let refused = project.run(&["deliveries", "replay", &id, "--apply-again"]);
    assert!(format!("{refused:?}").contains("the request is no longer kept"), "{refused:?}");
    server.terminate();
}

#[tokio::test]
async fn what_targets_keep_of_records_goes_when_none_as_old_can_run_again() {
    let file = "auth: { none: test }\nwrite: { insert: log, set: { n: $.body.n } }\n";
    let app = Builder::new("routes.d/log.yaml", file).schema("create table log (n integer not null)").start().await;
    for body in [r#"{"n":1}"#, r#"{"n":null}"#] {
        app.send("POST", "/in/log", &[], body).await;
    }
    app.run_pending_deliveries(DAY * 3).await;
    assert_eq!(app.states().await, ["done", "dead"]);
    let (store, targets) = (app.tools.store.clone(), app.tools.targets.clone());
    let metrics = Arc::new(Metrics::default());
    let upkeep = Upkeep::new(store.clone(), Keep::default(), Arc::clone(&metrics));
    let of_targets = TargetUpkeep::new(store, targets, metrics);
    let clean_up = async || {
        upkeep.remove_old().await.expect("removed");
        of_targets.clean_up().await.expect("cleaned up")
    };
    let marks = async || app.rows("hooktable_applied").await.len();
    app.clock.move_to(app.clock.now() + DAY * 80);
    assert_eq!((clean_up().await, marks().await), (Some(0), 1), "it is kept for 90 days");
    app.clock.move_to(app.clock.now() + DAY * 300);
    assert_eq!((clean_up().await, marks().await), (Some(0), 1), "a dead letter as old may run again");
    let dead = app.records().await.into_iter().find(|record| record.state.word() == "dead").expect("the dead letter");
    records::discard(&app.tools.store, dead.delivery, None).await.expect("discarded");
    assert_eq!((clean_up().await, marks().await), (Some(2), 0));
}
