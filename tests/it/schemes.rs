//! The ways to verify a sender, each with what it lets in and what it refuses. Signatures have a file of their own.

use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value as Json, json};

use crate::support::test_app::{Builder, TestApp};

const NOW: i64 = 1_795_255_200;

async fn app(auth: &str) -> TestApp {
    let text = format!("auth: {auth}\nwrite: {{ insert: log, set: {{ raw: $.body }} }}\n");
    let builder = Builder::new("routes.d/a.yaml", &text).schema("create table log (raw text);");
    builder.environment("TOKEN", "right").environment("OLD", "former").start().await
}

async fn status(app: &TestApp, headers: &[(&str, &str)]) -> u16 {
    app.send("POST", "/in/a", headers, "{}").await.status
}

#[tokio::test]
async fn a_user_and_a_password_open_a_source() {
    let app = app("{ basic: { user: hooks, secret: { env: TOKEN } } }").await;
    let header = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for (value, expected) in [
        (header("hooks:right"), 200),
        (header("hooks:right").replace("Basic", "basic"), 200),
        (header("hooks:wrong"), 401),
        (header("others:right"), 401),
        (header("hooks"), 401),
        ("Basic %%%".to_owned(), 401),
        ("Bearer right".to_owned(), 401),
        (String::new(), 401),
    ] {
        assert_eq!(status(&app, &[("authorization", &value)]).await, expected, "{value}");
    }
    assert_eq!(status(&app, &[]).await, 401);
}

#[tokio::test]
async fn only_certain_addresses_may_send() {
    let app = app("{ ip: [203.0.113.0/24, \"2001:db8::7\"] }").await;
    for (client, expected) in
        [("203.0.113.9", 200), ("::ffff:203.0.113.9", 200), ("2001:db8::7", 200), ("2001:db8::8", 401), ("198.51.100.1", 401)]
    {
        assert_eq!(app.send_from(client, "/in/a", "{}").await.status, expected, "{client}");
    }
    assert_eq!(status(&app, &[]).await, 401, "an unknown address is none of them");
}

#[tokio::test]
async fn a_body_is_looked_into_within_limits_before_its_sender_is_verified() {
    let app = app("{ token: $.body.token, secret: { env: TOKEN } }").await;
    for (count, expected) in [(99_997, 200), (100_000, 401)] {
        let body = format!("{{\"token\":\"right\",\"items\":[{}]}}", vec!["0"; count].join(","));
        let answer = app.send("POST", "/in/a", &[("content-type", "application/json")], &body).await;
        assert_eq!(answer.status, expected, "{count}");
    }
}

#[tokio::test]
async fn schemes_are_joined_by_any_and_all() {
    let token = "{ token: $.headers.x_token, secret: { env: TOKEN } }";
    let check = "{ check: headers.x_mode == 'live' }";
    let both = app(&format!("{{ all: [{token}, {check}] }}")).await;
    let either = app(&format!("{{ any: [{token}, {{ all: [{{ none: a test }}, {check}] }}] }}")).await;
    for (headers, with_both, with_either) in [
        (vec![("x-token", "right"), ("x-mode", "live")], 200, 200),
        (vec![("x-token", "right"), ("x-mode", "test")], 401, 200),
        (vec![("x-token", "wrong"), ("x-mode", "live")], 401, 200),
        (vec![("x-token", "wrong")], 401, 401),
        (vec![], 401, 401),
    ] {
        assert_eq!((status(&both, &headers).await, status(&either, &headers).await), (with_both, with_either), "{headers:?}");
    }
}

#[tokio::test]
async fn an_old_value_of_a_secret_counts_until_its_last_day() {
    let secret =
        |until: &str| format!("{{ token: $.headers.x_token, secret: [{{ env: TOKEN }}, {{ env: OLD, until: {until} }}] }}");
    for (until, expected) in [("2026-11-20", 401), ("2026-11-21", 200), ("2026-12-31", 200)] {
        let app = app(&secret(until)).await;
        assert_eq!(status(&app, &[("x-token", "former")]).await, expected, "{until}");
        assert_eq!(status(&app, &[("x-token", "right")]).await, 200);
    }
    let app = app(&secret("2026-11-21")).await;
    app.clock.move_to(app.clock.now() + Duration::from_secs(86_400));
    assert_eq!(status(&app, &[("x-token", "former")]).await, 401, "also in a program that runs on");
}

