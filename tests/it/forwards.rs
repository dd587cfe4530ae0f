//! Forwards: what is sent to other systems once a record is done, over real HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use hooktable::model::forward::ForwardSummary;
use hooktable::store::forwards;

use crate::support::receiver::Receiver;
use crate::support::test_app::{Builder, TestApp};

const MINUTE: Duration = Duration::from_secs(60);
const TABLE: &str = "create table things (id text primary key, value text)";

/// One route: `id` is the body's, each thing has a lane, one row is written, and this follows.
async fn app(receiver: &Receiver, more: &str, forward: &str) -> TestApp {
    let text = text(receiver, more, forward);
    let app = Builder::new("routes.d/things.yaml", &text).schema(TABLE);
    let app = app.environment("KEY", "key-canary").environment("OUT", "whsec_b3V0LWNhbmFyeS1vdXQtY2FuYXJ5LW91dA==");
    app.environment("URL", &format!("http://{}/hidden/url-canary", receiver.address)).start().await
}

fn text(receiver: &Receiver, more: &str, forward: &str) -> String {
    format!(
        "auth: {{ none: a test }}\nsecrets: {{ key: {{ env: KEY }}, outgoing: {{ env: OUT }}, url: {{ env: URL }} }}\n\
         apis:\n  other: {{ base: \"http://{}\", allow_private: true, retry: {{ times: 0 }} }}\n{more}\
         extract: {{ id: $.body.id }}\nlane: \"thing/{{{{ id }}}}\"\n\
         write: {{ upsert: things, key: {{ id: $.id }}, set: {{ value: {{ from: $.body.value, required: false }} }} }}\nforward:\n{forward}\n",
        receiver.address
    )
}

