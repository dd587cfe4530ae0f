//! Calls of a route against a provider's API over real HTTP: bodies, pages, searches, items, sessions, refused credentials, what an
//! answer may serve, and what is kept of a failure.

use std::time::Duration;

use hooktable::http_client::breaker::CircuitStatus;
use hooktable::model::attempt::Attempt;
use hooktable::rehearsal::simulate::Simulation;
use hooktable::store::{integrations, lanes, pools, records};

use crate::secrets::assert_absent;
use crate::support::project::Project;
use crate::support::test_app::{Builder, TestApp};

const MINUTE: Duration = Duration::from_secs(60);
const TABLE: &str = "create table things (id text primary key, value text)";

/// An application with one route: `id` is the body's, and one row holds `value`.
async fn app(apis: &str, enrich: &str, value: &str, simulate: &str) -> TestApp {
    let text = format!(
        "auth: {{ none: a test }}\nsecrets: {{ key: {{ env: KEY }} }}\napis:\n{apis}\nextract: {{ id: $.body.id }}\nlane: \"thing/{{{{ id }}}}\"\n\
         enrich:\n{enrich}\nwrite: {{ upsert: things, key: {{ id: $.id }}, set: {{ value: {value} }} }}\n"
    );
    Builder::new("routes.d/things.yaml", &text).schema(TABLE).environment("KEY", "key-canary").simulate(simulate).start().await
}

const SHOP: &str = "  shop: { base: \"https://api.example.com\" }";

async fn send(app: &TestApp, id: &str) {
    let body = format!("{{\"id\":\"{id}\"}}");
    assert_eq!(app.send("POST", "/in/things", &[("content-type", "application/json")], &body).await.status, 200);
}

async fn run(app: &TestApp) {
    app.run_pending_deliveries(MINUTE).await;
}

/// What the row of `id` holds.
async fn value(app: &TestApp, id: &str) -> String {
    let rows = app.rows("things").await;
    let row = rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no row for {id}"));
    row["value"].as_str().unwrap_or("null").to_owned()
}

async fn reason(app: &TestApp) -> String {
    app.records().await[0].reason.clone().unwrap_or_default()
}

async fn attempts(app: &TestApp) -> Vec<Attempt> {
    let delivery = app.records().await[0].delivery;
    let shown = records::show(&app.tools.store, delivery).await.expect("a delivery").expect("a delivery");
    shown.attempts.into_iter().map(|one| one.attempt).collect()
}

#[tokio::test]
async fn a_post_carries_json_a_form_a_multipart_form_or_text() {
    for (body, expected) in [
        ("json: { number: $.id, all: [1, \"{{ id }}\"] }", "{\"number\":\"a/b\",\"all\":[1,\"a/b\"]}"),
        ("form: { number: $.id, key: \"{{ secret.key }}\" }", "number=a%2Fb&key=key-canary"),
        ("text: \"<find id='{{ id }}'/>\"", "<find id='a/b'/>"),
    ] {
        let app = app(
            SHOP,
            &format!("  thing: {{ post: \"/find/{{{{ id }}}}\", query: {{ q: \"{{{{ id }}}}\" }}, {body} }}"),
            "$.thing.name",
            "answers: [{ post: \"/find/*\", json: { name: found } }]",
        )
        .await;
        send(&app, "a/b").await;
        run(&app).await;
        assert_eq!(app.api.calls(), ["POST /find/a%2Fb?q=a%2Fb"]);
        assert_eq!(app.api.bodies(), [expected]);
        assert_eq!(value(&app, "a/b").await, "found");
    }
    let app = app(
        SHOP,
        "  thing: { post: /find, multipart: { id: $.id } }",
        "$.thing.name",
        "answers: [{ post: /find, json: { name: found } }]",
    )
    .await;
    send(&app, "7").await;
    run(&app).await;
    assert!(
        app.api.bodies()[0].contains("Content-Disposition: form-data; name=\"id\"\r\n\r\n7\r\n--hooktable-"),
        "{:?}",
        app.api.bodies()
    );
    assert_eq!(value(&app, "7").await, "found");
}