#[tokio::test]
async fn several_tokens_must_all_be_equal() {
    let app = app("{ token: \"$.body.items[*].state\", secret: { env: TOKEN } }").await;
    for (body, expected) in [
        (json!({ "items": [{ "state": "right" }, { "state": "right" }] }), 200),
        (json!({ "items": [{ "state": "right" }, { "state": "wrong" }] }), 401),
        (json!({ "items": [{ "state": "right" }, { "state": null }] }), 401),
        (json!({ "items": [] }), 401),
        (json!({}), 401),
    ] {
        assert_eq!(app.send("POST", "/in/a", &[], &body.to_string()).await.status, expected, "{body}");
    }
}

/// A key pair of an issuer, and its public half as the issuer publishes it.
struct Issuer {
    algorithm: Algorithm,
    id: &'static str,
    private: EncodingKey,
    public: Json,
}

impl Issuer {
    fn ec(id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let document = EcdsaKeyPair::to_pkcs8v1(&pair).expect("its form");
        let point = pair.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256", "x": part(&point[1..33]), "y": part(&point[33..]) });
        Self { algorithm: Algorithm::ES256, id, private: EncodingKey::from_ec_der(document.as_ref()), public }
    }

    fn rsa(id: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("its form");
        // PKCS#1 stands at the end of PKCS#8, behind a head of 26 bytes
        let private = EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]);
        let public = pair.public_key();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (n, e) = (public.modulus().big_endian_without_leading_zero(), public.exponent().big_endian_without_leading_zero());
        let public = json!({ "kty": "RSA", "kid": id, "use": "sig", "n": part(n), "e": part(e) });
        Self { algorithm: Algorithm::RS256, id, private, public }
    }

    fn token(&self, change: impl FnOnce(&mut Map<String, Json>)) -> String {
        let claims =
            json!({ "iss": "https://issuer.example", "aud": "hooktable", "iat": NOW, "exp": NOW + 300, "email_verified": true });
        let Json::Object(mut claims) = claims else { unreachable!("it is an object") };
        change(&mut claims);
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, &claims, &self.private).expect("a token")
    }
}

const JWT: &str = "{ all: [ { jwt: { at: $.headers.authorization, keys: { url: \"https://issuer.example/jwks\" }, issuer: \"https://issuer.example\", \
                   audience: hooktable, algorithms: [ES256, RS256] } }, { check: claims.email_verified } ] }";

fn publish(app: &TestApp, keys: &[&Json]) {
    app.answer("jwks", &json!({ "keys": keys }).to_string());
}

async fn status_of(app: &TestApp, token: &str) -> u16 {
    status(app, &[("authorization", &format!("Bearer {token}"))]).await
}

