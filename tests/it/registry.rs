//! What a reload changes and what it must not: a bad file never breaks a good one, and nothing fails open.

use std::collections::BTreeMap;
use std::time::Duration;

use hooktable::config::render;
use hooktable::model::bundle::Bundle;
use hooktable::routes::load::Texts;
use hooktable::routes::registry::{Reloaded, Status};
use hooktable::store::records::{self, Replay};

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

/// A source that receives at `/in/PATH`.
fn at(path: &str, head: &str) -> String {
    format!("{head}\nreceive: {{ path: /in/{path} }}\n{SENSORS}")
}

fn reason_of(app: &TestApp, name: &str) -> String {
    let statuses = app.tools.registry.statuses();
    match &statuses.iter().find(|status| status.name == name).expect("known").status {
        Status::Active => String::new(),
        Status::LastGood { reason } | Status::NotReady { reason } => reason.clone(),
    }
}

#[tokio::test]
async fn a_renamed_source_takes_its_requests_along() {
    let app = sensors().await;
    let reloaded = app.reload(&texts(&[("routes.d/sensors.yaml", &at("sensors", "source: meters"))]));
    assert_eq!((rendered(&reloaded), reloaded.vanished), (String::new(), vec!["sensors".to_owned()]));
    assert_eq!(
        reason_of(&app, "sensors"),
        "its file `routes.d/sensors.yaml` no longer describes it; it goes on for five minutes"
    );
    assert_eq!(status_of(&app, "/in/sensors").await, 200);
    assert_eq!(app.records().await[0].source, "meters");
    app.reload(&texts(&[("routes.d/sensors.yaml", "source: {")]));
    assert_ne!(reason_of(&app, "meters"), "", "the broken file is that of the new name");
}

#[tokio::test]
async fn two_files_swap_their_names_one_after_the_other() {
    let app = sensors().await;
    let (one, two) = (at("one", "source: one"), at("two", "source: two"));
    let half = at("first", "source: two");
    app.reload(&texts(&[("routes.d/a.yaml", &one), ("routes.d/b.yaml", &two)]));
    let reloaded = app.reload(&texts(&[("routes.d/a.yaml", &half), ("routes.d/b.yaml", &two)]));
    assert!(
        rendered(&reloaded).contains("the source `two` is described by `routes.d/b.yaml` already"),
        "{}",
        rendered(&reloaded)
    );
    for path in ["/in/one", "/in/two"] {
        assert_eq!(status_of(&app, path).await, 200, "{path}");
    }
    let reloaded = app.reload(&texts(&[("routes.d/a.yaml", &half), ("routes.d/b.yaml", &at("second", "source: one"))]));
    assert_eq!(rendered(&reloaded), "");
    for (path, status) in [("/in/first", 200), ("/in/second", 200), ("/in/one", 404), ("/in/two", 404)] {
        assert_eq!(status_of(&app, path).await, status, "{path}");
    }
}

#[tokio::test]
async fn an_edit_does_not_take_what_an_unchanged_file_receives() {
    let app = sensors().await;
    let (one, two) = (at("one", ""), at("two", ""));
    app.reload(&texts(&[("routes.d/a.yaml", &one), ("routes.d/b.yaml", &two)]));
    let reloaded = app.reload(&texts(&[("routes.d/a.yaml", &two), ("routes.d/b.yaml", &two)]));
    assert!(rendered(&reloaded).contains("--> routes.d/a.yaml"), "{}", rendered(&reloaded));
    assert!(reason_of(&app, "a").contains("can both receive"), "{}", reason_of(&app, "a"));
    // the last good version of `a` still has what a new file wants
    let reloaded = app.reload(&texts(&[("routes.d/a.yaml", &two), ("routes.d/b.yaml", &two), ("routes.d/c.yaml", &one)]));
    assert!(rendered(&reloaded).contains("mend `routes.d/a.yaml` first"), "{}", rendered(&reloaded));
    for (path, source) in [("/in/one", "a"), ("/in/two", "b")] {
        assert_eq!(status_of(&app, path).await, 200);
        assert_eq!(app.records().await[0].source, source);
    }
    // both at once is no conflict
    let reloaded = app.reload(&texts(&[("routes.d/a.yaml", &two), ("routes.d/b.yaml", &one)]));
    assert_eq!(rendered(&reloaded), "");
    assert_eq!(status_of(&app, "/in/one").await, 200);
    assert_eq!(app.records().await[0].source, "b");
}

#[tokio::test]
async fn a_source_goes_on_when_its_file_becomes_a_lender_or_its_name_changes_in_case() {
    let app = sensors().await;
    app.reload(&texts(&[("routes.d/sensors.yaml", "apis: { shop: { base: \"https://shop.example\" } }\n")]));
    assert!(reason_of(&app, "sensors").contains("no longer describes it"));
    assert_eq!(status_of(&app, "/in/sensors").await, 200);
    app.reload(&texts(&[("routes.d/Sensors.yaml", SENSORS)]));
    for path in ["/in/sensors", "/in/Sensors"] {
        assert_eq!(status_of(&app, path).await, 200, "{path}");
    }
}

#[tokio::test]
async fn every_item_that_a_mended_file_finds_in_a_dead_letter_runs() {
    let file =
        |head: &str| format!("auth: {{ none: a test }}\n{head}\nwrite: {{ insert: sensor_log, set: {{ raw: $.event }} }}\n");
    let app = Builder::new("routes.d/a.yaml", &file("event: $.body.kind")).schema(SCHEMA).start().await;
    let answer = app.send("POST", "/in/a", &[], r#"{"items":[{"kind":"x"},{"kind":"y"},{"kind":"z"}]}"#).await;
    assert_eq!((answer.status, app.states().await), (200, vec!["dead"]));
    app.reload(&texts(&[("routes.d/a.yaml", &file("payload: { split: { item: $.body.items } }\nevent: $.item.kind"))]));
    let delivery = app.records().await[0].delivery;
    assert_eq!(records::ask_replay(&app.tools.store, delivery, Replay::default()).await.expect("asked").marked, 1);
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    assert_eq!(app.states().await, ["done", "done", "done"]);
    let raws: Vec<_> = app.rows("sensor_log").await.iter().map(|row| row["raw"].clone()).collect();
    assert_eq!(raws, ["x", "y", "z"]);
    records::ask_replay(&app.tools.store, delivery, Replay { apply_again: true, ..Replay::default() }).await.expect("asked");
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    assert_eq!(app.rows("sensor_log").await.len(), 6, "there are no further ones the second time");
}
