//! `kill -9` at random moments while forwards are asked for, sent and ended: each record that was acknowledged has its row once and its
//! forwards at least once, and never two forwards to one target.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hooktable::clock::Clock;
use hooktable::target::{DatabaseOptions, Targets};
use tokio::task::JoinSet;

use crate::support::receiver::Receiver;
use crate::support::server::{Sender, ServerProcess};

const ROUNDS: u32 = 8;
const SENDERS: u64 = 20;

fn tables(folder: &Path) -> Targets {
    let url = format!("sqlite://{}", folder.join("data/tables.db").display());
    Targets::open(vec![DatabaseOptions::new("main", url, "tenant")], Clock::system())
}

async fn make_project(folder: &Path, receiver: &Receiver) {
    std::fs::create_dir_all(folder.join("routes.d")).expect("a folder");
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    let route = format!(
        "auth: {{ none: a test }}\napis: {{ other: {{ base: \"http://{}\", allow_private: true }} }}\nlane: \"n/{{{{ body.n % 7 }}}}\"\n\
         write: {{ insert: log, set: {{ n: $.body.n }} }}\nforward:\n  one: {{ post: /one, json: {{ n: $.body.n }} }}\n  \
         two: {{ post: /two, json: {{ n: $.body.n }}, retry: {{ first: 100ms, most: 1s }} }}\n",
        receiver.address
    );
    std::fs::write(folder.join("routes.d/log.yaml"), route).expect("a route file");
    let tables = tables(folder);
    tables.database("main").expect("main").run_script("create table log (n integer)").await.expect("tables");
}

/// Sends until the server is gone; says what was acknowledged.
async fn send(address: std::net::SocketAddr, next: Arc<AtomicU64>) -> Vec<u64> {
    let mut promised = Vec::new();
    let Ok(mut sender) = Sender::connect(address).await else { return promised };
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        match sender.post("/in/log", "Content-Type: application/json\r\n", &format!("{{\"n\":{n}}}")).await {
            Ok(200) => promised.push(n),
            Ok(503) => {}
            Ok(status) => panic!("the answer is {status}"),
            Err(_) => return promised,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The ids under which each `n` came to a target.
fn came(receiver: &Receiver, path: &str) -> BTreeMap<u64, BTreeSet<String>> {
    let mut came: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for one in receiver.received().iter().filter(|one| one.target == path) {
        let body: serde_json::Value = serde_json::from_slice(&one.body).expect("JSON");
        let n = body["n"].as_u64().expect("a number");
        came.entry(n).or_default().insert(one.header("webhook-id").expect("an id").to_owned());
    }
    came
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_that_took_effect_has_its_forwards_and_no_second_ones() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let receiver = Receiver::start().await;
    let turn = AtomicU64::new(0);
    // now and then a target fails, so that tries are under way and waited for when the process dies
    receiver.answer(move |request| {
        let fails = request.target == "/two" && turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(5);
        (if fails { 500 } else { 200 }, Vec::new())
    });
    make_project(folder.path(), &receiver).await;
    let next = Arc::new(AtomicU64::new(0));
    let mut promised = Vec::new();
    for round in 0..ROUNDS {
        let server = ServerProcess::start(folder.path(), &[], &[]);
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            senders.spawn(send(server.address, Arc::clone(&next)));
        }
        // a moment that differs from run to run
        let chance = std::process::id().wrapping_mul(2_654_435_761).wrapping_add(round.wrapping_mul(40_503)) % 500;
        tokio::time::sleep(Duration::from_millis(150 + u64::from(chance))).await;
        server.kill();
        while let Some(ended) = senders.join_next().await {
            promised.extend(ended.expect("a sender"));
        }
    }
    assert!(promised.len() > 50, "only {} deliveries were acknowledged", promised.len());
    let _server = ServerProcess::start(folder.path(), &[], &[]);
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let (one, two) = (came(&receiver, "/one"), came(&receiver, "/two"));
        let twice: Vec<_> = one.iter().chain(&two).filter(|(_, ids)| ids.len() > 1).collect();
        assert!(twice.is_empty(), "these were asked for more than once: {twice:?}");
        if promised.iter().all(|n| one.contains_key(n) && two.contains_key(n)) {
            break;
        }
        assert!(Instant::now() < deadline, "{} of {} came\n{}", one.len(), promised.len(), ServerProcess::said(folder.path()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let tables = tables(folder.path());
    let mut rows: Vec<u64> = tables
        .database("main")
        .expect("main")
        .rows("log", None, &[])
        .await
        .expect("rows")
        .iter()
        .filter_map(|row| row["n"].as_u64())
        .collect();
    rows.sort_unstable();
    let all = rows.len();
    rows.dedup();
    assert_eq!(rows.len(), all, "a row was written twice");
    assert!(promised.iter().all(|n| rows.binary_search(n).is_ok()), "a row is missing");
}
