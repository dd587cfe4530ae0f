//! Single steps in a process: admitting a typical delivery, paths and templates, verifying a signature, compiling a route file.
//! `cargo bench --bench micro`.

#![allow(missing_docs, reason = "what the macros of criterion make has no documentation")]

#[path = "support/route_file.rs"]
mod route_file;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use hmac::{KeyInit as _, Mac as _};
use hooktable::auth::alone::Alone;
use hooktable::auth::evidence::Evidence;
use hooktable::auth::secret::SecretReader;
use hooktable::clock::{Clock, Timestamp};
use hooktable::expr::scope::SecretValues;
use hooktable::expr::template::Engine;
use hooktable::model::caller::StoredCaller;
use hooktable::model::delivery::{DeliveryId, Request};
use hooktable::model::integration::Integrations;
use hooktable::payload::request::document;
use hooktable::routes::load::Texts;
use hooktable::routes::registry::{Registry, Surroundings};
use hooktable::routes::source::Source;
use hooktable::steps::admission::Arrival;
use hooktable::steps::map::Destination;

const SECRET: &str = "a secret of some length";
/// What most files have: a signature, an event, some values, a lane, an id, and a template or two.
const TYPICAL: &str = r#"
auth: { preset: github, secret: { env: SECRET } }
event: $.body.event
extract:
  number: { from: $.body.order.number, as: integer }
  customer: $.body.order.customer.number
  changed: { from: $.body.changed_at, as: timestamp }
  title: "{{ body.order.notes.heading | upper }} ({{ number }})"
  first: $.body.order.lines[0].product
gone: event is endingwith '.deleted'
id: $.body.id
lane: "order/{{ number }}"
routes:
  - event: order.*
    write: { upsert: orders, key: { number: $.number }, set: { title: $.title, customer: $.customer } }
"#;

struct OneSecret;

impl SecretReader for OneSecret {
    fn environment(&self, _: &str) -> Option<String> {
        Some(SECRET.to_owned())
    }
    fn file(&self, _: &str) -> Option<String> {
        None
    }
    fn today(&self) -> jiff::civil::Date {
        jiff::civil::date(2026, 11, 21)
    }
    fn stand_in(&self, _: &str) -> Option<String> {
        None
    }
}

fn registry() -> Registry {
    let surroundings = Surroundings {
        destinations: vec![Destination { name: "main".into(), tenant_column: "tenant".into() }],
        secrets: Box::new(OneSecret),
        files: Box::new(|path| Err(format!("there is no `{path}`"))),
        engine: Engine::default(),
    };
    Registry::new(surroundings, Clock::system())
}

fn texts(text: &str) -> Texts {
    Texts { routes: BTreeMap::from([("routes.d/orders.yaml".to_owned(), text.to_owned())]), ..Texts::default() }
}

fn source(text: &str) -> Arc<Source> {
    let registry = registry();
    let reloaded = registry.reload(&texts(text), &BTreeMap::new());
    let problems = hooktable::config::render::text(&reloaded.loaded.diagnostics, &reloaded.loaded.texts, false);
    registry.table().source("orders").map(Arc::clone).unwrap_or_else(|| panic!("{problems}"))
}

/// Two kilobytes of an order with ten lines, signed.
fn request() -> Request {
    let lines: Vec<String> = (0..10)
        .map(|line| format!(r#"{{"number":{line},"product":{{"number":"P-{line}","name":"A thing of some kind, {line}"}},"quantity":{line}.5,"price":"{line}9.95"}}"#))
        .collect();
    let body = format!(
        r#"{{"id":"evt_0123456789","event":"order.updated","changed_at":"2026-11-21T10:15:00.25Z","order":{{"number":20417,"customer":{{"number":1001,"name":"Acme"}},"notes":{{"heading":"Two desks and a lamp"}},"total":3100.00,"lines":[{}]}}}}"#,
        lines.join(",")
    );
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let header = |name: &str, value: &str| (name.to_owned(), Bytes::from(value.to_owned()));
    Request {
        method: "POST".to_owned(),
        path: "/in/orders".to_owned(),
        query: String::new(),
        headers: vec![
            header("host", "hooks.example.com"),
            header("content-type", "application/json"),
            header("user-agent", "a provider"),
            header("x-hub-signature-256", &signature),
        ],
        body: Bytes::from(body),
        peer: None,
    }
}

fn steps(criterion: &mut Criterion) {
    let source = source(TYPICAL);
    let request = request();
    let caller = StoredCaller { scheme: "signature".to_owned(), ..StoredCaller::default() };
    let (integrations, work_key, now) = (Integrations::default(), [7; 32], Timestamp::from_micros(1_795_248_131_000_000));
    let arrival = || Arrival {
        delivery: DeliveryId::at(now),
        received_at: now,
        caller: &caller,
        attempt: 1,
        work_key: &work_key,
        integrations: &integrations,
    };
    let kilobytes = format!("{:.1} KB", request.body.len() as f64 / 1000.0);
    criterion.bench_function(&format!("admission of a delivery of {kilobytes}"), |bencher| {
        bencher.iter(|| {
            let received = source.admission.read(&request, &[]);
            black_box(source.admission.items(&request, received, arrival(), None))
        });
    });
    criterion.bench_function(&format!("reading a body of {kilobytes}"), |bencher| {
        bencher.iter(|| black_box(source.admission.read(&request, &[])));
    });
    let received = source.admission.read(&request, &[]);
    criterion.bench_function("four paths and a template (extract)", |bencher| {
        bencher.iter(|| {
            let mut document = received.document.clone();
            source.admission.extract.run(&mut document).expect("all is there");
            black_box(document)
        });
    });
    let (head, fields) = (document(&request, &[]), SecretValues::default());
    let evidence =
        Evidence { request: &request, document: &head, url: "https://x/in/orders", now, source: "orders", fields: &fields };
    criterion.bench_function(&format!("verifying a signature over {kilobytes}"), |bencher| {
        bencher.iter(|| match source.auth.verify_alone(&evidence) {
            Alone::Passes(caller) => black_box(caller),
            other => panic!("{other:?}"),
        });
    });
}

fn compiling(criterion: &mut Criterion) {
    for (name, text) in [("a typical route file", TYPICAL.to_owned()), ("a route file of sixty lines", route_file::route_file(1))]
    {
        let (registry, texts) = (registry(), texts(&text));
        criterion.bench_function(&format!("compiling {name}"), |bencher| {
            bencher.iter(|| black_box(hooktable::routes::load::load(&texts, registry.surroundings().world(), &[])));
        });
    }
}

criterion_group!(micro, steps, compiling);
criterion_main!(micro);