#[tokio::test]
async fn a_token_of_an_issuer_opens_a_source_and_leaves_its_claims() {
    let text = format!("auth: {JWT}\nwrite: {{ insert: log, set: {{ raw: $.claims.aud }} }}\n");
    let app = Builder::new("routes.d/a.yaml", &text).schema("create table log (raw text);").start().await;
    let (ec, rsa) = (Issuer::ec("one"), Issuer::rsa("two"));
    publish(&app, &[&ec.public, &rsa.public]);
    for issuer in [&ec, &rsa] {
        assert_eq!(status_of(&app, &issuer.token(|_| {})).await, 200, "{:?}", issuer.algorithm);
    }
    assert_eq!(app.api.calls(), ["GET /jwks"], "the keys are asked for once");
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    assert_eq!(app.lines("log").await, [r#"raw="hooktable""#; 2]);
    assert_eq!(status(&app, &[]).await, 401);
}

#[tokio::test]
async fn a_token_that_is_not_right_in_every_way_opens_nothing() {
    let app = app(JWT).await;
    let issuer = Issuer::ec("one");
    publish(&app, &[&issuer.public]);
    let set = |name: &'static str, value: Json| move |claims: &mut Map<String, Json>| drop(claims.insert(name.to_owned(), value));
    let good = issuer.token(|_| {});
    assert_eq!(status_of(&app, &good).await, 200);
    let parts: Vec<&str> = good.split('.').collect();
    let encode = |json: Json| URL_SAFE_NO_PAD.encode(json.to_string());
    let unsigned = format!("{}.{}.", encode(json!({ "alg": "none", "typ": "JWT" })), parts[1]);
    let public = issuer.public.to_string();
    let confused = jsonwebtoken::encode(
        &Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) },
        &json!({ "iss": "https://issuer.example", "aud": "hooktable", "exp": NOW + 300, "email_verified": true }),
        &EncodingKey::from_secret(public.as_bytes()),
    );
    let last = if good.ends_with('A') { "B" } else { "A" };
    let first = &parts[2][..1];
    let flipped = format!("{}.{}.{}{}", parts[0], parts[1], if first == "Q" { "R" } else { "Q" }, &parts[2][1..]);
    for (what, token) in [
        ("unsigned", unsigned),
        ("signed with the public key as a secret", confused.expect("a token")),
        ("signed by another", Issuer::ec("one").token(|_| {})),
        ("flipped", flipped),
        ("truncated", good[..good.len() - 4].to_owned()),
        ("with two signatures", format!("{good}.{last}")),
        ("other claims", format!("{}.{}.{}", parts[0], encode(json!({ "exp": NOW + 900 })), parts[2])),
        ("expired", issuer.token(set("exp", json!(NOW - 61)))),
        ("no end", issuer.token(|claims| drop(claims.remove("exp")))),
        ("not yet", issuer.token(set("nbf", json!(NOW + 61)))),
        ("another issuer", issuer.token(set("iss", json!("https://other.example")))),
        ("no issuer", issuer.token(|claims| drop(claims.remove("iss")))),
        ("another audience", issuer.token(set("aud", json!(["others"])))),
        ("a claim that is checked", issuer.token(set("email_verified", json!(false)))),
        ("too long", "a".repeat(20_000)),
        ("nothing", String::new()),
    ] {
        assert_eq!(status_of(&app, &token).await, 401, "{what}");
    }
    assert_eq!(status_of(&app, &issuer.token(set("exp", json!(NOW - 30)))).await, 200, "clocks may be a minute apart");
    assert_eq!(status_of(&app, &issuer.token(set("aud", json!(["others", "hooktable"])))).await, 200);
}

#[tokio::test]
async fn new_keys_of_an_issuer_are_fetched_and_keys_that_cannot_be_had_are_nobodys_fault() {
    let app = app(JWT).await;
    let (first, second) = (Issuer::ec("one"), Issuer::ec("two"));
    let answer = app.send("POST", "/in/a", &[("authorization", &format!("Bearer {}", first.token(|_| {})))], "{}").await;
    assert_eq!(answer.status, 503, "the issuer cannot be asked: {answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    publish(&app, &[&first.public]);
    assert_eq!(status_of(&app, &first.token(|_| {})).await, 503, "just asked");
    app.clock.move_to(app.clock.now() + Duration::from_secs(10));
    assert_eq!(status_of(&app, &first.token(|_| {})).await, 200);
    assert_eq!(status_of(&app, &second.token(|_| {})).await, 401, "just asked");
    publish(&app, &[&second.public]);
    let asked = app.api.calls().len();
    for _ in 0..20 {
        assert_eq!(status_of(&app, &second.token(|_| {})).await, 401);
    }
    assert_eq!(app.api.calls().len(), asked, "unknown keys do not make us ask again and again");
    app.clock.move_to(app.clock.now() + Duration::from_secs(11));
    assert_eq!(status_of(&app, &second.token(|_| {})).await, 200, "the new key is known");
    assert_eq!(status_of(&app, &first.token(|_| {})).await, 401, "and the old one gone");
    app.forget_answer("jwks");
    app.clock.move_to(app.clock.now() + Duration::from_secs(700));
    let later = |claims: &mut Map<String, Json>| drop(claims.insert("exp".to_owned(), json!(NOW + 10_000)));
    assert_eq!(status_of(&app, &second.token(later)).await, 200, "known keys outlive an issuer that is down");
}

#[tokio::test]
async fn a_shared_secret_signs_tokens_too() {
    let app =
        app("{ jwt: { at: $.headers.authorization, keys: { secret: { env: TOKEN } }, algorithms: [HS256], max_age: 5m } }").await;
    let token = |secret: &str, issued: i64| {
        let claims = json!({ "iat": issued });
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.as_bytes()))
            .expect("a token")
    };
    for (secret, issued, expected) in
        [("right", NOW, 200), ("wrong", NOW, 401), ("right", NOW - 361, 401), ("right", NOW + 61, 401), ("right", NOW - 300, 200)]
    {
        assert_eq!(status_of(&app, &token(secret, issued)).await, expected, "{secret} {issued}");
    }
}
