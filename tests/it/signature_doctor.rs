//! What the doctor says of a signature that does not verify, each of the usual mistakes by itself; and that whatever is signed verifies,
//! with any bit of it changed no longer.

use bytes::Bytes;
use hooktable::auth::alone::Alone;
use hooktable::auth::evidence::Evidence;
use hooktable::auth::scheme::Auth;
use hooktable::auth::secret::SecretReader;
use hooktable::auth::signature::sign::Signing;
use hooktable::clock::Timestamp;
use hooktable::config::render;
use hooktable::expr::scope::SecretValues;
use hooktable::expr::template::Engine;
use hooktable::model::delivery::Request;
use hooktable::routes::compile::World;
use hooktable::routes::load::{Texts, load};
use hooktable::routes::source::Source;
use hooktable::steps::map::Destination;
use proptest::prelude::*;
use std::sync::Arc;

/// 2026-11-21T10:00:00Z.
const NOW: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);

/// `X` is a secret, `OLD` another; with stand-ins, every declared secret is one.
struct Secrets {
    value: &'static str,
    stands_in: bool,
}

impl SecretReader for Secrets {
    fn environment(&self, name: &str) -> Option<String> {
        Some(if name == "OLD" { "old secret".to_owned() } else { self.value.to_owned() })
    }
    fn file(&self, _: &str) -> Option<String> {
        None
    }
    fn today(&self) -> jiff::civil::Date {
        jiff::civil::date(2026, 11, 21)
    }
    fn stand_in(&self, name: &str) -> Option<String> {
        self.stands_in.then(|| format!("test-{name}"))
    }
}

fn source(auth: &str, secrets: &Secrets) -> Arc<Source> {
    let text = format!(
        "receive: {{ path: /in/a, methods: [POST, PUT] }}\nauth: {auth}\nwrite: {{ insert: log, set: {{ at: $.received_at }} }}\n"
    );
    let world = World {
        destinations: &[Destination { name: "main".into(), tenant_column: "tenant".into() }],
        secrets,
        engine: &Engine::default(),
        files: &|_| Err("is not read here".into()),
    };
    let texts = Texts { routes: [("a.yaml".to_owned(), text)].into(), ..Texts::default() };
    let loaded = load(&texts, world, &[]);
    let problems = render::text(&loaded.diagnostics, &loaded.texts, false);
    assert!(loaded.diagnostics.is_empty(), "{problems}");
    loaded.files[0].source.clone().expect("a source")
}

fn request(headers: &[(&str, &str)], body: &[u8]) -> Request {
    let headers = [("host", "x.example"), ("content-type", "application/json")].iter().chain(headers);
    Request {
        method: "POST".into(),
        path: "/in/a".into(),
        query: "k=v".into(),
        headers: headers.map(|(name, value)| ((*name).to_owned(), Bytes::from((*value).to_owned()))).collect(),
        body: Bytes::copy_from_slice(body),
        peer: None,
    }
}

