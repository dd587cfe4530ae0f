//! `reply`: what a sender is answered in place of the delivery's id.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use hooktable::store::waiting::MOST;
use serde_json::json;

use crate::support::project::{Project, Reply, Serving, request, until};
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

const WAITING: &str = "reply: { status: 201, json: { id: $.id }, wait: 3s }";

#[tokio::test]
async fn a_sender_that_waits_is_told_202_when_its_time_is_over_and_the_rows_come_later() {
    let app = app(WAITING).await;
    let (answer, ()) = tokio::join!(send(&app, r#"{"id":"a"}"#), async {
        until_stored(&app, 1).await;
        app.clock.move_to(app.clock.now() + Duration::from_secs(3));
    });
    let stored = app.records().await[0].delivery.to_string();
    assert_eq!((answer.status, answer.body), (202, json!({ "delivery": stored })));
    assert_eq!(app.lines("things").await.len(), 0);
    app.run_pending_deliveries(Duration::ZERO).await;
    assert_eq!(app.lines("things").await, [r#"id="a" value=null"#]);
}

#[tokio::test]
async fn only_so_many_wait_and_the_others_are_told_202_at_once() {
    let app = app(WAITING).await;
    let bodies: Vec<String> = (0..MOST).map(|number| format!(r#"{{"id":"{number}"}}"#)).collect();
    let waiting = futures_util::future::join_all(bodies.iter().map(|body| send(&app, body)));
    let (answers, ()) = tokio::join!(waiting, async {
        until_stored(&app, MOST).await;
        assert_eq!(send(&app, r#"{"id":"one more"}"#).await.status, 202);
        app.run_pending_deliveries(Duration::ZERO).await;
    });
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
}

#[tokio::test]
async fn records_that_became_one_piece_of_work_answer_all_their_senders() {
    let app = app("coalesce: 1s\nreply: { status: 201, json: { delivery: $.delivery }, wait: 3s }").await;
    let (one, other, ()) = tokio::join!(send(&app, r#"{"id":"a"}"#), send(&app, r#"{"id":"a"}"#), async {
        until_stored(&app, 2).await;
        app.run_pending_deliveries(Duration::from_secs(2)).await;
    });
    assert_eq!(app.states().await.iter().filter(|state| **state == "superseded").count(), 1);
    assert_eq!((one.status, other.status), (201, 201));
    assert_ne!(one.body, other.body, "each is told of its own delivery");
}

async fn until_stored(app: &TestApp, number: usize) {
    while app.records().await.len() < number {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A provider: `/slow…` and `/stuck…` take their time, `/bad` fails.
fn provider() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || provide(stream));
        }
    });
    address
}

fn provide(mut stream: std::net::TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let seconds = if head.starts_with("GET /slow") { 3 } else { 8 * u64::from(head.starts_with("GET /stuck")) };
    std::thread::sleep(Duration::from_secs(seconds));
    let status = if head.starts_with("GET /bad") { "500 Broken" } else { "200 OK" };
    let answer =
        "HTTP/1.1 STATUS\r\ncontent-type: application/json\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"total\":7}";
    let _ = stream.write_all(answer.replace("STATUS", status).as_bytes());
}

/// A folder with one source that fetches, whose senders wait for so long.
fn project(wait: &str) -> Project {
    let file = format!(
        "auth: {{ none: a test }}
apis: {{ shop: {{ base: \"http://{}\", allow_private: true, retry: {{ times: 0 }} }} }}
extract: {{ id: $.body.id }}
id: $.body.once
lane: \"thing/{{{{ id }}}}\"
retry: {{ first: 1h }}
enrich: {{ order: \"/{{{{ id }}}}\" }}
write: {{ upsert: things, key: {{ id: $.id }}, set: {{ total: {{ from: $.order.total, as: integer }} }} }}
reply: {{ status: 201, json: {{ total: $.order.total }}, headers: {{ X-Id: $.id }}, wait: {wait} }}
",
        provider()
    );
    let project = Project::new().file("routes.d/things.yaml", &file);
    project.data_of(&["tables", "--create"]);
    project
}

fn post(server: &Serving, body: &str) -> Reply {
    request(&server.intake, "POST", "/in/things", &JSON, body)
}

#[test]
fn a_server_answers_with_what_was_fetched_once_the_rows_are_there() {
    let project = project("15s");
    let server = project.serve();
    let answer = post(&server, r#"{"id":"fast","once":1}"#);
    let rows = project.rows("things");
    assert_eq!((answer.status, answer.json()), (201, json!({ "total": 7 })), "{}", server.said());
    assert!(answer.head.contains("x-id: fast") && answer.head.contains("hooktable-delivery: "), "{}", answer.head);
    assert_eq!(rows.len(), 1, "they are there when the answer leaves");
    let again = post(&server, r#"{"id":"fast","once":1}"#);
    assert_eq!((again.status, &again.json()["duplicate"]), (200, &json!(true)));
    let began = Instant::now();
    let failing = post(&server, r#"{"id":"bad","once":2}"#);
    assert_eq!(failing.status, 202, "{}", failing.body);
    assert!(failing.json()["delivery"].is_string() && began.elapsed() < Duration::from_secs(10), "it is told at once");
}

#[test]
fn a_server_answers_202_when_the_time_is_over_and_writes_the_rows_all_the_same() {
    let project = project("500ms");
    let server = project.serve();
    let answer = post(&server, r#"{"id":"slow","once":1}"#);
    assert_eq!((answer.status, project.rows("things").len()), (202, 0), "{}", answer.body);
    assert!(answer.json()["delivery"].is_string());
    until(|| project.rows("things").len() == 1, || "the rows never came".to_owned());
}

#[test]
fn a_server_that_stops_answers_those_who_wait_at_once() {
    let project = project("30s");
    let server = project.serve();
    let intake = server.intake.clone();
    let sender = std::thread::spawn(move || {
        let answer = request(&intake, "POST", "/in/things", &JSON, r#"{"id":"stuck","once":1}"#);
        (answer, Instant::now())
    });
    until(|| project.run(&["deliveries", "list"]).data.contains("things"), || "it is never stored".to_owned());
    let asked = Instant::now();
    server.ask_to_stop();
    let (answer, answered) = sender.join().expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(answered - asked < Duration::from_secs(5), "{:?}", answered - asked);
    assert_eq!(server.wait_for_end().0, 0);
}

#[test]
fn tests_and_try_show_what_a_sender_that_waits_is_told() {
    let project = project("3s");
    let file = std::fs::read_to_string(project.path("routes.d/things.yaml")).expect("the file");
    let base = file.split('"').nth(1).expect("the base");
    let tests = format!(
        "tests:
  - name: fetched
    send: {{ json: {{ id: a, once: 1 }} }}
    apis: [ {{ get: {base}/a, json: {{ total: 8 }} }} ]
    expect: {{ status: 201, state: done, answer: {{ json: {{ total: 8 }}, headers: {{ x_id: a }} }} }}
  - name: failing
    send: {{ json: {{ id: b, once: 2 }} }}
    apis: [ {{ get: {base}/b, status: 500, text: no }} ]
    expect: {{ status: 202 }}
"
    );
    project.write("routes.d/things.test.yaml", &tests);
    let said = project.run(&["test"]);
    assert_eq!(said.code, 0, "{said:?}");
    let wrong = tests.replace("json: { total: 8 }, headers", "json: { total: 9 }, headers");
    project.write("routes.d/things.test.yaml", &wrong);
    assert_eq!(project.run(&["test"]).code, 1, "a wrong answer is seen");
    project.write("routes.d/things.test.yaml", &tests);
    project.write("a.json", r#"{"id":"a","once":1}"#);
    let tried = project.run(&["try", "routes.d/things.yaml", "--request", "a.json"]);
    assert!(tried.data.contains("reply: 201 once all records have ended, 202 after 3s\n  x-id: a\n  {\"total\":8}"), "{tried:?}");
    let explained = project.data_of(&["explain", "routes.d/things.yaml"]);
    assert!(explained.contains("answered: 201 with JSON once all records have ended; 202 after 3s or a failure"), "{explained}");
}
