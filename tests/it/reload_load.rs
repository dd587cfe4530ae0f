//! Reloads under load: no sender notices, and what waits while lanes change keeps its order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hooktable::clock::Clock;
use hooktable::target::{DatabaseOptions, Targets};
use sqlx::{Connection as _, Row as _, SqliteConnection};
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

/// A route that writes rows for a part of what comes; tables are the slowest part, and the rest need not wait for them.
fn route(version: u32, queueing: &str, when: &str, write: &str) -> String {
    format!(
        "receive: {{ path: /in/log, headers: {{ x_version: [any, v{version}] }} }}\n\
         auth: {{ token: $.headers.x_token, secret: {{ env: LOG_TOKEN }} }}\n{queueing}\n\
         routes:\n- {{ {when}, write: {{ {write} }} }}\n- {{ ignore: not a part }}\n"
    )
}

/// How many records of each state there are, once the server is gone.
async fn counted(folder: &Path) -> BTreeMap<&'static str, u64> {
    let url = format!("sqlite://{}", folder.join("data/state.db").display());
    let mut connection = SqliteConnection::connect(&url).await.expect("a state");
    let rows = sqlx::query("select state, count(*) from record group by state").fetch_all(&mut connection).await;
    let words = ["open", "done", "ignored", "superseded", "dead", "discarded"];
    let counted = rows.expect("counted").into_iter().map(|row| (row.get::<u32, _>(0) as usize, row.get::<i64, _>(1)));
    counted.map(|(state, count)| (words[state], u64::try_from(count).expect("a number"))).collect()
}

fn tables(folder: &Path) -> Targets {
    let url = format!("sqlite://{}", folder.join("data/tables.db").display());
    Targets::open(vec![DatabaseOptions::new("main", url, "tenant")], Clock::system())
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
    // every other version puts records into other lanes, so that what waits is admitted again
    let text = |version: u32| {
        let lane = format!("lane: \"{}/{{{{ body.thing }}}}\"", version / 2 % 2);
        route(version, &lane, "when: body.n is divisibleby 5", "insert: log, set: { thing: $.body.thing, n: $.body.n }")
    };
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
    let expected: Vec<u64> = sent.iter().copied().filter(|n| n % 5 == 0).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut found: Vec<u64> = logged(folder.path()).await.into_iter().map(|(_, n)| n).filter(|n| *n > 0).collect();
        found.sort_unstable();
        if found == expected {
            break;
        }
        assert!(Instant::now() < deadline, "{} of {} requests have rows", found.len(), expected.len());
        sleep(Duration::from_millis(200)).await;
    }
    server.kill();
    let counts = counted(folder.path()).await;
    let probes = u64::from(RELOADS);
    assert_eq!(counts.values().sum::<u64>(), sent.len() as u64 + probes, "{counts:?}");
    assert_eq!(counts["done"], expected.len() as u64 + probes, "{counts:?}");
}

const WAITING: u64 = 10_000;
const THINGS: u64 = 100;
/// How many changes come in one request.
const TOGETHER: u64 = 4;

/// Sends numbered changes of the things in turn, in order; 5 requests at a time, each thing always by the same sender.
async fn fill(address: SocketAddr, from: u64, count: u64) {
    let mut senders = JoinSet::new();
    for part in 0..5 {
        senders.spawn(async move {
            let mut sender = Sender::connect(address).await.expect("connected");
            for first in (from..from + count).step_by(TOGETHER as usize).filter(|first| first % THINGS / TOGETHER % 5 == part) {
                let item = |n: u64| format!(r#"{{"thing":{},"n":{n}}}"#, n % THINGS);
                let items: Vec<String> = (first..first + TOGETHER).map(item).collect();
                let body = format!(r#"{{"items":[{}]}}"#, items.join(","));
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
    let queueing = |lane: &str| format!("payload: {{ split: {{ item: $.body.items }} }}\nlane: \"{lane}/{{{{ item.thing }}}}\"");
    // they wait for a quiet that does not come, until a version no longer asks for it
    let idle = |version: u32| {
        let waiting = format!("{}\ncoalesce: {{ quiet: 1h, most: 1h }}", queueing(&version.to_string()));
        route(version, &waiting, "event: \"*\"", "upsert: log, key: { thing: $.item.thing, n: $.item.n }, set: { }")
    };
    let busy = route(2, &queueing("run"), "when: item.thing < 10", "insert: log, set: { thing: $.item.thing, n: $.item.n }");
    make_project(folder.path(), &idle(0)).await;
    let server = ServerProcess::start(folder.path(), &[], &ENVIRONMENT);
    let started = Instant::now();
    fill(server.address, 0, WAITING).await;
    println!("{WAITING} records came in {:?}", started.elapsed());
    save(folder.path(), &idle(1));
    let reload = said(folder.path(), "what waits is admitted again", 1).await;
    let moving = said(folder.path(), "what waited was admitted again", 1).await;
    println!("seen after {reload:?}, {WAITING} records admitted again in {moving:?}");
    save(folder.path(), &busy);
    said(folder.path(), "what waits is admitted again", 2).await;
    fill(server.address, WAITING, 400).await;
    assert_eq!(ServerProcess::said(folder.path()).matches("what waited was admitted again").count(), 1, "it is still under way");
    server.kill();
    let server = ServerProcess::start(folder.path(), &[], &ENVIRONMENT);
    fill(server.address, WAITING + 400, 400).await;
    let (all, deadline) = (WAITING + 800, Instant::now() + PATIENCE);
    let rows = loop {
        let rows = logged(folder.path()).await;
        if rows.len() as u64 >= all / 10 {
            break rows;
        }
        assert!(Instant::now() < deadline, "{} of {} records have rows", rows.len(), all / 10);
        sleep(Duration::from_millis(200)).await;
    };
    let mut by_thing: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (thing, n) in rows {
        by_thing.entry(thing).or_default().push(n);
    }
    for (thing, numbers) in by_thing {
        let expected: Vec<u64> = (0..all).filter(|n| n % THINGS == thing).collect();
        assert_eq!(numbers, expected, "thing {thing}");
    }
    server.kill();
    let expected = BTreeMap::from([("done", all / 10), ("ignored", all - all / 10)]);
    assert_eq!(counted(folder.path()).await, expected, "nothing is lost and nothing is stuck");
}
