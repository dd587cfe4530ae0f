//! What a call of our outgoing client costs more than one of reqwest, on loopback, side by side; and how many calls ten thousand webhooks
//! about five hundred orders make to a provider that refuses more than ten a second, how many of them it refuses, and how long that
//! takes. `cargo bench --bench client`.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, Uri};
use hooktable::clock::Clock;
use hooktable::http_client::api::Api;
use hooktable::http_client::budget::MemoryBudget;
use hooktable::http_client::call::Call;
use hooktable::http_client::client::{ClientOptions, HttpClient};
use hooktable::secret::Mask;
use reqwest::{Method, Url};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};
use support::{Measured, closed_loop, is_quick, percentiles};

const ORDERS: u64 = 500;
const ROUTE: &str = r#"
auth: { token: $.headers.x_token, secret: { env: TOKEN } }
apis: { shop: { base: "https://api.example.com", limits: [10/s] } }
extract: { id: $.body.id }
lane: "order/{{ id }}"
coalesce: { quiet: 2s, most: 60s }
enrich: { thing: "/x/{{ id }}" }
write: { upsert: things, key: { id: $.id }, set: { value: $.thing.path } }
"#;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        overhead().await;
        drain().await;
    });
}

/// How many calls a provider takes in any second.
const LIMIT: usize = 10;

/// What a provider saw.
#[derive(Default)]
struct Seen {
    /// When each call came that it took.
    taken: Vec<Instant>,
    /// How many it refused.
    refused: usize,
}