async fn send(app: &TestApp, body: &str) {
    let answer = app.send("POST", "/in/things?a=1", &[("content-type", "application/json; charset=utf-8")], body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// All forwards of all deliveries, oldest delivery first.
async fn all(app: &TestApp) -> Vec<ForwardSummary> {
    let mut found = Vec::new();
    for record in app.records().await.iter().rev() {
        found.extend(forwards::of_delivery(&app.tools.store, record.delivery).await.expect("forwards"));
    }
    found
}

async fn states(app: &TestApp) -> Vec<String> {
    all(app).await.iter().map(|one| format!("{} {}", one.target, one.state)).collect()
}

#[tokio::test]
async fn a_forward_is_sent_once_its_record_is_done() {
    let receiver = Receiver::start().await;
    let forward = "  shaped: { put: \"/things/{{ id }}\", query: { key: \"{{ secret.key }}\" }, headers: { X-Id: $.id }, json: { id: $.id, key: \"{{ secret.key }}\" } }
  as_it_came: { api: other, post: /raw, raw: true }
  hidden: { api: other, post: \"{{ secret.url }}\", form: { id: $.id } }
  not_wanted: { post: /never, json: {}, when: id == 'other' }";
    let app = app(&receiver, "", forward).await;
    send(&app, r#"{ "id":"a/b" }"#).await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(app.states().await, ["done"]);
    assert_eq!(states(&app).await, ["shaped done", "as_it_came done", "hidden done"]);
    let received = receiver.received();
    let at = |path: &str| received.iter().find(|one| one.target.starts_with(path)).unwrap_or_else(|| panic!("{received:?}"));
    let shaped = at("/things/");
    assert_eq!((shaped.method.as_str(), shaped.target.as_str()), ("PUT", "/things/a%2Fb?key=key-canary"));
    assert_eq!((shaped.header("x-id"), shaped.header("hooktable-hop")), (Some("a/b"), Some("1")));
    assert_eq!(shaped.text(), r#"{"id":"a/b","key":"key-canary"}"#);
    assert_eq!(at("/raw").text(), r#"{ "id":"a/b" }"#);
    assert_eq!(at("/raw").header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(at("/hidden/url-canary").text(), "id=a%2Fb");
    let ids: Vec<String> = all(&app).await.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(
        ids.iter().map(String::as_str).collect::<Vec<_>>(),
        ["/things/", "/raw", "/hidden"].map(|path| at(path).header("webhook-id").expect("an id"))
    );
    let shown = serde_json::to_string(&all(&app).await).expect("JSON");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("/things/a%2Fb"), "{shown}");
}

#[tokio::test]
async fn a_target_that_fails_holds_up_no_other_and_no_record() {
    let receiver = Receiver::start().await;
    receiver.answer(|request| if request.target == "/bad" { (500, vec![]) } else { (204, vec![]) });
    let forward = "  bad: { post: /bad, json: { value: $.body.value }, retry: { first: 1m, factor: 1, for: 10m } }
  good: { post: /good, json: { value: $.body.value } }";
    let app = app(&receiver, "", forward).await;
    for value in ["1", "2", "3"] {
        send(&app, &format!(r#"{{"id":"x","value":"{value}"}}"#)).await;
    }
    app.run_pending_deliveries(MINUTE * 2).await;
    assert_eq!(app.states().await, ["done", "done", "done"]);
    assert_eq!(app.lines("things").await, [r#"id="x" value="3""#]);
    assert_eq!(receiver.bodies("/good"), [r#"{"value":"1"}"#, r#"{"value":"2"}"#, r#"{"value":"3"}"#]);
    assert!(receiver.bodies("/bad").iter().all(|body| body == r#"{"value":"1"}"#), "the first keeps its place");
    let first = all(&app).await.into_iter().find(|one| one.target == "bad").expect("it");
    assert_eq!(first.state.word(), "retrying");
    assert!(first.attempts > 0 && first.next_at.is_some(), "{first:?}");
    assert_eq!(first.reason.as_deref(), Some("api `other` answered 500"));
    receiver.answer(|_| (200, vec![]));
    app.run_pending_deliveries(MINUTE * 10).await;
    let bad = receiver.bodies("/bad");
    assert_eq!(bad[bad.len() - 3..], [r#"{"value":"1"}"#, r#"{"value":"2"}"#, r#"{"value":"3"}"#]);
    assert_eq!(receiver.bodies("/good").len(), 3, "nothing of another target was sent again");
    assert!(all(&app).await.iter().all(|one| one.state.word() == "done"));
}

#[tokio::test]
async fn what_cannot_succeed_is_dead_at_once_and_what_never_does_after_its_time() {
    let receiver = Receiver::start().await;
    receiver.answer(|request| match request.target.as_str() {
        "/gone" => (422, vec![]),
        "/moved" => (302, vec![("location", "/login".to_owned())]),
        _ => (503, vec![]),
    });
    let forward = "  gone: { post: /gone, text: hello }
  moved: { post: /moved, text: hello }
  down: { post: /down, text: hello, retry: { first: 1s, for: 1m } }
  unmade: { post: /unmade, json: { value: \"{{ body.nothing }} of it\" } }";
    let app = app(&receiver, "", forward).await;
    send(&app, r#"{"id":"x"}"#).await;
    app.run_pending_deliveries(MINUTE * 30).await;
    assert_eq!(states(&app).await, ["gone dead", "moved dead", "down dead", "unmade dead"]);
    let found = all(&app).await;
    let reason =
        |target: &str| found.iter().find(|one| one.target == target).and_then(|one| one.reason.clone()).expect("a reason");
    assert_eq!(reason("gone"), "the target answered 422");
    assert!(reason("moved").starts_with("the target answered 302"), "{}", reason("moved"));
    assert!(reason("down").starts_with("given up after 1m: "), "{}", reason("down"));
    assert!(reason("unmade").contains("body.nothing"), "{}", reason("unmade"));
    assert_eq!(receiver.bodies("/login").len() + receiver.bodies("/unmade").len(), 0);
    assert_eq!(app.states().await, ["done"]);
}

#[tokio::test]
async fn refused_credentials_and_a_wish_to_wait_hold_one_target_only() {
    let receiver = Receiver::start().await;
    receiver.answer(|request| match request.target.as_str() {
        "/locked" => (401, vec![]),
        "/busy" => (429, vec![("retry-after", "1800".to_owned())]),
        _ => (200, vec![]),
    });
    let api = "  second: { like: other }\n  third: { like: other }\n";
    let forward = "  locked: { api: other, post: /locked, text: \"{{ id }}\" }
  busy: { api: second, post: /busy, text: \"{{ id }}\" }
  fine: { api: third, post: /fine, text: \"{{ id }}\" }";
    let app = app(&receiver, api, forward).await;
    send(&app, r#"{"id":"x"}"#).await;
    send(&app, r#"{"id":"y"}"#).await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(app.states().await, ["done", "done"]);
    assert_eq!(receiver.bodies("/fine"), ["x", "y"]);
    let found = all(&app).await;
    assert!(
        found.iter().filter(|one| one.target != "fine").all(|one| one.state.word() == "held" && one.attempts == 0),
        "{found:?}"
    );
    receiver.answer(|_| (200, vec![]));
    hooktable::store::lanes::resume_pool(&app.tools.store, "things", None).await.expect("resumed");
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(receiver.bodies("/locked").len(), 4, "once more each, as soon as the credentials changed");
    app.run_pending_deliveries(MINUTE * 31).await;
    assert!(all(&app).await.iter().all(|one| one.state.word() == "done"), "{:?}", states(&app).await);
}

#[tokio::test]
async fn what_goes_round_in_a_circle_is_stopped() {
    let receiver = Receiver::start().await;
    let app = app(&receiver, "", "  round: { post: /round, raw: true }").await;
    send(&app, r#"{"id":"x"}"#).await;
    for turn in 1..=6 {
        app.run_pending_deliveries(MINUTE).await;
        let received = receiver.received();
        if turn == 6 {
            assert_eq!(received.len(), 5, "the sixth is not sent");
            break;
        }
        let last = received.last().expect("it was sent");
        assert_eq!(last.header("hooktable-hop"), Some(turn.to_string().as_str()));
        let hop = [("content-type", "application/json"), ("hooktable-hop", last.header("hooktable-hop").expect("a hop"))];
        assert_eq!(app.send_bytes("POST", "/in/things", &hop, &last.body).await.status, 200);
    }
    let last = all(&app).await.pop().expect("one");
    assert_eq!((last.state.word(), last.attempts), ("dead", 0));
    assert!(last.reason.as_deref().is_some_and(|reason| reason.contains("5 times") && reason.contains("circle")), "{last:?}");
}

#[tokio::test]
async fn what_is_signed_is_let_in_by_our_own_presets() {
    for (preset, header) in
        [("standard-webhooks", "webhook-signature"), ("github", "x-hub-signature-256"), ("stripe", "stripe-signature")]
    {
        let receiver = Receiver::start().await;
        let sign = format!("  signed: {{ post: /signed, raw: true, sign: {{ preset: {preset}, secret: outgoing }} }}");
        let sender = app(&receiver, "", &sign).await;
        send(&sender, r#"{"id": "x"}"#).await;
        sender.run_pending_deliveries(Duration::from_secs(1)).await;
        let sent = receiver.received().pop().unwrap_or_else(|| panic!("{preset}: nothing came"));
        assert!(sent.header(header).is_some(), "{preset}: {sent:?}");
        let inbox = format!(
            "auth: {{ preset: {preset}, secret: {{ env: OUT }} }}\nwrite: {{ insert: things, set: {{ id: $.body.id }} }}\n"
        );
        let other = Builder::new("routes.d/inbox.yaml", &inbox)
            .schema(TABLE)
            .environment("OUT", "whsec_b3V0LWNhbmFyeS1vdXQtY2FuYXJ5LW91dA==")
            .start()
            .await;
        let headers: Vec<(&str, &str)> = sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            other.send_bytes("POST", "/in/inbox", &headers, &sent.body).await.status,
            200,
            "{preset}: {:?}",
            other.rejected("inbox")
        );
        assert_eq!(other.send_bytes("POST", "/in/inbox", &headers, br#"{"id": "y"}"#).await.status, 401, "{preset}");
    }
}

#[tokio::test]
async fn a_forward_carries_what_was_fetched_and_a_login_and_mends_with_the_file() {
    let receiver = Receiver::start().await;
    let api = "  shop: { base: \"https://api.example.com\" }
  portal: { base: \"https://login.example\", headers: { Authorization: \"Bearer {{ session.uid }}\" }, login: { post: /login, form: { key: \"{{ secret.key }}\" }, take: { uid: $.answer.body.uid } } }
enrich: { order: { api: shop, get: \"/orders/{{ id }}\" } }\n";
    let forward = |path: &str| format!("  total: {{ api: portal, post: {path}, json: {{ total: $.order.total }} }}");
    let builder = Builder::new("routes.d/things.yaml", &text(&receiver, api, &forward("/wrong")));
    let app = builder
        .schema(TABLE)
        .environment("KEY", "key-canary")
        .environment("OUT", "x")
        .environment("URL", "x")
        .simulate(
            "answers: [{ get: /orders/x, json: { total: 12.50 } }, { post: /login, json: { uid: u-canary } }, { post: /right, json: {} }, { post: /wrong, status: 404 }]",
        )
        .start()
        .await;
    send(&app, r#"{"id":"x"}"#).await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(states(&app).await, ["total dead"]);
    let mended = text(&receiver, api, &forward("/right"));
    app.reload(&BTreeMap::from([("routes.d/things.yaml".to_owned(), mended)]));
    let delivery = app.records().await[0].delivery;
    assert_eq!(forwards::replay(&app.tools.store, delivery, None).await.expect("asked").marked, 1);
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(states(&app).await, ["total done"]);
    assert_eq!(app.api.calls(), ["GET /orders/x", "POST /login", "POST /wrong", "POST /right"], "fetched once, logged in once");
    assert_eq!(app.api.bodies().last().map(String::as_str), Some(r#"{"total":12.50}"#));
}

#[tokio::test]
async fn what_is_gone_is_forwarded_where_no_answer_is_needed() {
    let receiver = Receiver::start().await;
    let api = "  shop: { base: \"https://api.example.com\", absent: gone }\nenrich: { order: { api: shop, get: \"/orders/{{ id }}\" } }\n";
    let forward = "  number: { api: other, post: /number, json: { id: $.id, gone: $.gone } }
  order: { api: other, post: /order, json: { total: $.order.total } }
  deleted: { api: other, delete: \"/things/{{ id }}\", when: gone }";
    let app = app(&receiver, api, forward).await;
    send(&app, r#"{"id":"x"}"#).await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(app.states().await, ["done"]);
    assert_eq!(states(&app).await, ["number done", "deleted done"]);
    assert_eq!(receiver.bodies("/number"), [r#"{"id":"x","gone":true}"#]);
    assert_eq!(receiver.received().iter().filter(|one| one.method == "DELETE" && one.target == "/things/x").count(), 1);
}
