//! Integrations from request to rows: found by their id, by their fields and by their tenant, and never another tenant's.

use std::time::Duration;

use hooktable::store::integrations;
use hooktable::store::records::{self, Replay};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::support::test_app::{Builder, TestApp};

const SCHEMA: &str =
    "create table things (tenant text not null, id integer not null, name text, who text, primary key (tenant, id));";

const BY_ID: &str = "
receive: { path: \"/in/shop/:integration\" }
auth: { token: $.headers.x_token, secret: hook_token }
integration:
  is: $.params.integration
  fields: { hook_token: { secret: true }, key: { secret: true }, who: { label: Who } }
apis: { shop: { base: \"https://api.example.com\" } }
extract: { id: $.body.id }
lane: \"{{ id }}\"
enrich: { thing: \"/{{ secret.key }}/things/{{ id }}\" }
write: { upsert: things, key: { id: $.id }, set: { name: $.thing.name, who: $.integration.who } }
";

const BY_FIELD: &str = "
auth: { token: $.headers.x_token, secret: { env: TOKEN } }
payload: { split: { change: $.body.changes } }
integration: { where: { shop: $.change.shop }, fields: { shop: { label: Shop } } }
extract: { id: $.change.id }
lane: \"{{ id }}\"
write: { upsert: things, key: { id: $.id }, set: { name: $.change.name, who: $.integration.shop } }
";

async fn settle(app: &TestApp) {
    app.run_pending_deliveries(Duration::from_secs(60)).await;
}

async fn by_id() -> TestApp {
    Builder::new("routes.d/shop.yaml", BY_ID).schema(SCHEMA).start().await
}

fn things_of(api: &TestApp, key: &str, name: &str) {
    api.answer(&format!("{key}/things/7"), &json!({ "name": name }).to_string());
}

#[tokio::test]
async fn an_integration_brings_its_own_secrets_and_its_tenant() {
    let app = by_id().await;
    let secrets = |token, key| [("hook_token", token), ("key", key)];
    let acme = app.integration("acme", "shop", &[("who", "Acme A/S")], &secrets("token-a", "key-a")).await;
    let bolt = app.integration("bolt", "shop", &[("who", "Bolt GmbH")], &secrets("token-b", "key-b")).await;
    things_of(&app, "key-a", "of acme");
    things_of(&app, "key-b", "of bolt");
    for (integration, token, status) in
        [(&acme, "token-a", 200), (&bolt, "token-b", 200), (&acme, "token-b", 401), (&bolt, "", 401)]
    {
        let path = format!("/in/shop/{}", integration.endpoint.expose());
        let answer = app.send("POST", &path, &[("x-token", token)], r#"{"id":7}"#).await;
        assert_eq!(answer.status, status, "{token}: {answer:?}");
    }
    settle(&app).await;
    assert_eq!(
        app.lines("things").await,
        [r#"tenant="acme" id=7 name="of acme" who="Acme A/S""#, r#"tenant="bolt" id=7 name="of bolt" who="Bolt GmbH""#],
        "{:?}",
        app.records().await
    );
    let used = integrations::list(&app.tools.store).await.expect("read");
    assert!(used.iter().all(|one| one.last_used_at.is_some()), "{used:?}");
}

#[tokio::test]
async fn an_unknown_or_revoked_id_answers_like_a_wrong_credential() {
    let app = by_id().await;
    let acme = app.integration("acme", "shop", &[("who", "Acme")], &[("hook_token", "token-a"), ("key", "key-a")]).await;
    let path = format!("/in/shop/{}", acme.endpoint.expose());
    let send = async |path: &str, token: &str| {
        let answer = app.send("POST", path, &[("x-token", token)], r#"{"id":7}"#).await;
        (answer.status, answer.body)
    };
    let wrong = send(&path, "token-b").await;
    assert_eq!(wrong.0, 401);
    assert_eq!(send("/in/shop/hti_nobody", "token-a").await, wrong, "nobody can tell which ids there are");
    assert_eq!(send(&path, "token-a").await.0, 200);
    integrations::revoke(&app.tools.store, acme.id).await.expect("revoked");
    assert_eq!(send(&path, "token-a").await, wrong, "at once");
    settle(&app).await;
    assert_eq!(app.states().await, ["dead"], "credentials that were taken away are not used");
    assert_eq!(app.api.calls(), [""; 0]);
}

#[tokio::test]
async fn one_body_holds_the_records_of_several_customers() {
    let app = Builder::new("routes.d/shop.yaml", BY_FIELD).schema(SCHEMA).environment("TOKEN", "t").start().await;
    app.integration("acme", "shop", &[("shop", "acme.example")], &[]).await;
    app.integration("bolt", "shop", &[("shop", "bolt.example")], &[]).await;
    let change = |shop: &str, name: &str| json!({ "shop": shop, "id": 7, "name": name });
    let changes = json!({ "changes": [change("acme.example", "a"), change("bolt.example", "b"), change("cog.example", "c")] });
    let answer = app.send("POST", "/in/shop", &[("x-token", "t")], &changes.to_string()).await;
    assert_eq!(answer.status, 200);
    settle(&app).await;
    let row = |tenant: &str, name: &str| format!(r#"tenant="{tenant}" id=7 name="{name}" who="{tenant}.example""#);
    assert_eq!(app.lines("things").await, [row("acme", "a"), row("bolt", "b")]);
    let unknown = app.records().await.into_iter().find(|record| record.state.word() == "dead").expect("one is nobody's");
    assert_eq!(unknown.tenant, None);
    let reason = unknown.reason.clone().unwrap_or_default();
    assert!(reason.contains("no active integration of `shop` has `shop` = `cog.example`"), "{reason}");

    app.integration("cog", "shop", &[("shop", "cog.example")], &[]).await;
    let replay = Replay { number: Some(unknown.number), apply_again: false, force: false, forwards: false };
    records::ask_replay(&app.tools.store, unknown.delivery, replay).await.expect("asked");
    settle(&app).await;
    assert_eq!(app.lines("things").await, [row("acme", "a"), row("bolt", "b"), row("cog", "c")], "{:?}", app.records().await);
}

#[tokio::test]
async fn a_key_finds_its_tenants_one_integration() {
    let text = BY_ID
        .replace("receive: { path: \"/in/shop/:integration\" }\n", "")
        .replace("auth: { token: $.headers.x_token, secret: hook_token }", "auth: { api_key: $.query.key }")
        .replace("  is: $.params.integration\n", "")
        .replace("hook_token: { secret: true }, ", "");
    let app = Builder::new("routes.d/shop.yaml", &text).schema(SCHEMA).start().await;
    let key = app.key("acme", "shop").await;
    app.integration("bolt", "shop", &[("who", "Bolt")], &[("key", "key-b")]).await;
    let send = async || app.send("POST", &format!("/in/shop?key={key}"), &[], r#"{"id":7}"#).await.status;
    assert_eq!(send().await, 200, "it is stored, and waits for someone to set the tenant up");
    settle(&app).await;
    assert_eq!(app.states().await, ["dead"]);
    let reason = app.records().await[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("there is no integration that holds it"), "{reason}");

    app.integration("acme", "shop", &[("who", "Acme")], &[("key", "key-a")]).await;
    things_of(&app, "key-a", "of acme");
    assert_eq!(send().await, 200);
    settle(&app).await;
    assert_eq!(app.lines("things").await, [r#"tenant="acme" id=7 name="of acme" who="Acme""#]);
}

/// Whatever a sender puts into a request: ids, names and tokens of another tenant, wherever one could stand.
fn any_body() -> impl Strategy<Value = (Json, String, String)> {
    let name = prop::sample::select(vec!["id", "tenant", "integration", "hook_token", "key", "who", "shop", "x_token", "name"]);
    let value = prop_oneof![
        Just(json!("bolt")),
        Just(json!("token-b")),
        Just(json!("key-b")),
        Just(json!("ENDPOINT-B")),
        Just(json!({ "id": 2, "who": "Bolt", "key": "key-b" })),
        (0i64..9).prop_map(|id| json!(id)),
    ];
    let body = prop::collection::btree_map(name, value.clone(), 0..6).prop_map(|map| json!(map));
    (body, "[a-z]{0,8}|bolt|token-b|key-b|ENDPOINT-B", "[a-z]{0,8}|bolt|token-b|ENDPOINT-B")
}

#[test]
fn whatever_a_tenant_sends_it_reaches_neither_the_credentials_nor_the_rows_of_another() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (app, acme, bolt) = runtime.block_on(async {
        let app = by_id().await;
        let fields = |token, key| [("hook_token", token), ("key", key)];
        let acme = app.integration("acme", "shop", &[("who", "Acme")], &fields("token-a", "key-a")).await;
        let bolt = app.integration("bolt", "shop", &[("who", "Bolt")], &fields("token-b", "key-b")).await;
        for id in 0..9 {
            app.answer(&format!("key-a/things/{id}"), r#"{"name":"a"}"#);
            app.answer(&format!("key-b/things/{id}"), r#"{"name":"b"}"#);
        }
        (app, acme, bolt)
    });
    let cases = ProptestConfig { cases: 96, ..ProptestConfig::default() };
    proptest!(cases, |((mut body, query, header) in any_body(), id in 0i64..9)| {
        runtime.block_on(async {
            if let Some(fields) = body.as_object_mut() {
                fields.entry("id").or_insert(json!(id));
            }
            let theirs = |text: &str| text.replace("ENDPOINT-B", bolt.endpoint.expose());
            let target = format!("/in/shop/{}?integration={}&tenant={}", acme.endpoint.expose(), theirs(&query), theirs(&header));
            let headers = [("x-token", "token-a"), ("x-integration", &theirs(&header)), ("x-tenant", &theirs(&query))];
            app.send("POST", &target, &headers, &theirs(&body.to_string())).await;
            // with the other's address the own token opens nothing
            let other = app.send("POST", &format!("/in/shop/{}", bolt.endpoint.expose()), &headers[..1], &body.to_string()).await;
            assert_eq!(other.status, 401);
        });
    });
    runtime.block_on(async {
        settle(&app).await;
        let rows = app.lines("things").await;
        assert!(!rows.is_empty() && rows.iter().all(|row| row.contains(r#"tenant="acme""#)), "{rows:#?}");
        let calls = app.api.calls();
        assert!(!calls.is_empty() && calls.iter().all(|call| call.starts_with("GET /key-a/")), "{calls:#?}");
    });
}