#[tokio::test]
async fn every_way_of_turning_pages_joins_them_in_order() {
    for (pages, answers, calls) in [
        (
            "number: page, last: $.answer.body.pages",
            "{ get: \"/list?page=1\", json: { items: [1, 2], pages: 2 } }, { get: \"/list?page=2\", json: { items: [3], pages: 2 } }",
            ["GET /list?page=1", "GET /list?page=2"],
        ),
        (
            "next: $.answer.body.next",
            "{ get: \"/list?x=2\", json: { items: [3] } }, { get: /list, json: { items: [1, 2], next: \"list?x=2\" } }",
            ["GET /list", "GET /list?x=2"],
        ),
        (
            "cursor: $.answer.body.cursor, as: from",
            "{ get: \"/list?from=b%26\", json: { items: [3], cursor: null } }, { get: /list, json: { items: [1, 2], cursor: \"b&\" } }",
            ["GET /list", "GET /list?from=b%26"],
        ),
        (
            "offset: skip, size: 2",
            "{ get: \"/list?skip=0\", json: { items: [1, 2] } }, { get: \"/list?skip=2\", json: { items: [3] } }",
            ["GET /list?skip=0", "GET /list?skip=2"],
        ),
    ] {
        let enrich = format!("  list: {{ get: /list, take: $.answer.body.items, pages: {{ {pages} }} }}");
        let app = app(SHOP, &enrich, "\"{{ list | join('-') }}\"", &format!("answers: [{answers}]")).await;
        send(&app, "1").await;
        run(&app).await;
        assert_eq!(app.api.calls(), calls, "{pages}: {}", reason(&app).await);
        assert_eq!(value(&app, "1").await, "1-2-3", "{pages}");
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up_on() {
    let endless = "answers: [{ get: /list, json: { items: [1] } }]";
    let app = app(
        SHOP,
        "  list: { get: /list, take: $.answer.body.items, pages: { number: page, most: 3 } }",
        "\"{{ list | length }}\"",
        endless,
    );
    let app = app.await;
    send(&app, "1").await;
    run(&app).await;
    assert_eq!((app.states().await, app.api.calls().len()), (vec!["dead"], 3));
    assert!(reason(&app).await.contains("the list goes on behind page 3"), "{}", reason(&app).await);
}

#[tokio::test]
async fn a_search_ends_with_its_hit_and_without_one_the_thing_is_absent() {
    let enrich = "  thing: { get: /list, pages: { number: page, last: $.answer.body.pages }, find: { it: $.answer.body.items, where: it.id == id }, absent: \"null\" }";
    let answers = "answers: [{ get: \"/list?page=1\", json: { items: [{ id: a, name: A }], pages: 3 } }, { get: \"/list?page=2\", json: { items: [{ id: b, name: B }], pages: 3 } }, { get: \"/list?page=3\", json: { items: [], pages: 3 } }]";
    let app = app(SHOP, enrich, "\"{{ thing.name or 'nobody' }}\"", answers).await;
    send(&app, "b").await;
    run(&app).await;
    assert_eq!((value(&app, "b").await, app.api.calls().len()), ("B".to_owned(), 2));
    app.api.forget_calls();
    send(&app, "c").await;
    run(&app).await;
    assert_eq!((value(&app, "c").await, app.api.calls().len()), ("nobody".to_owned(), 3));
}

#[tokio::test]
async fn a_call_for_each_item_keeps_their_order_and_asks_once_for_equal_ones() {
    let enrich = "  order: \"/orders/{{ id }}\"\n  products: { each: { line: $.order.lines }, get: \"/products/{{ line.no }}\", when: line.no, absent: \"null\" }";
    let answers = "answers: [{ get: /orders/1, json: { lines: [{ no: b }, { no: a }, {}, { no: b }, { no: gone }] } }, { get: /products/b, json: { name: B }, delay: 100ms }, { get: /products/a, json: { name: A } }]";
    let app = app(SHOP, enrich, "\"{% for one in products %}{{ one.name or '-' }}{% endfor %}\"", answers).await;
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(value(&app, "1").await, "BA-B-", "{}", reason(&app).await);
    let mut calls = app.api.calls();
    calls.sort();
    assert_eq!(calls, ["GET /orders/1", "GET /products/a", "GET /products/b", "GET /products/gone"]);
}

#[tokio::test]
async fn a_call_whose_condition_does_not_hold_leaves_its_name_unset() {
    let app = app(SHOP, "  thing: { get: \"/x/{{ id }}\", when: id == '2' }", "\"{{ thing.name or 'unset' }}\"", "").await;
    app.answer("x/2", "{\"name\":\"two\"}");
    send(&app, "1").await;
    send(&app, "2").await;
    run(&app).await;
    assert_eq!((value(&app, "1").await, value(&app, "2").await), ("unset".to_owned(), "two".to_owned()));
}

#[tokio::test]
async fn a_status_that_is_accepted_is_an_answer() {
    let answers = "answers: [{ get: /x, status: 404, json: { name: none } }]";
    let app = app(SHOP, "  thing: { get: [/x, /y], accept: [2xx, 404] }", "$.thing.name", answers).await;
    send(&app, "1").await;
    run(&app).await;
    assert_eq!((value(&app, "1").await, app.api.calls().len()), ("none".to_owned(), 1));
}

#[tokio::test]
async fn a_url_out_of_an_answer_stays_on_declared_hosts() {
    let enrich = "  order: /orders/1\n  customer: { get: \"{{ order.customer }}\" }";
    let app = app(SHOP, enrich, "$.customer.name", "").await;
    app.answer("orders/1", "{\"customer\":\"https://api.example.com/customers/2?full=1\"}");
    app.answer("customers/2", "{\"name\":\"N\"}");
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(value(&app, "1").await, "N");
    app.answer("orders/1", "{\"customer\":\"https://evil.example/customers/2\"}");
    send(&app, "2").await;
    run(&app).await;
    assert!(reason(&app).await.contains("may not call `https://evil.example`"), "{}", reason(&app).await);
}

#[tokio::test]
async fn a_value_cannot_lead_to_another_path() {
    let app = app(SHOP, "  tasks: \"/projects/{{ id }}/tasks\"", "$.tasks.name", "").await;
    app.answer("tasks", "{\"name\":\"of another\"}");
    send(&app, "..").await;
    run(&app).await;
    let reason = reason(&app).await;
    assert!(reason.contains("a value makes the segment `..` in `/projects/{{ id }}/tasks`"), "{reason}");
    assert!(app.rows("things").await.is_empty());
}

#[tokio::test]
async fn a_url_that_is_wholly_a_secret_declares_its_own_host() {
    let text = "auth: { none: a test }\nsecrets: { url: { env: URL } }\napis:\n  shop: { base: \"https://api.example.com\" }\n\
        enrich:\n  thing: { get: \"{{ secret.url }}\" }\nwrite: { upsert: things, key: { id: $.body.id }, set: { value: $.thing.name } }\n";
    let app =
        Builder::new("routes.d/things.yaml", text).schema(TABLE).environment("URL", "https://login.example/hook/c4n4ry").start();
    let app = app.await;
    app.answer("hook/c4n4ry", "{\"name\":\"N\"}");
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(value(&app, "1").await, "N", "{}", reason(&app).await);
    assert_absent(format!("{:?}", attempts(&app).await).as_bytes(), &["https://login.example/hook/c4n4ry"], "an attempt");
}

const LOGIN: &str = "  shop:\n    base: https://api.example.com\n    headers: { UID: \"{{ session.uid }}\" }\n    login: { post: /apilogin, headers: { API-Key: \"{{ secret.key }}\" }, multipart: { sAPIKey: \"{{ secret.key }}\" }, take: { uid: \"$.answer.body[0].UID\" }, for: 30m }";

#[tokio::test]
async fn records_share_a_login_until_it_ends_or_is_refused() {
    let answers = "answers: [{ post: /apilogin, json: [{ UID: first-session }], times: 1 }, { post: /apilogin, json: [{ UID: second-session }] }, { get: /x/4, status: 401, times: 1 }]";
    let app = app(LOGIN, "  thing: \"/x/{{ id }}\"", "$.thing.name", answers).await;
    for id in ["1", "2", "3", "4"] {
        app.answer(&format!("x/{id}"), "{\"name\":\"N\"}");
    }
    for id in ["1", "2", "3"] {
        send(&app, id).await;
    }
    run(&app).await;
    assert_eq!(app.states().await, ["done"; 3], "{}", reason(&app).await);
    assert_eq!(app.api.count("/apilogin"), 1, "{:?}", app.api.calls());
    send(&app, "4").await;
    run(&app).await;
    assert_eq!(app.states().await, ["done"; 4], "{}", reason(&app).await);
    assert_eq!(app.api.count("/apilogin"), 2, "a refused session is had anew: {:?}", app.api.calls());
    app.clock.move_to(app.clock.now() + 31 * MINUTE);
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(app.api.count("/apilogin"), 3, "one that has ended too");
    let shown = format!("{:?}", attempts(&app).await);
    assert_absent(shown.as_bytes(), &["key-canary", "first-session", "second-session"], "an attempt");
}

#[tokio::test]
async fn a_token_by_client_credentials_is_sent_and_had_anew_before_it_ends() {
    let apis = "  shop: { base: \"https://api.example.com\", oauth2: { token_url: \"https://login.example/token\", client: hooktable, secret: key, scope: read } }";
    let answers = "answers: [{ post: /token, json: { access_token: token-canary, token_type: Bearer, expires_in: 600 } }]";
    let app = app(apis, "  thing: \"/x/{{ id }}\"", "$.thing.name", answers).await;
    app.answer("x/1", "{\"name\":\"N\"}");
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(value(&app, "1").await, "N", "{}", reason(&app).await);
    assert_eq!(app.api.bodies()[0], "grant_type=client_credentials&scope=read");
    app.clock.move_to(app.clock.now() + 4 * MINUTE);
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(app.api.count("/token"), 1);
    app.clock.move_to(app.clock.now() + 4 * MINUTE);
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(app.api.count("/token"), 2, "a minute before its end it is not used any more");
    assert_absent(format!("{:?}", attempts(&app).await).as_bytes(), &["key-canary", "token-canary"], "an attempt");
}

#[tokio::test]
async fn refused_credentials_hold_the_work_until_they_change() {
    let text = "auth: { api_key: $.query.key }\nintegration: { fields: { token: { label: Token, secret: true } } }\napis:\n  shop: { base: \"https://api.example.com\", headers: { X-Token: \"{{ secret.token }}\" } }\n\
        extract: { id: $.body.id }\nlane: \"{{ id }}\"\nenrich: { thing: \"/x/{{ id }}\" }\nwrite: { upsert: things, shared: true, key: { id: $.id }, version: fetched, set: { value: $.thing.name } }\n";
    let simulate =
        "answers: [{ get: \"/x/*\", status: 401, json: { error: wrong token }, times: 1 }, { get: \"/x/*\", json: { name: N } }]";
    let app = Builder::new("routes.d/things.yaml", text).schema(TABLE).simulate(simulate).start().await;
    let key = app.key("acme", "things").await;
    let integration = app.integration("acme", "things", &[], &[("token", "wrong-canary")]).await;
    for id in ["1", "2"] {
        let target = format!("/in/things?key={key}");
        assert_eq!(app.send("POST", &target, &[], &format!("{{\"id\":\"{id}\"}}")).await.status, 200);
        run(&app).await;
    }
    assert_eq!(app.states().await, ["held", "held"], "{:?}", app.records().await);
    assert_eq!(app.api.calls().len(), 1, "the second one is not tried with credentials that are refused");
    assert!(reason(&app).await.contains("the API refuses the credentials (401)"), "{:?}", app.records().await);
    assert_absent(format!("{:?}", attempts(&app).await).as_bytes(), &["wrong-canary"], "an attempt");
    let waiting = pools::needing_attention(&app.tools.store).await.expect("readable");
    assert_eq!(
        waiting.iter().map(|pool| (pool.source.as_str(), pool.tenant_id)).collect::<Vec<_>>(),
        [("things", integration.tenant.id)]
    );
    assert!(waiting[0].reason.contains("(401)"), "{waiting:?}");
    let changes = integrations::FieldChanges {
        set: integrations::Fields { secret: [("token".to_owned(), "right-canary".into())].into(), ..Default::default() },
        ..Default::default()
    };
    integrations::set_fields(&app.tools.store, integration.id, changes, &[]).await.expect("changed");
    lanes::resume_pool(&app.tools.store, "things", Some(&integration.tenant)).await.expect("resumed");
    run(&app).await;
    assert_eq!(app.states().await, ["done", "done"]);
    assert_eq!(pools::needing_attention(&app.tools.store).await.expect("readable"), []);
}

#[tokio::test]
async fn credentials_that_were_changed_before_the_old_ones_are_refused_are_tried_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let text = format!(
        "auth: {{ api_key: $.query.key }}\nintegration: {{ fields: {{ token: {{ label: Token, secret: true }} }} }}\n\
         apis:\n  shop: {{ base: \"http://{}\", allow_private: true, headers: {{ X-Token: \"{{{{ secret.token }}}}\" }} }}\n\
         extract: {{ id: $.body.id }}\nlane: \"{{{{ id }}}}\"\nenrich: {{ thing: \"/x/{{{{ id }}}}\" }}\n\
         write: {{ upsert: things, shared: true, key: {{ id: $.id }}, version: fetched, set: {{ value: $.thing.name }} }}\n",
        listener.local_addr().expect("an address")
    );
    let app = Builder::new("routes.d/things.yaml", &text).schema(TABLE).start().await;
    let key = app.key("acme", "things").await;
    let integration = app.integration("acme", "things", &[], &[("token", "wrong-canary")]).await;
    let store = app.tools.store.clone();
    let api = axum::Router::new().fallback(move |headers: axum::http::HeaderMap| {
        let (store, integration) = (store.clone(), integration.clone());
        async move {
            if headers.get("x-token").is_some_and(|token| token == "right-canary") {
                return (axum::http::StatusCode::OK, axum::Json(serde_json::json!({ "name": "N" })));
            }
            // the operator is faster than the answer
            let set = integrations::Fields { secret: [("token".to_owned(), "right-canary".into())].into(), ..Default::default() };
            let changes = integrations::FieldChanges { set, ..Default::default() };
            integrations::set_fields(&store, integration.id, changes, &[]).await.expect("changed");
            lanes::resume_pool(&store, "things", Some(&integration.tenant)).await.expect("resumed");
            (axum::http::StatusCode::UNAUTHORIZED, axum::Json(serde_json::json!({ "error": "wrong token" })))
        }
    });
    tokio::spawn(async move { axum::serve(listener, api).await });
    assert_eq!(app.send("POST", &format!("/in/things?key={key}"), &[], "{\"id\":\"1\"}").await.status, 200);
    run(&app).await;
    assert_eq!(app.states().await, ["done"], "{:?}", app.records().await);
    assert_eq!(pools::needing_attention(&app.tools.store).await.expect("readable"), []);
}

#[tokio::test]
async fn what_a_provider_forbids_is_dead_at_once_and_its_words_are_kept() {
    let answers = "answers: [{ get: /x/1, status: 403, json: { message: your key key-canary may not } }]";
    let app = app(SHOP, "  thing: \"/x/{{ id }}\"", "$.thing.name", answers).await;
    send(&app, "1").await;
    run(&app).await;
    assert_eq!((app.states().await, app.api.calls().len()), (vec!["dead"], 1));
    let attempts = attempts(&app).await;
    let call = &attempts[0].calls[0];
    assert_eq!((call.status, call.body.as_deref()), (Some(403), Some("{\"message\":\"your key ••• may not\"}")));
}

#[tokio::test]
async fn answers_that_are_none_are_told_apart() {
    for (answer, expected) in [
        (
            "headers: { content-type: text/html }, text: \"<html>we are back soon</html>\"",
            "the answer is `text/html`; expected JSON",
        ),
        ("text: \"{ name: x\"", "the answer is not JSON at line 1, column 3"),
        ("text: \"{ \\\"name\\\": \"", "the answer's JSON ends too early, at line 1, column 10"),
        ("json: { name: a rather long name }, fault: truncate", "the connection was lost before the answer was complete"),
        ("json: { name: a }, fault: reset", "the connection was lost before the answer was complete"),
    ] {
        let app = app(
            SHOP,
            "  thing: { get: /x, retry: { times: 0 } }",
            "$.thing.name",
            &format!("answers: [{{ get: /x, {answer} }}]"),
        )
        .await;
        send(&app, "1").await;
        app.run_pending_deliveries(Duration::from_secs(1)).await;
        assert_eq!(app.states().await, ["retrying"], "{answer}");
        assert!(reason(&app).await.contains(expected), "{answer}: {}", reason(&app).await);
    }
}

#[tokio::test]
async fn an_answer_that_drips_ends_with_the_timeout() {
    let app = app(
        SHOP,
        "  thing: { get: /x, timeout: 300ms, retry: { times: 0 } }",
        "$.thing.name",
        "answers: [{ get: /x, json: { name: a rather long name }, fault: drip }]",
    )
    .await;
    send(&app, "1").await;
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    assert!(reason(&app).await.contains("its answer did not end within 300ms"), "{}", reason(&app).await);
}

#[tokio::test]
async fn reference_answers_serve_for_their_time_and_subject_answers_never_before_the_webhook() {
    let enrich = "  order: { get: \"/orders/{{ id }}\", cache: 10m }\n  customer: { get: \"/customers/{{ order.customer }}\", cache: 10m }";
    let app = app(SHOP, enrich, "\"{{ order.name }} {{ customer.name }}\"", "").await;
    app.answer("orders/1", "{\"name\":\"one\",\"customer\":7}");
    app.answer("customers/7", "{\"name\":\"C\"}");
    send(&app, "1").await;
    run(&app).await;
    app.answer("orders/1", "{\"name\":\"two\",\"customer\":7}");
    app.answer("customers/7", "{\"name\":\"D\"}");
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(value(&app, "1").await, "two C", "what the webhook is about is fetched again, what it leads to is not");
    assert_eq!(app.api.calls(), ["GET /orders/1", "GET /customers/7", "GET /orders/1"]);
    let attempts = attempts(&app).await;
    assert_eq!(attempts[0].calls.iter().map(|call| call.cached).collect::<Vec<_>>(), [false, true]);
    app.clock.move_to(app.clock.now() + 11 * MINUTE);
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(value(&app, "1").await, "two D");
}

#[tokio::test]
async fn an_api_that_is_like_another_takes_over_what_it_does_not_say() {
    let apis = "  shop: { base: \"https://api.example.com/v1\", headers: { X-Key: \"{{ secret.key }}\", X-Kind: a }, take: $.answer.body.data }\n  other: { like: shop, base: \"https://api.example.com/v2\", headers: { X-Kind: b } }";
    let app = app(apis, "  thing: { api: other, get: /x }", "$.thing.name", "").await;
    app.answer("v2/x", "{\"data\":{\"name\":\"N\"}}");
    send(&app, "1").await;
    run(&app).await;
    assert_eq!(value(&app, "1").await, "N", "{}", reason(&app).await);
}

#[tokio::test]
async fn an_attempt_that_is_held_by_a_limit_goes_on_with_the_answers_it_had() {
    let apis = "  shop: { base: \"https://api.example.com\", limits: [4/m] }";
    let enrich = "  one: { get: [/none, \"/x/{{ id }}\"] }\n  two: \"/y/{{ one.name }}\"\n  three: \"/z/{{ two.name }}\"";
    let app = app(apis, enrich, "$.three.name", "").await;
    app.answer("x/1", "{\"name\":\"a\"}");
    app.answer("y/a", "{\"name\":\"b\"}");
    app.answer("z/b", "{\"name\":\"c\"}");
    send(&app, "1").await;
    app.run_pending_deliveries(5 * MINUTE).await;
    assert_eq!(app.states().await, ["done"], "{}", reason(&app).await);
    assert_eq!(app.api.calls(), ["GET /none", "GET /x/1", "GET /y/a", "GET /z/b"], "nothing is asked twice");
}

#[tokio::test]
async fn limits_that_answers_tell_are_kept_to() {
    let app = app(
        SHOP,
        "  thing: \"/x/{{ id }}\"",
        "$.thing.name",
        "answers: [{ get: /x/1, json: { name: N }, headers: { X-RateLimit-Remaining: \"0\", X-RateLimit-Reset: \"30\" } }]",
    )
    .await;
    app.answer("x/2", "{\"name\":\"M\"}");
    send(&app, "1").await;
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    send(&app, "2").await;
    app.run_pending_deliveries(Duration::from_secs(20)).await;
    assert_eq!((app.states().await, app.api.calls().len()), (vec!["done", "held"], 1), "{:?}", app.records().await);
    app.run_pending_deliveries(Duration::from_secs(20)).await;
    assert_eq!((app.states().await, app.api.calls().len()), (vec!["done", "done"], 2));
}

#[tokio::test]
async fn an_api_that_fails_is_left_alone_and_then_asked_by_one_call() {
    let app = app(SHOP, "  thing: { get: \"/x/{{ id }}\", retry: { times: 0 } }", "$.thing.name", "").await;
    for number in 0..20 {
        app.answer(&format!("x/{number}"), "{\"name\":\"N\"}");
        send(&app, &number.to_string()).await;
    }
    app.api.set_down(true);
    app.run_pending_deliveries(Duration::from_secs(3)).await;
    assert_eq!(app.api.calls().len(), 8, "no more than it takes to see that it is down");
    assert!(app.states().await.iter().all(|state| ["held", "retrying"].contains(state)), "{:?}", app.states().await);
    let reasons: Vec<_> = app.records().await.into_iter().filter_map(|record| record.reason).collect();
    assert!(
        reasons.iter().any(|reason| reason
            .contains("its circuit is open after 8 failed requests in a row, the last one: api `shop` answered 503")),
        "{reasons:?}"
    );
    let [circuit] = app.tools.http.circuits().try_into().expect("one circuit");
    let CircuitStatus { api, scope, open: Some(open) } = circuit else { panic!("it is open: {circuit:?}") };
    assert_eq!((api.as_str(), scope.as_str(), open.failures), ("shop", "things//", 8));
    assert_eq!(open.reason, "api `shop` answered 503");
    app.run_pending_deliveries(Duration::from_secs(20)).await;
    assert!(app.api.calls().len() <= 8 + 3, "probes only: {:?}", app.api.calls());
    app.api.set_down(false);
    app.run_pending_deliveries(10 * MINUTE).await;
    assert_eq!(app.states().await, ["done"; 20]);
    assert_eq!(app.tools.http.circuits()[0].open, None);
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_asked() {
    let answers = tempfile::tempdir().expect("a folder");
    std::fs::write(answers.path().join("x.json"), "{\"name\":\"N\"}").expect("written");
    let provider = Simulation::start(answers.path(), ([127, 0, 0, 1], 0).into()).await.expect("a provider");
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    proxy.set_nonblocking(true).expect("set");
    let route = format!(
        "auth: {{ none: a test }}\napis: {{ shop: {{ base: \"{}\", allow_private: true }} }}\nenrich: {{ thing: /x }}\nwrite: {{ insert: things, set: {{ value: $.thing.name }} }}\n",
        provider.url()
    );
    let proxied = format!("http://{}", proxy.local_addr().expect("an address"));
    let mut project = Project::new().file("routes.d/things.yaml", &route).file("request.http", "POST /in/things HTTP/1.1\n\n{}");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        project = project.environment(name, &proxied);
    }
    let said =
        tokio::task::spawn_blocking(move || project.run(&["try", "routes.d/things.yaml", "--request", "request.http", "--live"]));
    let said = said.await.expect("it ends");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(provider.calls(), ["GET /x"]);
    assert!(proxy.accept().is_err(), "nobody connected to the proxy");
}

#[tokio::test]
async fn what_was_fetched_earlier_does_not_overwrite_what_was_fetched_later() {
    let file = "auth: { none: a test }\napis: { shop: { base: \"https://api.example.com\" } }\nevent: $.body.event\nextract: { id: $.body.id }\n\
        lane: \"order/{{ id }}\"\n\
        routes:\n\
        - event: kept\n  enrich: { rates: { get: /rates, cache: 1h } }\n\
        \x20 write: { upsert: things, key: { id: $.rates.id }, version: fetched, set: { value: $.rates.value } }\n\
        - event: fresh\n  enrich: { rates: { get: /rates, query: { for: $.id } } }\n\
        \x20 write: { upsert: things, key: { id: $.rates.id }, version: fetched, set: { value: $.rates.value } }\n\
        - event: gone\n  write: { delete: things, key: { id: a }, version: fetched }\n";
    let answers =
        "answers: [{ get: \"/rates?for=1\", json: { id: a, value: fresh } }, { get: /rates, json: { id: a, value: kept } }]";
    let app = Builder::new("routes.d/things.yaml", file).schema(TABLE).simulate(answers).start().await;
    let deliver = async |event: &str| {
        app.clock.move_to(app.clock.now() + MINUTE);
        let body = format!("{{\"event\":\"{event}\",\"id\":1}}");
        assert_eq!(app.send("POST", "/in/things", &[("content-type", "application/json")], &body).await.status, 200);
        run(&app).await;
        assert_eq!(app.records().await[0].state.word(), "done", "{}", reason(&app).await);
    };
    deliver("kept").await;
    assert_eq!(value(&app, "a").await, "kept");
    deliver("fresh").await;
    assert_eq!(value(&app, "a").await, "fresh");
    deliver("kept").await;
    assert_eq!(app.api.calls(), ["GET /rates", "GET /rates?for=1"], "the third was served by the answer to the first");
    assert_eq!(value(&app, "a").await, "fresh");
    assert!(attempts(&app).await[0].changes[0].outdated);
    deliver("gone").await;
    assert!(app.rows("things").await.is_empty());
    deliver("kept").await;
    assert!(app.rows("things").await.is_empty(), "what is kept is older than the end of it");
    deliver("fresh").await;
    assert_eq!(value(&app, "a").await, "fresh");
}

#[tokio::test]
async fn an_attempt_notes_which_moment_an_ambiguous_local_time_was_taken_for() {
    let value_of = "{ from: $.body.at, as: timestamp, zone: Europe/Copenhagen }";
    let app = app(SHOP, "  thing: { get: /thing }", value_of, "answers: [{ get: /thing, json: {} }]").await;
    let body = "{\"id\":\"1\",\"at\":\"2026-10-25T02:30:00\"}";
    assert_eq!(app.send("POST", "/in/things", &[("content-type", "application/json")], body).await.status, 200);
    run(&app).await;
    assert!(value(&app, "1").await.starts_with("2026-10-25T00:30:00"));
    let noted = attempts(&app).await[0].notes.join("; ");
    assert_eq!(noted, "the local time 2026-10-25T02:30:00 of Europe/Copenhagen came twice: the earlier moment was taken");
}
