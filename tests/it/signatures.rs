//! Requests that the providers' own libraries signed, or accept, pass through the real intake by a file of two lines; broken in any way
//! they do not. `scripts/auth-vectors` made them.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hooktable::auth::preset::NAMES;
use hooktable::clock::Timestamp;
use serde::Deserialize;

use crate::rust_source::RustFile;
use crate::support::test_app::{Builder, TestApp, repository};

/// A file of `tests/signatures`.
#[derive(Deserialize)]
struct Vectors {
    preset: String,
    secret: String,
    now: String,
    vectors: Vec<Vector>,
}

#[derive(Clone, Deserialize)]
struct Vector {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body_base64: String,
}

/// Presets that compare a value and sign nothing.
const TOKENS: [&str; 4] = ["gitlab", "telegram", "clockodo", "rackbeat"];
/// Presets whose signature is written in hex.
const IN_HEX: [&str; 9] = ["stripe", "github", "slack", "discord", "zoom", "meta", "intercom", "linear", "timemoto"];
/// Headers that are no part of a signature.
const OTHER_HEADERS: [&str; 8] = [
    "host",
    "content-type",
    "x-github-event",
    "x-shopify-topic",
    "x-shopify-shop-domain",
    "x-shopify-api-version",
    "x-shopify-webhook-id",
    "x-shopify-event-id",
];

fn all() -> Vec<Vectors> {
    let mut files: Vec<_> = std::fs::read_dir(repository("tests/signatures")).expect("a folder").flatten().collect();
    files.retain(|file| file.path().is_file());
    files.sort_by_key(std::fs::DirEntry::path);
    files
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(file.path()).expect("a file");
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.path().display()))
        })
        .collect()
}

impl Vectors {
    fn has_public_key(&self) -> bool {
        ["discord", "sendgrid"].contains(&self.preset.as_str())
    }

    fn tolerance(&self) -> Option<Duration> {
        match self.preset.as_str() {
            "standard-webhooks" | "svix" | "stripe" | "slack" | "discord" | "zoom" | "hubspot" => Some(Duration::from_secs(300)),
            "linear" => Some(Duration::from_secs(60)),
            _ => None,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::parse(&self.now).expect("a time")
    }

    fn file(&self, secret: &str) -> Builder {
        let preset = &self.preset;
        let text =
            format!("auth: {{ preset: {preset}, secret: {secret} }}\nwrite: {{ insert: log, set: {{ at: $.received_at }} }}\n");
        Builder::new(&format!("routes.d/{preset}.yaml"), &text)
    }

    async fn app(&self, secret: &str, now: Timestamp) -> TestApp {
        self.file("{ env: X }").environment("X", secret).at(now).start().await
    }

    /// Another secret of the same form.
    fn other_secret(&self) -> String {
        match self.preset.as_str() {
            "discord" => "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".to_owned(),
            "sendgrid" => "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==".to_owned(),
            "svix" | "standard-webhooks" => "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            _ => "another secret".to_owned(),
        }
    }
}

impl Vector {
    fn body(&self) -> Vec<u8> {
        STANDARD.decode(&self.body_base64).expect("base64")
    }

    fn with_body(&self, body: &[u8]) -> Self {
        Self { body_base64: STANDARD.encode(body), ..self.clone() }
    }

    /// The header that holds the signature or token; none where that stands in the body.
    fn signature_header(&self) -> Option<&str> {
        let names = || self.headers.keys().map(String::as_str).filter(|name| !OTHER_HEADERS.contains(name));
        let signs = |name: &&str| {
            ["signature", "hmac", "token", "trello"].iter().any(|word| name.contains(word)) && !name.ends_with("timestamp")
        };
        names().find(signs)
    }

    fn with_header(&self, name: &str, value: impl FnOnce(&str) -> Option<String>) -> Self {
        let mut changed = self.clone();
        match value(&self.headers[name]) {
            Some(value) => changed.headers.insert(name.to_owned(), value),
            None => changed.headers.remove(name),
        };
        changed
    }

    async fn status(&self, app: &TestApp) -> u16 {
        self.status_with(app, &[]).await
    }

