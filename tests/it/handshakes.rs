//! The handshakes of real providers, each written in YAML and sent as the provider sends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{KeyInit as _, Mac as _};
use hooktable::store::onboarding;
use serde_json::{Value as Json, json};

use crate::support::test_app::{Answer, Builder, TestApp};

const WRITE: &str = "write: { insert: log, set: { body: $.body } }\n";
/// 2026-11-21T10:00:00Z
const MOMENT: &str = "1795255200";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A source `shop` whose one secret is `sesame`, with these blocks.
async fn app(blocks: &str) -> TestApp {
    let text = format!("{blocks}\nsecrets: {{ hook: {{ env: HOOK_SECRET }} }}\n{WRITE}");
    let schema = "create table log (id integer primary key, body text)";
    Builder::new("routes.d/shop.yaml", &text).environment("HOOK_SECRET", "sesame").schema(schema).start().await
}

async fn post(app: &TestApp, query: &str, body: &Json) -> Answer {
    app.send("POST", &format!("/in/shop{query}"), &[JSON], &body.to_string()).await
}

/// HMAC-SHA-256 under the one secret.
fn signed(text: &str) -> Vec<u8> {
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"sesame").expect("a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `v0=…` over a time and a body, at the moment at which tests begin.
fn with_time(body: &str) -> (&'static str, String) {
    (MOMENT, format!("v0={}", hex::encode(signed(&format!("v0:{MOMENT}:{body}")))))
}

/// Status, content type and body.
fn said(answer: &Answer) -> (u16, &str, &str) {
    (answer.status, answer.headers.get("content-type").map_or("", String::as_str), answer.text.as_str())
}

const CLOCKODO: &str = "auth: { token: $.body.token, secret: hook }
handshake:
  - when: (body.secret or query.secret) and not body.event_name
    auth: { none: Clockodo validates before it knows the token }
    show: { secret: \"{{ body.secret or query.secret }}\" }";

#[tokio::test]
async fn clockodos_secret_is_shown_to_support_while_a_window_is_open() {
    let app = app(CLOCKODO).await;
    let shown = async || {
        let values = onboarding::values(&app.tools.store, "shop").await.expect("values");
        values.into_iter().map(|shown| format!("{} {} {}", shown.name, shown.value.expose(), shown.times)).collect::<Vec<_>>()
    };
    assert_eq!(said(&post(&app, "", &json!({ "secret": "early-1111" })).await), (200, "", ""));
    assert!(shown().await.is_empty(), "no window was open");
    onboarding::open(&app.tools.store, "shop").await.expect("a window");
    assert_eq!(said(&post(&app, "", &json!({ "secret": "0000-4000" })).await), (200, "", ""));
    for _ in 0..2 {
        assert_eq!(said(&app.send("POST", "/in/shop?secret=by%20parameter", &[], "").await), (200, "", ""));
    }
    assert_eq!(shown().await, ["secret by parameter 2", "secret 0000-4000 1"]);
    app.clock.move_to(app.clock.now() + onboarding::OPEN_FOR);
    post(&app, "", &json!({ "secret": "late-2222" })).await;
    assert_eq!(shown().await.len(), 2, "the window has closed");
    assert!(app.records().await.is_empty(), "no handshake reaches the inbox");
}

#[tokio::test]
async fn what_only_looks_like_clockodos_handshake_is_verified() {
    let app = app(CLOCKODO).await;
    let forged = json!({ "secret": "x", "event_name": "project.updated", "payload": { "project": { "id": 1 } } });
    assert_eq!(post(&app, "", &forged).await.status, 401);
    assert_eq!(post(&app, "", &json!({ "event_name": "project.updated", "token": "open" })).await.status, 401);
    // nobody can read these, so nobody knows that they are no deliveries
    assert_eq!(app.send("POST", "/in/shop?secret=x", &[JSON], "{ oops").await.status, 401);
    let large = json!({ "secret": "x", "filler": "x".repeat(100_000) });
    assert_eq!(post(&app, "", &large).await.status, 401);
    assert_eq!(post(&app, "", &json!({ "event_name": "project.updated", "token": "sesame" })).await.status, 200);
    assert_eq!(app.records().await.len(), 1);
}

#[tokio::test]
async fn microsoft_graph_gets_its_token_back_as_plain_text() {
    let app = app("auth: { token: \"$.body.value[*].clientState\", secret: hook }
handshake:
  - when: query.validationToken
    auth: { none: Graph asks before there is a subscription }
    reply: { text: $.query.validationToken }")
    .await;
    let target = "/in/shop?validationToken=Validation%3a+Testing+%c3%b8+%3cb%3e";
    let answer = app.send("POST", target, &[("content-type", "text/plain; charset=utf-8")], "").await;
    assert_eq!(said(&answer), (200, "text/plain; charset=utf-8", "Validation: Testing ø <b>"));
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    let batch = |state: &str| json!({ "value": [{ "clientState": "sesame" }, { "clientState": state }] });
    assert_eq!(post(&app, "", &batch("other")).await.status, 401);
    assert_eq!(post(&app, "", &batch("sesame")).await.status, 200);
}

#[tokio::test]
async fn slack_gets_its_challenge_back() {
    let app = app("auth: { preset: slack, secret: hook }
handshake: { when: body.type == 'url_verification', reply: { json: { challenge: $.body.challenge } } }")
    .await;
    let body = json!({ "type": "url_verification", "token": "old", "challenge": "3eZbrw1a" }).to_string();
    let (moment, signature) = with_time(&body);
    let ask = async |signature: &str| {
        let headers = [("x-slack-request-timestamp", moment), ("x-slack-signature", signature), JSON];
        app.send("POST", "/in/shop", &headers, &body).await
    };
    assert_eq!(said(&ask(&signature).await), (200, "application/json", r#"{"challenge":"3eZbrw1a"}"#));
    assert_eq!(ask(&signature.replace("v0=", "v0=0")).await.status, 401, "verified like a delivery");
    assert!(app.records().await.is_empty());
}

#[tokio::test]
async fn meta_asks_by_get_and_delivers_by_post() {
    let app = app("auth: { token: $.headers.x_token, secret: hook }
handshake:
  - when: method == 'GET' and query['hub.mode'] == 'subscribe'
    auth: { token: \"$.query['hub.verify_token']\", secret: hook }
    reply: { text: \"$.query['hub.challenge']\", headers: { X-Kind: challenge } }")
    .await;
    let ask = async |mode: &str, token: &str, challenge: &str| {
        let target = format!("/in/shop?hub.mode={mode}&hub.verify_token={token}{challenge}");
        app.send("GET", &target, &[], "").await
    };
    let answer = ask("subscribe", "sesame", "&hub.challenge=1158201444").await;
    assert_eq!(said(&answer), (200, "text/plain; charset=utf-8", "1158201444"));
    assert_eq!(answer.headers["x-kind"], "challenge");
    assert_eq!(ask("subscribe", "open", "&hub.challenge=1").await.status, 401);
    assert_eq!(ask("subscribe", "sesame", "").await.status, 400, "there is nothing to answer with");
    let other = ask("other", "sesame", "").await;
    assert_eq!((other.status, other.headers["allow"].as_str()), (405, "POST"));
    let put = app.send("PUT", "/in/shop", &[], "").await;
    assert_eq!((put.status, put.headers["allow"].as_str()), (405, "POST"));
    assert_eq!(app.send("POST", "/in/shop", &[("x-token", "sesame"), JSON], "{}").await.status, 200);
    assert_eq!(app.records().await.len(), 1);
}

#[tokio::test]
async fn zoom_gets_its_token_signed() {
    let app = app("auth: { preset: zoom, secret: hook }
handshake:
  - when: body.event == 'endpoint.url_validation'
    reply:
      json:
        plainToken: $.body.payload.plainToken
        encryptedToken: \"{{ body.payload.plainToken | hmac('sha256', secret.hook) | hex }}\"")
    .await;
    let token = "qgg8vlvZRS6UYooatFL8Aw";
    let body = json!({ "event": "endpoint.url_validation", "payload": { "plainToken": token } }).to_string();
    let (moment, signature) = with_time(&body);
    let ask = async |signature: &str| {
        let headers = [("x-zm-request-timestamp", moment), ("x-zm-signature", signature), JSON];
        app.send("POST", "/in/shop", &headers, &body).await
    };
    let answer = ask(&signature).await;
    assert_eq!(answer.body, json!({ "plainToken": token, "encryptedToken": hex::encode(signed(token)) }), "{answer:?}");
    assert_eq!(ask("v0=00").await.status, 401);
    assert!(!format!("{:?}", app.rejected("shop")).contains("sesame"));
}

#[tokio::test]
async fn xeros_intent_to_receive_is_answered_with_nothing_or_401() {
    let app = app("auth: { preset: xero, secret: hook }
handshake: { when: body.events is defined and not body.events }")
    .await;
    let intent = r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4nd0mt3xt"}"#;
    let good = STANDARD.encode(signed(intent));
    let answer = app.send("POST", "/in/shop", &[("x-xero-signature", &good), JSON], intent).await;
    assert_eq!(said(&answer), (200, "", ""));
    assert!(!answer.headers.contains_key("set-cookie"));
    let bad = STANDARD.encode(signed("another"));
    assert_eq!(app.send("POST", "/in/shop", &[("x-xero-signature", &bad), JSON], intent).await.status, 401);
    assert_eq!(app.records().await.len(), 0);
}

#[tokio::test]
async fn woocommerces_unsigned_ping_passes_though_deliveries_are_json() {
    let app = app("auth: { preset: woocommerce, secret: hook }
payload: { format: json }
handshake:
  - when: body.webhook_id and not headers.x_wc_webhook_signature
    auth: { none: WooCommerce does not sign its ping }")
    .await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(said(&app.send("POST", "/in/shop", &[form], "webhook_id=7").await), (200, "", ""));
    assert_eq!(app.send("POST", "/in/shop", &[form], "order=7").await.status, 401);
    let signature = STANDARD.encode(signed("{}"));
    assert_eq!(app.send("POST", "/in/shop", &[JSON, ("x-wc-webhook-signature", &signature)], "{}").await.status, 200);
    assert_eq!(app.records().await.len(), 1);
}

#[tokio::test]
async fn the_first_handshake_that_a_request_is_answers_it() {
    let app = app("auth: { none: an example }
handshake:
  - { when: body.kind == 'a', reply: { text: first, status: 202 } }
  - { when: body.kind, reply: { text: second } }
  - { when: \"body.number > 7\", reply: { text: third } }")
    .await;
    assert_eq!(said(&post(&app, "", &json!({ "kind": "a" })).await), (202, "text/plain; charset=utf-8", "first"));
    assert_eq!(post(&app, "", &json!({ "kind": "b" })).await.text, "second");
    // a condition that cannot be told is false
    assert!(post(&app, "", &json!({ "number": 7.5 })).await.body["delivery"].is_string());
}

#[tokio::test]
async fn what_nobody_may_see_of_a_handshake_is_masked_where_it_is_refused() {
    let app = app("auth: { token: $.headers.x_token, secret: hook }
handshake: { when: body.secret, show: { secret: $.body.secret } }")
    .await;
    assert_eq!(post(&app, "", &json!({ "secret": "canary-5511" })).await.status, 401);
    let rejected = app.rejected("shop");
    assert_eq!((rejected.len(), rejected[0].status), (1, 401));
    assert!(!format!("{rejected:?}").contains("canary-5511"), "{rejected:?}");
}

#[tokio::test]
async fn only_so_many_requests_of_strangers_are_written_down() {
    let app = app(CLOCKODO).await;
    onboarding::open(&app.tools.store, "shop").await.expect("a window");
    let mut statuses = Vec::new();
    for number in 0..12 {
        statuses.push(post(&app, "", &json!({ "secret": format!("value {number}") })).await.status);
    }
    assert_eq!((&statuses[..10], &statuses[10..]), (&[200; 10][..], &[429, 429][..]));
}