fn with_evidence<T>(source: &Source, request: &Request, look: impl FnOnce(&Evidence<'_>) -> T) -> T {
    let document = source.admission.read(request, &[]).document;
    let fields = SecretValues::new();
    look(&Evidence { request, document: &document, url: "http://x.example/in/a?k=v", now: NOW, source: "a", fields: &fields })
}

fn verify(source: &Source, request: &Request) -> Alone {
    with_evidence(source, request, |evidence| source.auth.verify_alone(evidence))
}

/// What is found in a request that must be refused; neither the secret nor a signature may be in it.
fn findings(auth: &str, secret: &'static str, headers: &[(&str, &str)], body: &str) -> String {
    let source = source(auth, &Secrets { value: secret, stands_in: false });
    match verify(&source, &request(headers, body.as_bytes())) {
        Alone::Refused(refusal) => {
            assert_eq!(refusal.told, "the signature is absent or not valid");
            let found = refusal.findings.join("\n");
            assert!(!found.contains(secret.trim()) && !found.contains("old secret"), "{found}");
            found
        }
        other => panic!("{other:?}"),
    }
}

fn mac(algorithm: &str, key: &[u8], text: &[u8]) -> Vec<u8> {
    use hmac::{KeyInit as _, Mac as _};
    macro_rules! mac {
        ($hash:ty) => {{
            let mut mac = hmac::Hmac::<$hash>::new_from_slice(key).expect("any key will do");
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    if algorithm == "sha1" { mac!(sha1::Sha1) } else { mac!(sha2::Sha256) }
}

fn hex(key: &str, text: &str) -> String {
    hex::encode(mac("sha256", key.as_bytes(), text.as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

const BODY: &str = r#"{"id":1,"total":2.50}"#;
const GITHUB: &str = "{ preset: github, secret: { env: X } }";
const STRIPE: &str = "{ preset: stripe, secret: { env: X } }";
const SHOPIFY: &str = "{ preset: shopify, secret: { env: X } }";
const KEY: &str = "a secret that is long enough";

#[test]
fn what_stands_there_is_looked_at_first() {
    let right = hex(KEY, BODY);
    let prefixed = format!("sha256={right}");
    let github = |headers: &[(&str, &str)]| findings(GITHUB, KEY, headers, BODY);
    let name = "x-hub-signature-256";
    assert_eq!(github(&[]), "the signature is absent: nothing stands at `$.headers.x_hub_signature_256`");
    assert_eq!(github(&[(name, "")]), github(&[]));
    assert_eq!(github(&[(name, &prefixed), (name, &prefixed)]), "`$.headers.x_hub_signature_256` stands there more than once");
    assert!(github(&[(name, &right)]).ends_with("does not have the form `sha256={signature}`: it is a bare signature"));
    assert!(github(&[(name, &format!("sha1={right}"))]).ends_with("it begins with `sha1=`"));
    assert!(
        github(&[(name, &prefixed[..prefixed.len() - 2])]).contains("the signature has 31 bytes; those of `hmac-sha256` have 32")
    );
    assert!(github(&[(name, "sha256=nothing")]).contains("the signature is not hex"));
    let as_base64 = github(&[(name, &format!("sha256={}", base64(&mac("sha256", KEY.as_bytes(), BODY.as_bytes()))))]);
    assert!(as_base64.contains("the signature is not hex but base64") && as_base64.contains("`encoding: base64`"), "{as_base64}");
    let as_hex = findings(SHOPIFY, KEY, &[("x-shopify-hmac-sha256", &right)], BODY);
    assert!(as_hex.contains("`encoding: hex`"), "{as_hex}");
}

#[test]
fn a_clock_that_is_off_is_told_with_its_direction() {
    let signed = |timestamp: i64| format!("t={timestamp},v1={}", hex(KEY, &format!("{timestamp}.{BODY}")));
    let stripe = |header: &str| findings(STRIPE, KEY, &[("stripe-signature", header)], BODY);
    assert!(stripe(&signed(1_795_254_788)).starts_with("the clock is 412 s off: the signed timestamp is that much older"));
    assert!(stripe(&signed(1_795_255_612)).starts_with("the clock is 412 s off: the signed timestamp is that much newer"));
    assert!(stripe(&signed(1_795_255_200_000)).contains("it looks like `unit: ms`"));
    assert!(stripe(&signed(1_795_255_200_000)).lines().count() == 1);
}

#[test]
fn a_timestamp_is_signed_where_what_holds_it_is() {
    for auth in [
        "timestamp: { at: $.query.k }, signed: \"{url}{body}\"",
        "timestamp: { at: $.body.id }",
        "timestamp: { at: $.headers.x_at }, signed: \"{$.headers.x_at}{body}\"",
    ] {
        let auth = format!(
            "{{ signature: {{ at: $.headers.x_sig, algorithm: hmac-sha256, secret: {{ env: X }}, {auth}, tolerance: 5m }} }}"
        );
        source(&auth, &Secrets { value: KEY, stands_in: false });
    }
}

#[test]
fn another_secret_form_or_algorithm_that_would_match_is_told() {
    let github = |secret: &'static str, signature: &[u8]| {
        let header = format!("sha256={}", hex::encode(signature));
        findings(GITHUB, secret, &[("x-hub-signature-256", &header)], BODY)
    };
    let signed = |key: &[u8]| mac("sha256", key, BODY.as_bytes());
    assert!(github("a secret that is long enough  ", &signed(KEY.as_bytes())).contains("white space around the secret is cut"));
    assert!(github(KEY, &signed(format!("{KEY}\n").as_bytes())).contains("when a newline follows the secret"));
    assert!(github("YSBzZWNyZXQgdGhhdCBpcyBsb25nIGVub3VnaA==", &signed(KEY.as_bytes())).contains("`secret_as: whsec`"));
    assert!(github("whsec_YSBzZWNyZXQgdGhhdCBpcyBsb25nIGVub3VnaA==", &signed(KEY.as_bytes())).contains("`secret_as: whsec`"));
    assert!(github("612073656372657420", &signed(b"a secret ")).contains("`secret_as: hex`"));
    assert!(github(KEY, &mac("sha1", KEY.as_bytes(), BODY.as_bytes())).contains("it matches with `algorithm: hmac-sha1`"));
    let plain = sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), format!("{KEY}{BODY}")));
    assert!(github(KEY, &plain).contains("it matches with `algorithm: sha256` and `signed: \"{secret}{body}\"`"));
    assert!(github("quite another one", &signed(KEY.as_bytes())).contains("most likely the secret is another one"));
    let old = "{ preset: github, secret: [ { env: X }, { env: OLD, until: 2026-11-20 } ] }";
    let header = format!("sha256={}", hex("old secret", BODY));
    assert!(findings(old, KEY, &[("x-hub-signature-256", &header)], BODY).contains("it matches an old value of the secret"));
}

#[test]
fn another_text_or_a_changed_body_that_would_match_is_told() {
    let stripe = |text: &str, body: &str| {
        let header = format!("t=1795255200,v1={}", hex(KEY, text));
        findings(STRIPE, KEY, &[("stripe-signature", &header)], body)
    };
    assert!(stripe(BODY, BODY).contains("it matches if `{body}` is what is signed"));
    assert!(stripe(&format!("1795255200{BODY}"), BODY).contains("it matches if `{timestamp}{body}` is what is signed"));
    let signed = format!("1795255200.{BODY}");
    assert!(stripe(&signed, &format!("{BODY}\n")).contains("when the newline at the body's end is cut"));
    assert!(stripe(&signed, r#"{ "id": 1, "total": 2.50 }"#).contains("when the JSON of the body is written in another way"));
    let square = "{ preset: square, secret: { env: X } }";
    let header = base64(&mac("sha256", KEY.as_bytes(), format!("https://x.example/in/a?k=v{BODY}").as_bytes()));
    let found = findings(square, KEY, &[("x-square-hmacsha256-signature", &header)], BODY);
    assert!(found.contains("it matches if the URL is `https://…`"), "{found}");
}

#[test]
fn an_examination_ends_however_large_the_body_is() {
    let body = format!("\"{}\"", "x".repeat(20 << 20));
    let found = findings(GITHUB, KEY, &[("x-hub-signature-256", &format!("sha256={}", hex(KEY, "else")))], &body);
    assert!(found.contains("too large to try everything"), "{found}");
}

#[test]
fn every_element_has_to_be_signed() {
    let auth = "{ signature: { at: $.n.mac, algorithm: hmac-sha256, secret: { env: X }, signed: \"{$.n.id}:{$.n.note?}\", each: { n: $.body.items } } }";
    let item = |id: &str, signature: &str| format!(r#"{{"id":"{id}","mac":"{signature}"}}"#);
    let (one, two) = (item("1", &hex(KEY, "1:")), item("2", &hex(KEY, "2:")));
    let source = source(auth, &Secrets { value: KEY, stands_in: false });
    let passes =
        |items: &str| matches!(verify(&source, &request(&[], format!("{{\"items\":[{items}]}}").as_bytes())), Alone::Passes(_));
    assert!(passes(&one) && passes(&format!("{one},{two}")));
    assert!(!passes("") && !passes(&item("1", &hex(KEY, "2:"))));
    assert!(!passes(&format!("{one},{}", item("2", ""))) && !passes(&format!("{one},3")));
    let found = findings(auth, KEY, &[], &format!("{{\"items\":[{one},{}]}}", item("3", &hex(KEY, "2:"))));
    assert!(found.starts_with("element 1 of `$.body.items`: "), "{found}");
    assert!(findings(auth, KEY, &[], "{\"items\":[]}").contains("is empty: nothing is signed"));
    assert!(findings(auth, KEY, &[], "{}").contains("a list of signed elements is expected at `$.body.items`"));
}

#[test]
fn a_body_that_is_no_form_is_never_covered_by_the_fields_of_one() {
    let auth = "{ preset: twilio, secret: { env: X } }";
    let signature = base64(&mac("sha1", KEY.as_bytes(), b"http://x.example/in/a?k=v"));
    let found = findings(auth, KEY, &[("x-twilio-signature", &signature)], BODY);
    assert_eq!(found, "the SHA-256 of the body is expected in hex at `$.query.bodySHA256`");
}

/// Schemes of every kind, all with a timestamp where they can have one.
fn schemes() -> Vec<String> {
    let algorithms = [
        "hmac-sha1",
        "hmac-sha256",
        "hmac-sha384",
        "hmac-sha512",
        "sha1",
        "sha256",
        "ed25519",
        "ecdsa-p256-sha256",
        "rsa-sha256",
    ];
    let of = |(number, algorithm): (usize, &str)| {
        let encoding = ["hex", "base64", "base64url"][number % 3];
        let secret = if algorithm.starts_with("sha") { "{secret}" } else { "" };
        format!(
            "{{ signature: {{ at: $.headers.x_sig, algorithm: {algorithm}, secret: {{ env: X }}, encoding: {encoding}, read: \"t={{timestamp}};s={{signature}}\", \
             signed: \"{secret}{{method}} {{path}}?{{query}} {{host}} {{timestamp}}.{{body}}\", tolerance: 5m }} }}"
        )
    };
    algorithms.into_iter().enumerate().map(of).collect()
}

fn signed(source: &Source, body: &[u8], signing: Signing) -> Request {
    let Auth::Signature(scheme) = &source.auth else { panic!("a signature") };
    let bare = request(&[], body);
    let placed = with_evidence(source, &bare, |evidence| scheme.signatures(evidence, signing, "")).expect("a signature");
    request(&[("x-sig", &placed[0].1)], body)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_signed_verifies_and_any_flipped_bit_does_not(
        body in prop::collection::vec(any::<u8>(), 1..200),
        scheme in 0..9_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let source = source(&schemes()[scheme], &Secrets { value: "", stands_in: true });
        let right = signed(&source, &body, Signing::Right);
        prop_assert!(matches!(verify(&source, &right), Alone::Passes(_)));
        let mut flipped = body.clone();
        flipped[at.index(body.len())] ^= 1 << bit;
        let flipped = Request { body: flipped.into(), ..right.clone() };
        prop_assert!(matches!(verify(&source, &flipped), Alone::Refused(_)));
        for changed in [
            Request { method: "PUT".into(), ..right.clone() },
            Request { query: "k=w".into(), ..right.clone() },
            Request { path: "/in/b".into(), ..right.clone() },
            signed(&source, &body, Signing::Stale),
        ] {
            prop_assert!(matches!(verify(&source, &changed), Alone::Refused(_)));
        }
    }
}
