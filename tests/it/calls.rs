//! When calls are made and when they are not: side by side, in order, under limits that are shared, never twice, and never with an
//! answer that is too old. Over real HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Uri;
use hooktable::worker::pool::run_pending;
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use crate::support::test_app::{Builder, TestApp};

const MINUTE: Duration = Duration::from_secs(60);
const TABLE: &str = "create table things (id text primary key, value text)";
const SHOP: &str = "shop: { base: \"https://api.example.com\" }";

/// A source whose row holds `value`.
fn route(apis: &str, enrich: &str, value: &str) -> String {
    format!(
        "auth: {{ none: a test }}\nsecrets: {{ key: {{ env: KEY }} }}\napis:\n  {apis}\nextract: {{ id: $.body.id }}\n\
         lane: \"{{{{ body.lane or id }}}}\"\nenrich:\n  {enrich}\n\
         write: {{ upsert: things, key: {{ id: $.body.id }}, version: fetched, set: {{ value: {value} }} }}\n"
    )
}

async fn app(apis: &str, enrich: &str, value: &str, simulate: &str) -> TestApp {
    let builder =
        Builder::new("routes.d/things.yaml", &route(apis, enrich, value)).schema(TABLE).environment("KEY", "key-canary");
    builder.simulate(simulate).start().await
}

async fn send(app: &TestApp, body: &str) {
    assert_eq!(app.send("POST", "/in/things", &[("content-type", "application/json")], body).await.status, 200);
}

async fn values(app: &TestApp) -> Vec<String> {
    app.rows("things").await.iter().map(|row| row["value"].as_str().unwrap_or("null").to_owned()).collect()
}

async fn reason(app: &TestApp) -> String {
    app.records().await[0].reason.clone().unwrap_or_default()
}

