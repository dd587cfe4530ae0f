//! Reloads under load: no sender notices, and what waits while lanes change keeps its order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hooktable::clock::Clock;
use hooktable::target::{DatabaseOptions, Targets};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::support::server::{Sender, ServerProcess};

const RELOADS: u32 = 50;
const SENDERS: u32 = 20;
/// Each sender's; together a thousand a second.
const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);
const HEADERS: &str = "X-Token: sesame\r\nX-Version: any\r\nContent-Type: application/json\r\n";
const ENVIRONMENT: [(&str, &str); 1] = [("LOG_TOKEN", "sesame")];

fn route(version: u32, queueing: &str, write: &str) -> String {
    format!(
        "receive: {{ path: /in/log, headers: {{ x_version: [any, v{version}] }} }}\n\
         auth: {{ token: $.headers.x_token, secret: {{ env: LOG_TOKEN }} }}\n{queueing}\nwrite: {{ {write} }}\n"
    )
}

fn tables(folder: &Path) -> Targets {
    let url = format!("sqlite://{}", folder.join("data/tables.db").display());
    Targets::open(vec![DatabaseOptions { name: "main".into(), url: url.into(), tenant_column: "tenant".into() }], Clock::system())
}

async fn make_project(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder.join("routes.d")).expect("a folder");
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    save(folder, text);
    let main = tables(folder);
    let script = "create table log (id integer primary key, thing integer, n integer)";
    main.database("main").expect("main").run_script(script).await.expect("tables");
}

/// As most editors do.
fn save(folder: &Path, text: &str) {
    std::fs::write(folder.join("routes.d/.log.yaml~"), text).expect("written");
    std::fs::rename(folder.join("routes.d/.log.yaml~"), folder.join("routes.d/log.yaml")).expect("renamed");
}

/// Things and numbers in the order in which they were inserted.
async fn logged(folder: &Path) -> Vec<(u64, u64)> {
    let tables = tables(folder);
    let rows = tables.database("main").expect("main").rows("log", None, &[]).await.expect("rows");
    let mut rows: Vec<_> =
        rows.iter().map(|row| ["id", "thing", "n"].map(|name| row[name].as_u64().expect("a number"))).collect();
    rows.sort_unstable();
    rows.into_iter().map(|[_, thing, n]| (thing, n)).collect()
}

/// Waits until a version answers; how long that took.
async fn live(address: SocketAddr, version: u32) -> Duration {
    let saved = Instant::now();
    let mut sender = Sender::connect(address).await.expect("connected");
    let headers = HEADERS.replace("any", &format!("v{version}"));
    while sender.post("/in/log", &headers, r#"{"thing":0,"n":0}"#).await.expect("an answer") != 200 {
        assert!(saved.elapsed() < PATIENCE, "version {version} is not seen");
        sleep(Duration::from_millis(10)).await;
    }
    saved.elapsed()
}

