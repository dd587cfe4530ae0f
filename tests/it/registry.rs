//! What a reload changes and what it must not: a bad file never breaks a good one, and nothing fails open.

use std::collections::BTreeMap;
use std::time::Duration;

use hooktable::config::render;
use hooktable::model::bundle::Bundle;
use hooktable::routes::load::Texts;
use hooktable::routes::registry::{Reloaded, Status};

use crate::support::test_app::{Builder, TestApp};

const SENSORS: &str = r#"
auth: { token: $.headers.x_token, secret: { env: SENSORS_TOKEN } }
write: { insert: sensor_log, set: { received_at: $.received_at, raw: $.body } }
"#;
const SCHEMA: &str = "create table sensor_log (id integer primary key, received_at text, raw text, place text)";
const TOKEN: [(&str, &str); 1] = [("x-token", "sesame-canary")];

async fn sensors() -> TestApp {
    Builder::new("routes.d/sensors.yaml", SENSORS).schema(SCHEMA).environment("SENSORS_TOKEN", "sesame-canary").start().await
}

fn texts(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn rendered(reloaded: &Reloaded) -> String {
    render::text(&reloaded.loaded.diagnostics, &reloaded.loaded.texts, false)
}

async fn status_of(app: &TestApp, path: &str) -> u16 {
    app.send("POST", path, &TOKEN, "{}").await.status
}

#[tokio::test]
async fn the_smallest_file_works_as_printed() {
    let app = sensors().await;
    let body = r#"{"t":21.50,"id":9007199254740993}"#;
    assert_eq!(app.send("POST", "/in/sensors", &TOKEN, body).await.status, 200);
    assert_eq!(app.send("POST", "/in/sensors", &[("x-token", "wrong")], body).await.status, 401);
    assert_eq!(
        app.send("POST", "/in/sensors", &[("x_token", "sesame-canary")], body).await.status,
        401,
        "an underscore on the wire poses as nothing"
    );
    assert_eq!(app.send("POST", "/in/sensors", &[], body).await.status, 401);
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    let rows = app.rows("sensor_log").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["raw"], body);
    assert_eq!(rows[0]["received_at"], "2026-11-21T10:00:00Z");
}

#[tokio::test]
async fn a_change_is_taken_over_and_a_broken_one_is_not() {
    let app = sensors().await;
    let changed = SENSORS.replace("raw: $.body", "raw: $.body, place: $.body.place");
    app.reload(&texts(&[("routes.d/sensors.yaml", &changed)]));
    app.send("POST", "/in/sensors", &TOKEN, r#"{"place":"roof"}"#).await;
    let broken = app.reload(&texts(&[("routes.d/sensors.yaml", &changed.replace("$.body.place", "$.boddy.place"))]));
    let message = rendered(&broken);
    assert!(
        message.contains("routes.d/sensors.yaml:3:") && message.contains("^^^^^") && message.contains("did you mean `body`"),
        "{message}"
    );
    app.send("POST", "/in/sensors", &TOKEN, r#"{"place":"cellar"}"#).await;
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    let places: Vec<_> = app.rows("sensor_log").await.iter().map(|row| row["place"].clone()).collect();
    assert_eq!(places, ["roof", "cellar"]);
    assert!(matches!(app.tools.registry.statuses()[0].status, Status::LastGood { .. }));
}

#[tokio::test]
async fn a_new_file_that_overlaps_leaves_the_old_one_running() {
    let app = sensors().await;
    let thief = format!("receive: {{ path: \"/in/:anything\" }}\n{SENSORS}");
    let reloaded = app.reload(&texts(&[("routes.d/a-thief.yaml", &thief), ("routes.d/sensors.yaml", SENSORS)]));
    assert!(rendered(&reloaded).contains("`a-thief` and `sensors` can both receive the same request"), "{}", rendered(&reloaded));
    assert_eq!(status_of(&app, "/in/sensors").await, 200);
    assert_eq!(app.records().await[0].source, "sensors");
}

#[tokio::test]
async fn a_vanished_source_goes_on_for_a_while_and_is_never_unknown() {
    let app = sensors().await;
    let reloaded = app.reload(&texts(&[]));
    assert_eq!(reloaded.vanished, ["sensors"]);
    assert_eq!(status_of(&app, "/in/sensors").await, 200);
    app.run_pending_deliveries(Duration::from_secs(301)).await;
    app.tools.registry.refresh();
    let answer = app.send("POST", "/in/sensors", &TOKEN, "{}").await;
    assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (503, true));
    assert_eq!(status_of(&app, "/in/never-was").await, 404);
    app.reload(&texts(&[("routes.d/sensors.yaml", SENSORS)]));
    assert_eq!(status_of(&app, "/in/sensors").await, 200);
}

#[tokio::test]
async fn an_unset_secret_keeps_a_source_shut() {
    let app = sensors().await;
    let other = SENSORS.replace("SENSORS_TOKEN", "NOT_SET");
    let reloaded = app.reload(&texts(&[("routes.d/sensors.yaml", SENSORS), ("routes.d/other.yaml", &other)]));
    let message = render::text(&reloaded.loaded.unset, &reloaded.loaded.texts, false);
    assert!(message.contains("routes.d/other.yaml:2:") && message.contains("NOT_SET"), "{message}");
    let answer = app.send("POST", "/in/other", &[("x-token", "")], "{}").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(status_of(&app, "/in/sensors").await, 200);
}

#[tokio::test]
async fn the_last_good_version_stands_in_after_a_restart() {
    let fresh = sensors().await;
    let bundle = Bundle {
        source: "later".into(),
        main: "routes.d/later.yaml".into(),
        files: texts(&[("routes.d/later.yaml", SENSORS)]),
        templates: BTreeMap::new(),
    };
    let files =
        Texts { routes: texts(&[("routes.d/sensors.yaml", SENSORS), ("routes.d/later.yaml", "auth: {")]), ..Texts::default() };
    fresh.tools.registry.reload(&files, &BTreeMap::from([("later".to_owned(), bundle)]));
    assert_eq!(status_of(&fresh, "/in/later").await, 200);
    assert!(matches!(fresh.tools.registry.statuses()[0].status, Status::LastGood { .. }));
}