/// A provider that answers nobody before `together` requests are there; and the most that were there at once.
async fn meeting(together: usize) -> (String, Arc<AtomicUsize>) {
    let (barrier, most) = (Arc::new(Barrier::new(together)), Arc::new(AtomicUsize::new(0)));
    let (now, highest) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
    let router = axum::Router::new().fallback(move |uri: Uri| {
        let (barrier, now, highest) = (Arc::clone(&barrier), Arc::clone(&now), Arc::clone(&highest));
        async move {
            highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            barrier.wait().await;
            now.fetch_sub(1, Ordering::SeqCst);
            format!("{{\"name\":\"{}\"}}", uri.path().trim_start_matches('/'))
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let base =
        format!("shop: {{ base: \"http://{}\", allow_private: true, concurrency: 3 }}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base, most)
}

#[tokio::test]
async fn calls_that_do_not_need_each_other_run_side_by_side() {
    let (api, most) = meeting(2).await;
    let app = app(
        &api,
        "a: /a\n  b: /b\n  c: \"/{{ a.name }}{{ b.name }}\"\n  d: \"/d{{ b.name }}\"",
        "\"{{ c.name }} {{ d.name }}\"",
        "",
    )
    .await;
    send(&app, "{\"id\":\"1\"}").await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(values(&app).await, ["ab db"], "{}", reason(&app).await);
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn calls_for_items_run_side_by_side_as_far_as_the_api_permits() {
    let (api, most) = meeting(3).await;
    let each = "all: { each: { n: $.body.all }, get: \"/{{ n }}\" }";
    let app = app(&api, each, "\"{% for one in all %}{{ one.name }}{% endfor %}\"", "").await;
    send(&app, "{\"id\":\"1\",\"all\":[9,8,7,6,5,4,3,2,1]}").await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(values(&app).await, ["987654321"], "{}", reason(&app).await);
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_the_provider_does_not_have_means_what_the_file_says() {
    for (absent, state, rows) in [
        ("gone", "done", &[][..]),
        ("\"null\"", "done", &["nothing"]),
        ("ignore", "ignored", &["old"]),
        ("fail", "dead", &["old"]),
    ] {
        let answers = "answers: [{ get: /a/1, json: { name: old }, times: 1 }, { get: /b/1, status: 410 }]";
        let call = format!("thing: {{ get: [\"/a/{{{{ id }}}}\", \"/b/{{{{ id }}}}\"], absent: {absent} }}");
        let app = app(SHOP, &call, "\"{{ thing.name or 'nothing' }}\"", answers).await;
        send(&app, "{\"id\":\"1\"}").await;
        app.run_pending_deliveries(MINUTE).await;
        assert_eq!(values(&app).await, ["old"]);
        send(&app, "{\"id\":\"1\"}").await;
        app.run_pending_deliveries(MINUTE).await;
        assert_eq!(app.records().await[0].state.word(), state, "{absent}: {}", reason(&app).await);
        assert_eq!(values(&app).await, rows, "{absent}");
        assert_eq!(app.api.calls(), ["GET /a/1", "GET /a/1", "GET /b/1"], "{absent}");
    }
}

#[tokio::test]
async fn a_page_that_leads_back_to_itself_is_no_page() {
    for pages in ["next: $.answer.body.next", "cursor: $.answer.body.next, as: from"] {
        let call = format!("list: {{ get: /list, take: $.answer.body.items, pages: {{ {pages} }} }}");
        let app = app(
            SHOP,
            &call,
            "\"{{ list | length }}\"",
            "answers: [{ get: /list, json: { items: [1], next: \"/list?from=1\" } }]",
        )
        .await;
        send(&app, "{\"id\":\"1\"}").await;
        app.run_pending_deliveries(MINUTE).await;
        assert_eq!((app.states().await, app.api.calls().len()), (vec!["dead"], 2), "{pages}");
        assert!(reason(&app).await.contains("a page says that it is itself the next one"), "{}", reason(&app).await);
    }
}

#[tokio::test]
async fn an_answer_whose_request_began_before_the_webhook_came_does_not_serve_it() {
    let answers = "answers: [{ get: /x/1, json: { name: old }, delay: 1s, times: 1 }, { get: /x/1, json: { name: new } }]";
    let app = app(SHOP, "thing: \"/x/{{ body.thing }}\"", "$.thing.name", answers).await;
    send(&app, "{\"id\":\"1\",\"thing\":1,\"lane\":\"a\"}").await;
    let tools = app.tools.clone();
    let first = tokio::spawn(async move { run_pending(&tools, 1).await });
    while app.api.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    // the thing changes at the provider, which tells of it while the first answer is on its way
    app.clock.move_to(app.clock.now() + Duration::from_secs(1));
    send(&app, "{\"id\":\"2\",\"thing\":1,\"lane\":\"b\"}").await;
    let tools = app.tools.clone();
    let second = tokio::spawn(async move { run_pending(&tools, 1).await });
    for work in [second, first] {
        work.await.expect("it ends").expect("worked");
    }
    assert_eq!(values(&app).await, ["old", "new"], "{}", reason(&app).await);
    assert_eq!(app.api.calls().len(), 2);
}

#[tokio::test]
async fn a_budget_is_shared_by_all_apis_of_a_tenant_that_name_it() {
    let apis = "shop: { base: \"https://api.example.com\", limits: [2/m], budget: quota }\n  other: { base: \"https://login.example\", budget: quota }";
    let app = app(apis, "a: { api: shop, get: /a }\n  b: { api: other, get: \"/b/{{ a.name }}\" }", "$.b.name", "").await;
    app.answer("a", "{\"name\":\"A\"}");
    app.answer("b/A", "{\"name\":\"B\"}");
    send(&app, "{\"id\":\"1\"}").await;
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    assert_eq!((app.states().await, app.api.calls().len()), (vec!["held"], 1), "{}", reason(&app).await);
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!((values(&app).await, app.api.calls().len()), (vec!["B".to_owned()], 2));
}

#[tokio::test]
async fn what_waits_for_a_budget_holds_nobody_up_and_makes_its_calls_once() {
    let limited = "shop: { base: \"https://api.example.com\", limits: [20/m] }";
    // the first item needs two calls, so that it has to wait for the second while the other item's call is still under way
    let each = "all: { each: { n: $.body.all }, get: [\"/none/{{ n }}\", \"/x/{{ n }}\"] }";
    let answers = "answers: [{ get: /none/b, json: { name: B }, delay: 500ms }, { get: /x/a, json: { name: A } }]";
    let other = "auth: { none: a test }\nlane: \"{{ body.id }}\"\nwrite: { upsert: things, key: { id: $.body.id }, set: { value: free } }\n";
    let value = "\"{% for one in all %}{{ one.name }}{% endfor %}\"";
    let app = app(limited, each, value, answers).await;
    app.reload(
        &[("routes.d/things.yaml".to_owned(), route(limited, each, value)), ("routes.d/other.yaml".to_owned(), other.to_owned())]
            .into(),
    );
    send(&app, "{\"id\":\"1\",\"all\":[\"a\",\"b\"]}").await;
    assert_eq!(app.send("POST", "/in/other", &[("content-type", "application/json")], "{\"id\":\"2\"}").await.status, 200);
    run_pending(&app.tools, 1).await.expect("worked");
    assert_eq!(app.states().await, ["held", "done"], "{}", reason(&app).await);
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(values(&app).await, ["AB", "free"], "{}", reason(&app).await);
    let mut calls = app.api.calls();
    calls.sort();
    assert_eq!(calls, ["GET /none/a", "GET /none/b", "GET /x/a"], "none is made twice");
}

#[tokio::test]
async fn records_that_take_turns_under_a_narrow_limit_all_come_to_their_end() {
    let app = app(
        "shop: { base: \"https://api.example.com\", limits: [3/m] }",
        "rates: /rates\n  thing: \"/x/{{ rates.name }}/{{ id }}\"",
        "$.thing.name",
        "answers: [{ get: \"/*\", json: { name: N } }]",
    )
    .await;
    for id in 0..6 {
        send(&app, &format!("{{\"id\":\"{id}\"}}")).await;
    }
    app.run_pending_deliveries(8 * MINUTE).await;
    assert_eq!(app.states().await, ["done"; 6], "{}", reason(&app).await);
    assert!(app.api.calls().len() <= 12, "{:?}", app.api.calls());
}

#[tokio::test]
async fn credentials_that_are_refused_are_sent_once_by_all_who_wait_for_the_login() {
    let login = "shop: { base: \"https://api.example.com\", headers: { UID: \"{{ session.uid }}\" }, login: { post: /login, json: { key: \"{{ secret.key }}\" }, take: { uid: $.answer.body.uid } } }";
    let app = app(login, "a: /a\n  b: /b\n  c: /c", "$.a.name", "answers: [{ post: /login, status: 401 }]").await;
    send(&app, "{\"id\":\"1\"}").await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(app.api.calls(), ["POST /login"]);
    assert!(reason(&app).await.contains("login of api `shop`: the API refuses the credentials (401)"), "{}", reason(&app).await);
}