    async fn status_with(&self, app: &TestApp, more: &[(&str, &str)]) -> u16 {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> = headers.chain(more.iter().copied()).collect();
        let answer = app.send_bytes(&self.method, &self.target, &headers, &self.body()).await;
        assert_eq!(answer.status == 200, answer.body.get("delivery").is_some(), "{answer:?}");
        let told = answer.body["error"].as_str().unwrap_or_default();
        assert!(answer.status == 200 || !told.contains("matches"), "{told}");
        answer.status
    }
}

#[test]
fn every_preset_has_vectors() {
    let known: Vec<String> = all().into_iter().map(|vectors| vectors.preset).collect();
    for name in NAMES {
        assert!(known.iter().any(|known| known == name), "{name}");
    }
}

#[tokio::test]
async fn what_the_providers_libraries_sign_passes() {
    for vectors in all() {
        let app = vectors.app(&vectors.secret, vectors.now()).await;
        for (number, vector) in vectors.vectors.iter().enumerate() {
            assert_eq!(vector.status(&app).await, 200, "{} {number}", vectors.preset);
        }
        assert_eq!(app.records().await.len(), vectors.vectors.len(), "{}", vectors.preset);
    }
}

#[tokio::test]
async fn a_request_that_is_broken_in_any_way_does_not() {
    for vectors in all() {
        let (preset, is_token) = (vectors.preset.as_str(), TOKENS.contains(&vectors.preset.as_str()));
        let app = vectors.app(&vectors.secret, vectors.now()).await;
        for vector in &vectors.vectors {
            if !is_token && preset != "mailgun" {
                for flipped in flipped(&vector.body()) {
                    assert_eq!(vector.with_body(&flipped).status(&app).await, 401, "{preset}: a flipped byte");
                }
            }
            let Some(name) = vector.signature_header() else { continue };
            let value = &vector.headers[name];
            let changed = [
                ("missing", vector.with_header(name, |_| None)),
                ("empty", vector.with_header(name, |_| Some(String::new()))),
                ("truncated", vector.with_header(name, |value| Some(value[..value.len() - 4].to_owned()))),
                ("only its beginning", vector.with_header(name, |value| Some(value[..value.len() / 2].to_owned()))),
            ];
            for (what, changed) in changed {
                assert_eq!(changed.status(&app).await, 401, "{preset}: {what}");
            }
            if !is_token {
                let twice = [(name, value.as_str())];
                assert_eq!(vector.status_with(&app, &twice).await, 401, "{preset}: doubled");
                let upper = vector.with_header(name, |value| Some(in_upper_case(value)));
                let expected = if IN_HEX.contains(&preset) { 200 } else { 401 };
                assert_eq!(upper.status(&app).await, expected, "{preset}: in upper case");
            }
            for name in vector.headers.keys().filter(|name| !OTHER_HEADERS.contains(&name.as_str())) {
                assert_eq!(vector.with_header(name, |_| None).status(&app).await, 401, "{preset}: without {name}");
            }
        }
        let other = vectors.app(&vectors.other_secret(), vectors.now()).await;
        assert_eq!(vectors.vectors[0].status(&other).await, 401, "{preset}: another secret");
    }
}

#[tokio::test]
async fn a_request_that_is_too_old_or_too_new_does_not() {
    for vectors in all() {
        let Some(tolerance) = vectors.tolerance() else { continue };
        let second = Duration::from_secs(1);
        for (now, expected) in [
            (vectors.now() + tolerance, 200),
            (vectors.now() - tolerance, 200),
            (vectors.now() + tolerance + second, 401),
            (vectors.now() - tolerance - second, 401),
        ] {
            let app = vectors.app(&vectors.secret, now).await;
            assert_eq!(vectors.vectors[0].status(&app).await, expected, "{} at {now}", vectors.preset);
        }
    }
}

#[tokio::test]
async fn while_a_secret_is_rotated_the_old_one_passes_until_its_last_day() {
    for vectors in all() {
        for (until, expected) in [("2026-11-21", 200), ("2026-11-20", 401)] {
            let secret = format!("[ {{ env: NEW }}, {{ env: OLD, until: {until} }} ]");
            let file = vectors.file(&secret).environment("NEW", &vectors.other_secret()).environment("OLD", &vectors.secret);
            let app = file.at(vectors.now()).start().await;
            assert_eq!(vectors.vectors[0].status(&app).await, expected, "{} until {until}", vectors.preset);
        }
        assert_eq!(vectors.has_public_key(), vectors.secret.len() > 60, "{}", vectors.preset);
    }
}

/// A key in one form, and a signature of the body.
#[derive(Deserialize)]
struct PublicKey {
    algorithm: String,
    form: String,
    key: String,
    signature: String,
}

#[derive(Deserialize)]
struct PublicKeys {
    body: String,
    vectors: Vec<PublicKey>,
}

#[tokio::test]
async fn a_public_key_is_read_in_every_form() {
    let text = std::fs::read_to_string(repository("tests/signatures/keys/openssl.json")).expect("keys");
    let keys: PublicKeys = serde_json::from_str(&text).expect("JSON");
    for PublicKey { algorithm, form, key, signature } in &keys.vectors {
        let route = format!(
            "auth:\n  signature:\n    at: $.headers.x_sig\n    algorithm: {algorithm}\n    secret: {{ env: X, as: {form} }}\n    encoding: base64\n\
             write: {{ insert: log, set: {{ at: $.received_at }} }}\n"
        );
        // as people write a key into a variable
        let key = if form == "pem" { key.replace('\n', "\\n") } else { key.clone() };
        let app = Builder::new("routes.d/a.yaml", &route).environment("X", &key).start().await;
        let send = async |body: &str| app.send("POST", "/in/a", &[("x-sig", signature)], body).await.status;
        assert_eq!(send(&keys.body).await, 200, "{algorithm} {form}");
        assert_eq!(send(&keys.body.replace('T', "t")).await, 401, "{algorithm} {form}");
    }
}

#[test]
fn digests_are_compared_in_one_place() {
    for file in RustFile::all_below("src/auth/signature") {
        let compares = file.code.contains("ct_eq") || file.code.contains("verify_slice");
        assert_eq!(compares, file.path.ends_with("/algorithm.rs"), "{}: only `algorithm::equal` compares digests", file.path);
        for word in ["digest == ", "digest != ", "signature == ", "signature != "] {
            assert!(!file.code.contains(word), "{}: `{word}`", file.path);
        }
    }
}

/// The body with one bit changed: at its beginning, in the middle and at its end.
fn flipped(body: &[u8]) -> Vec<Vec<u8>> {
    [0, body.len() / 2, body.len() - 1]
        .into_iter()
        .map(|at| {
            let mut flipped = body.to_vec();
            flipped[at] ^= 1;
            flipped
        })
        .collect()
}

/// The digits in upper case, but not what stands before them.
fn in_upper_case(value: &str) -> String {
    match value.rsplit_once('=').filter(|(_, rest)| !rest.is_empty()) {
        Some((before, digits)) => format!("{before}={}", digits.to_ascii_uppercase()),
        None => value.to_ascii_uppercase(),
    }
}
