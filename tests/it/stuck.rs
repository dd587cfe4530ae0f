//! A record that keeps failing holds its lane for a while, and then the others pass it.

use std::time::Duration;

use hooktable::model::record::RecordSummary;

use crate::support::test_app::{Builder, TestApp};

const MINUTE: Duration = Duration::from_secs(60);

/// Of one lane: a first record whose table is not there, and a second that can be written.
async fn app(late: &str) -> TestApp {
    let text = format!(
        "auth: {{ none: a test }}\nevent: $.body.event\nlane: thing\nstuck: 10m\nroutes:\n  - event: late\n    write: {late}\n  \
         - {{ event: thing, write: {{ upsert: things, key: {{ id: $.body.id }} }} }}\n"
    );
    let app = Builder::new("routes.d/things.yaml", &text).schema("create table things (id integer primary key)").start().await;
    for event in ["late", "thing"] {
        let body = format!(r#"{{"event":"{event}","id":1}}"#);
        assert_eq!(app.send("POST", "/in/things", &[("content-type", "application/json")], &body).await.status, 200);
    }
    app.run_pending_deliveries(9 * MINUTE).await;
    assert_eq!(app.states().await, ["retrying", "waiting"]);
    assert_eq!(app.records().await[1].blocks, 1, "it says who waits for it");
    app.run_pending_deliveries(2 * MINUTE).await;
    assert_eq!(app.states().await, ["retrying", "done"], "the other one has passed it");
    app.tools.targets.database("main").expect("main").run_script("create table late (id integer)").await.expect("made");
    for _ in 0..3 {
        app.run_pending_deliveries(60 * MINUTE).await;
    }
    app
}

fn first(mut records: Vec<RecordSummary>) -> RecordSummary {
    records.pop().expect("a record")
}

#[tokio::test]
async fn a_late_success_of_a_record_that_others_passed_undoes_nothing_newer() {
    let app = app("{ upsert: late, key: { id: $.body.id } }").await;
    let record = first(app.records().await);
    assert_eq!(record.state.word(), "superseded");
    assert!(record.reason.as_deref().is_some_and(|reason| reason.starts_with("the lane has moved on")), "{record:?}");
    assert!(app.lines("late").await.is_empty());
}

#[tokio::test]
async fn one_that_can_undo_nothing_runs_though_others_have_passed_it() {
    let app = app("{ insert: late, set: { id: $.body.id } }").await;
    assert_eq!(first(app.records().await).state.word(), "done");
    assert_eq!(app.lines("late").await, ["id=1"]);
}