/// A provider on loopback; with a limit it answers 429 to what comes beyond that in any second.
async fn provider(limit: Option<usize>) -> (SocketAddr, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let noted = Arc::clone(&seen);
    let router = Router::new().fallback(move |uri: Uri| {
        let status = noted.lock().expect("a lock").note(limit);
        let body = format!("{{\"path\":\"{}\"}}", uri.path());
        async move { (status, [("content-type", "application/json")], body) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

impl Seen {
    fn note(&mut self, limit: Option<usize>) -> StatusCode {
        let now = Instant::now();
        let lately = self.taken.iter().rev().take_while(|at| now.duration_since(**at) < Duration::from_secs(1)).count();
        if limit.is_some_and(|limit| lately >= limit) {
            self.refused += 1;
            return StatusCode::TOO_MANY_REQUESTS;
        }
        if limit.is_some() {
            self.taken.push(now);
        }
        StatusCode::OK
    }
}

/// `side_by_side` calls at a time, until there were so many; how long each took, and all of them.
async fn timed<F: Future<Output = ()> + Send>(
    side_by_side: usize,
    total: u64,
    call: impl Fn(u64) -> F + Clone + Send + 'static,
) -> (Duration, [Duration; 2]) {
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..side_by_side)
        .map(|_| {
            let (next, call) = (Arc::clone(&next), call.clone());
            tokio::spawn(async move {
                let mut took = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return took;
                    }
                    let begun = Instant::now();
                    call(number).await;
                    took.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("calls"));
    }
    (started.elapsed(), percentiles(&mut took))
}

async fn overhead() {
    let total = if is_quick() { 1_000 } else { 20_000 };
    let (address, _) = provider(None).await;
    let clock = Clock::system();
    let ours = HttpClient::new(ClientOptions {
        clock: clock.clone(),
        budget: Arc::new(MemoryBudget::new(clock.clone())),
        simulated: Vec::new(),
        recorded: None,
        user_agent: "hooktable-bench".to_owned(),
    });
    let ours = Arc::new(ours.expect("a client"));
    let origin = format!("http://{address}");
    let api = Arc::new(Api { allow_private: true, ..Api::new("shop", vec![origin.clone()], "bench") });
    let bare = reqwest::Client::new();
    for side_by_side in [1, 16] {
        for round in 0..3 {
            let (client, to) = (bare.clone(), origin.clone());
            let (of_bare, [bare_p50, bare_p99]) = timed(side_by_side, total, move |number| {
                let asked = client.get(format!("{to}/x/{number}"));
                async move { drop(asked.send().await.expect("an answer").bytes().await.expect("a body")) }
            })
            .await;
            let (client, to, api, clock) = (Arc::clone(&ours), origin.clone(), Arc::clone(&api), clock.clone());
            let (of_ours, [ours_p50, ours_p99]) = timed(side_by_side, total, move |number| {
                let call = Call {
                    is_forward: false,
                    name: "thing".to_owned(),
                    api: Arc::clone(&api),
                    method: Method::GET,
                    url: Url::parse(&format!("{to}/x/{number}")).expect("a URL"),
                    headers: Vec::new(),
                    body: None,
                    scope: "bench".to_owned(),
                    fresh_after: clock.now(),
                    reference: false,
                    cache: None,
                    attempt: None,
                    mask: Arc::new(Mask::default()),
                };
                let client = Arc::clone(&client);
                async move { drop(client.call(&call).await.1.expect("an answer")) }
            })
            .await;
            let each = |all: Duration| all.as_secs_f64() * 1e6 / total as f64;
            println!(
                "{side_by_side} at a time, round {round}: reqwest {:.1} µs a call (p50 {bare_p50:.0?}, p99 {bare_p99:.0?}), ours {:.1} µs (p50 {ours_p50:.0?}, p99 {ours_p99:.0?}): {:.2} times, {:+.1} µs",
                each(of_bare),
                each(of_ours),
                each(of_ours) / each(of_bare),
                each(of_ours) - each(of_bare),
            );
        }
    }
}

/// In no order that repeats: steps of a number without a divisor in common with that of the orders.
fn webhook(number: u64) -> String {
    format!("{{\"id\":{}}}", number * 7919 % ORDERS)
}

async fn drain() {
    let webhooks = if is_quick() { 1_000 } else { 10_000 };
    let (address, seen) = provider(Some(LIMIT)).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("routes.d")).expect("a folder");
    std::fs::create_dir_all(folder.path().join("data")).expect("a folder");
    std::fs::write(folder.path().join("routes.d/things.yaml"), ROUTE).expect("written");
    let options = SqliteConnectOptions::new().filename(folder.path().join("data/tables.db")).create_if_missing(true);
    let mut tables = options.connect().await.expect("a database");
    sqlx::raw_sql("create table things (id integer primary key, value text)").execute(&mut tables).await.expect("a table");
    let server = Measured::hooktable(folder.path(), &["--simulate-api", &format!("https://api.example.com=http://{address}")]);
    let started = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    closed_loop(server.address, "/in/things", 16, Duration::from_secs(60), webhooks, webhook, &next).await;
    let sent = started.elapsed();
    while left(folder.path()).await > 0 {
        assert!(started.elapsed() < Duration::from_secs(300), "it does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = started.elapsed();
    let rows: i64 = sqlx::query("select count(*) from things").fetch_one(&mut tables).await.expect("a row").get(0);
    let seen = seen.lock().expect("a lock");
    let lately = |first: Instant| {
        seen.taken.iter().filter(|at| **at >= first && at.duration_since(first) < Duration::from_secs(1)).count()
    };
    let busiest = seen.taken.iter().map(|first| lately(*first)).max().unwrap_or(0);
    println!(
        "{webhooks} webhooks about {rows} orders, sent in {sent:.1?}, limit {LIMIT}/s: {} calls, {} of them refused with 429, at most {busiest} in any second, all done after {took:.1?} (at the limit the calls alone need {:.0} s)",
        seen.taken.len() + seen.refused,
        seen.refused,
        seen.taken.len() as f64 / LIMIT as f64
    );
}

async fn left(folder: &Path) -> i64 {
    let options = SqliteConnectOptions::new().filename(folder.join("data/state.db")).read_only(true);
    let mut state = options.connect().await.expect("a database");
    sqlx::query("select count(*) from record where state = 0").fetch_one(&mut state).await.expect("a row").get(0)
}
