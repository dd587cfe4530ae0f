//! `reply`: what a sender is answered in place of the delivery's id.

use std::time::Duration;

use serde_json::json;

use crate::support::test_app::{Answer, Builder, TestApp};

const TABLE: &str = "create table things (id text primary key, value text)";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn app(more: &str) -> TestApp {
    let text = format!(
        "auth: {{ none: a test }}\nextract: {{ id: $.body.id }}\nlane: \"thing/{{{{ id }}}}\"\n\
         write: {{ upsert: things, key: {{ id: $.id }}, set: {{ value: {{ from: $.body.value, required: false }} }} }}\n{more}\n"
    );
    Builder::new("routes.d/things.yaml", &text).schema(TABLE).start().await
}

async fn send(app: &TestApp, body: &str) -> Answer {
    app.send("POST", "/in/things", &JSON, body).await
}

#[tokio::test]
async fn a_sender_is_told_what_the_route_file_says_once_its_delivery_is_stored() {
    let app = app(
        "reply: { status: 201, json: { ok: true, id: $.id, delivery: $.delivery }, headers: { X-Kind: \"thing {{ id }}\" } }",
    )
    .await;
    let answer = send(&app, r#"{"id":"a"}"#).await;
    let stored = app.records().await[0].delivery.to_string();
    assert_eq!((answer.status, &answer.body), (201, &json!({ "ok": true, "id": "a", "delivery": stored })));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!((answer.headers["x-kind"].as_str(), answer.headers["hooktable-delivery"].as_str()), ("thing a", stored.as_str()));
    app.run_pending_deliveries(Duration::ZERO).await;
    assert_eq!(app.states().await, ["done"]);
}

#[tokio::test]
async fn what_cannot_be_made_is_no_fault_of_the_senders() {
    let app = app("reply: { text: \"{{ body.name }}\", headers: { X-Value: $.body.value } }").await;
    for body in [r#"{"id":"a","value":"v"}"#, r#"{"id":"a","name":"x","value":"two\nlines"}"#, "{ broken"] {
        let answer = send(&app, body).await;
        let newest = app.records().await[0].delivery.to_string();
        assert_eq!((answer.status, answer.body), (200, json!({ "delivery": newest })), "{body}");
    }
    assert_eq!(send(&app, r#"{"id":"a","name":"x","value":"v"}"#).await.text, "x");
}

#[tokio::test]
async fn a_routes_reply_replaces_the_files_and_what_is_left_alone_is_answered_too() {
    let routes = "event: $.body.event
reply: { text: file }
routes:
  - { event: own, reply: { text: \"own {{ id }}\" } }
  - { event: plain }
  - { event: test, ignore: a button, reply: { status: 204 } }
  - { event: other, ignore: not ours }";
    let app = app(routes).await;
    for (event, status, text) in
        [("own", 200, "own a"), ("plain", 200, "file"), ("test", 204, ""), ("other", 200, "file"), ("none", 200, "file")]
    {
        let answer = send(&app, &format!(r#"{{"id":"a","event":"{event}"}}"#)).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{event}");
    }
}

#[tokio::test]
async fn of_several_records_the_first_ones_reply_counts_and_a_duplicate_is_told_so() {
    let text = "auth: { none: a test }
payload: { split: { one: $.body } }
event: $.one.event
id: $.one.id
routes:
  - { event: a, write: { insert: things, set: { id: $.one.id } }, reply: { text: \"first was {{ one.id }}\" } }
  - { event: b, write: { insert: things, set: { id: $.one.id } }, reply: { text: no } }";
    let app = Builder::new("routes.d/things.yaml", text).schema(TABLE).start().await;
    let body = r#"[{"event":"a","id":"1"},{"event":"b","id":"2"}]"#;
    assert_eq!(send(&app, body).await.text, "first was 1");
    let first = app.records().await[0].delivery.to_string();
    let again = send(&app, body).await;
    assert_eq!((again.status, again.body), (200, json!({ "delivery": first, "duplicate": true })));
}