/// Sends numbers at its pace until told to stop; every answer must be 200.
async fn send(address: SocketAddr, next: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Vec<u64> {
    let mut sent = Vec::new();
    let mut sender = Sender::connect(address).await.expect("connected");
    let mut pace = interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let n = next.fetch_add(1, Ordering::Relaxed);
        let status = sender.post("/in/log", HEADERS, &format!(r#"{{"thing":{},"n":{n}}}"#, n % 7)).await;
        assert_eq!(status.expect("an answer"), 200, "request {n}");
        sent.push(n);
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_a_second_notice_nothing_of_fifty_reloads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let insert = "insert: log, set: { thing: $.body.thing, n: $.body.n }";
    // every other version puts records into other lanes, so that what waits is admitted again
    let text = |version: u32| route(version, &format!("lane: \"{}/{{{{ body.thing }}}}\"", version / 2 % 2), insert);
    make_project(folder.path(), &text(0)).await;
    let server = ServerProcess::start(folder.path(), &[], &ENVIRONMENT);
    let (next, stop) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(send(server.address, Arc::clone(&next), Arc::clone(&stop)));
    }
    let started = Instant::now();
    let mut times = Vec::new();
    for version in 1..=RELOADS {
        save(folder.path(), &text(version));
        times.push(live(server.address, version).await);
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = senders.join_all().await.concat();
    times.sort_unstable();
    println!(
        "{} requests, {:.0} a second; {RELOADS} reloads, live after {:?} at the median, {:?} at most",
        sent.len(),
        sent.len() as f64 / started.elapsed().as_secs_f64(),
        times[times.len() / 2],
        times[times.len() - 1]
    );
    sent.sort_unstable();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut found: Vec<u64> = logged(folder.path()).await.into_iter().map(|(_, n)| n).filter(|n| *n > 0).collect();
        found.sort_unstable();
        if found == sent {
            break;
        }
        assert!(Instant::now() < deadline, "{} of {} requests have rows", found.len(), sent.len());
        sleep(Duration::from_millis(200)).await;
    }
}

const WAITING: u64 = 10_000;
const THINGS: u64 = 100;

/// Sends `count` numbered changes of the things in turn, in order; 8 at a time, each thing always by the same sender.
async fn fill(address: SocketAddr, from: u64, count: u64) {
    let mut senders = JoinSet::new();
    for part in 0..8 {
        senders.spawn(async move {
            let mut sender = Sender::connect(address).await.expect("connected");
            for n in (from..from + count).filter(|n| n % THINGS % 8 == part) {
                let body = format!(r#"{{"thing":{},"n":{n}}}"#, n % THINGS);
                assert_eq!(sender.post("/in/log", HEADERS, &body).await.expect("an answer"), 200);
            }
        });
    }
    senders.join_all().await;
}

async fn said(folder: &Path, text: &str, times: usize) -> Duration {
    let started = Instant::now();
    while ServerProcess::said(folder).matches(text).count() < times {
        assert!(started.elapsed() < PATIENCE, "it never said `{text}`:\n{}", ServerProcess::said(folder));
        sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_waiting_records_change_lanes_and_each_things_order_is_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // they wait for a quiet that does not come, until a version no longer asks for it
    let idle = |version: u32| {
        let lane = format!("lane: \"v{version}/{{{{ body.thing }}}}\"\ncoalesce: {{ quiet: 1h, most: 1h }}");
        route(version, &lane, "upsert: log, key: { thing: $.body.thing, n: $.body.n }, set: { }")
    };
    let insert = "insert: log, set: { thing: $.body.thing, n: $.body.n }";
    make_project(folder.path(), &idle(0)).await;
    let server = ServerProcess::start(folder.path(), &[], &ENVIRONMENT);
    let started = Instant::now();
    fill(server.address, 1, WAITING).await;
    println!("{WAITING} records came in {:?}", started.elapsed());
    save(folder.path(), &idle(1));
    let reload = said(folder.path(), "what waits is admitted again", 1).await;
    let moving = said(folder.path(), "what waited was admitted again", 1).await;
    println!("seen after {reload:?}, {WAITING} records admitted again in {moving:?}");
    save(folder.path(), &route(2, "lane: \"run/{{ body.thing }}\"", insert));
    said(folder.path(), "what waits is admitted again", 2).await;
    fill(server.address, WAITING + 1, 1000).await;
    server.kill();
    let server = ServerProcess::start(folder.path(), &[], &ENVIRONMENT);
    fill(server.address, WAITING + 1001, 1000).await;
    let (expected, deadline) = (WAITING + 2000, Instant::now() + PATIENCE);
    let rows = loop {
        let rows = logged(folder.path()).await;
        if rows.len() as u64 >= expected {
            break rows;
        }
        assert!(Instant::now() < deadline, "{} of {expected} records have rows", rows.len());
        sleep(Duration::from_millis(200)).await;
    };
    println!("all have run {:?} after the kill", PATIENCE - (deadline - Instant::now()));
    let mut by_thing: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (thing, n) in rows {
        by_thing.entry(thing).or_default().push(n);
    }
    for (thing, numbers) in by_thing {
        let expected: Vec<u64> = (1..=expected).filter(|n| n % THINGS == thing).collect();
        assert_eq!(numbers, expected, "thing {thing}");
    }
}
