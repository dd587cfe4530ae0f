//! Two states of a thing that have the same version: the one that came later stays, whatever is replayed.

use std::collections::BTreeMap;
use std::time::Duration;

use hooktable::model::record::RecordSummary;
use hooktable::store::records::{self, Replay};

use crate::support::test_app::{Builder, TestApp};

const SCHEMA: &str = "create table things (id integer primary key, value text)";

/// Things whose early states need a value of this form.
fn file(early: &str) -> String {
    format!(
        "auth: {{ none: a test }}\nevent: $.body.event\nlane: \"thing/{{{{ body.id }}}}\"\nversion: $.body.at\nroutes:\n  \
         - event: early\n    write: {{ upsert: things, key: {{ id: $.body.id }}, set: {{ value: {early} }} }}\n  \
         - event: late\n    write: {{ upsert: things, key: {{ id: $.body.id }}, set: {{ value: $.body.value }} }}\n"
    )
}

const ANYTHING: &str = "$.body.value";
const NUMBERS: &str = "{ from: $.body.value, as: integer }";

async fn app(early: &str) -> TestApp {
    Builder::new("routes.d/things.yaml", &file(early)).schema(SCHEMA).start().await
}

/// Sends a state of a thing at version 5 and brings it to its end.
async fn send(app: &TestApp, event: &str, id: u32, value: &str) -> RecordSummary {
    let body = format!(r#"{{"event":"{event}","id":{id},"at":5,"value":"{value}"}}"#);
    assert_eq!(app.send("POST", "/in/things", &[("content-type", "application/json")], &body).await.status, 200);
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    app.records().await.remove(0)
}

/// Replays a delivery; whether its write was left out.
async fn is_left_out(app: &TestApp, record: &RecordSummary, replay: Replay) -> bool {
    assert_eq!(records::ask_replay(&app.tools.store, record.delivery, replay).await.expect("asked").marked, 1);
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    let shown = records::show(&app.tools.store, record.delivery).await.expect("shown").expect("a delivery");
    let last = shown.records.last().expect("a record");
    assert_eq!(last.state.word(), "done", "{last:?}");
    shown.attempts.last().expect("an attempt").attempt.changes[0].outdated
}

#[tokio::test]
async fn a_state_that_is_applied_again_leaves_one_of_the_same_version_that_came_later() {
    let app = app(ANYTHING).await;
    let early = send(&app, "early", 1, "one").await;
    send(&app, "late", 1, "two").await;
    assert_eq!(app.lines("things").await, ["id=1 value=\"two\""], "in turn, what has the same version is written");
    assert!(is_left_out(&app, &early, Replay { apply_again: true, ..Replay::default() }).await);
    assert_eq!(app.lines("things").await, ["id=1 value=\"two\""]);
}

#[tokio::test]
async fn a_dead_letter_that_is_mended_leaves_what_came_later_and_is_written_where_nothing_did() {
    let app = app(NUMBERS).await;
    let overtaken = send(&app, "early", 1, "one").await;
    send(&app, "late", 1, "two").await;
    send(&app, "late", 2, "zero").await;
    let last = send(&app, "early", 2, "one").await;
    let first = send(&app, "early", 3, "one").await;
    assert_eq!(app.states().await, ["dead", "done", "done", "dead", "dead"]);
    app.reload(&BTreeMap::from([("routes.d/things.yaml".to_owned(), file(ANYTHING))]));
    assert!(is_left_out(&app, &overtaken, Replay::default()).await);
    assert!(!is_left_out(&app, &last, Replay::default()).await, "what has its version came before it");
    assert!(!is_left_out(&app, &first, Replay::default()).await);
    assert_eq!(app.lines("things").await, ["id=1 value=\"two\"", "id=2 value=\"one\"", "id=3 value=\"one\""]);
}
