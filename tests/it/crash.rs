//! `kill -9` at random moments under load: whatever was acknowledged has its rows, exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hooktable::clock::Clock;
use hooktable::rehearsal::simulate::Simulation;
use hooktable::store::{OpenOptions, Store, api_keys, tenants};
use hooktable::target::{DatabaseOptions, Targets};
use tokio::task::JoinSet;

use crate::support::server::{Sender, ServerProcess};
use crate::support::test_app::repository;

const ROUNDS: u32 = 20;
const SENDERS: u64 = 300;
const ORDERS: u64 = 50;

/// Inserts, so that a record that took effect twice shows as two rows.
const LOG: &str = r#"
auth: { token: $.headers.x_token, secret: { env: LOG_TOKEN } }
write: { insert: log, set: { n: $.body.n } }
"#;

async fn make_project(folder: &Path) -> (Simulation, String) {
    std::fs::create_dir_all(folder.join("routes.d")).expect("a folder");
    std::fs::write(folder.join("routes.d/log.yaml"), LOG).expect("a route file");
    let economic = std::fs::read_to_string(repository("routes.d/economic.yaml")).expect("the shipped route file");
    let economic = economic.split("onboarding:\n").next().expect("a text").replace("coalesce: 2s", "coalesce: 50ms");
    std::fs::write(folder.join("routes.d/economic.yaml"), economic).expect("a route file");
    let apis = folder.join("apis/orders/drafts");
    std::fs::create_dir_all(&apis).expect("a folder");
    for number in 0..ORDERS {
        let order = format!(
            r#"{{"orderNumber":{number},"netAmount":{number}.50,"lines":[{{"lineNumber":1,"quantity":1}},{{"lineNumber":2,"quantity":2}}]}}"#
        );
        std::fs::write(apis.join(format!("{number}.json")), order).expect("an order");
    }
    let api = Simulation::start(folder.join("apis"), ([127, 0, 0, 1], 0).into()).await.expect("a simulated API");
    let schema = std::fs::read_to_string(repository("examples/timetracking/schema/sqlite.sql")).expect("the shipped schema");
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    tables(folder)
        .database("main")
        .expect("main")
        .run_script(&format!("{schema}; create table log (n integer)"))
        .await
        .expect("tables");
    let store = Store::open(OpenOptions {
        place: folder.join("data/state.db").into(),
        master_key: None,
        key_file: folder.join("data/master.key"),
        clock: Clock::system(),
        max_bytes: None,
    });
    let store = store.await.expect("a state");
    let tenant = tenants::add(&store, "acme").await.expect("a tenant");
    let (_, key) = api_keys::create(&store, &tenant, "economic", "a test").await.expect("a key");
    store.close().await;
    (api, key.expose().clone())
}

fn tables(folder: &Path) -> Targets {
    let url = format!("sqlite://{}", folder.join("data/tables.db").display());
    Targets::open(vec![DatabaseOptions::new("main", url, "tenant")], Clock::system())
}

/// What one sender was promised.
#[derive(Default)]
struct Promised {
    inserted: Vec<u64>,
    orders: BTreeSet<u64>,
}

/// Sends until the server is gone.
async fn send(address: std::net::SocketAddr, key: Arc<str>, next: Arc<AtomicU64>) -> Promised {
    let mut promised = Promised::default();
    let Ok(mut sender) = Sender::connect(address).await else { return promised };
    let target = format!("/?APIKey={key}&APISource=eConomicOrder");
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let sent = if n.is_multiple_of(3) {
            let order = n % ORDERS;
            let body = format!(r#"{{"eConomicAPIKey":"demo","number":"{order}"}}"#);
            sender.post(&target, "", &body).await.map(|status| (status, Err(order)))
        } else {
            sender.post("/in/log", "X-Token: sesame\r\n", &format!(r#"{{"n":{n}}}"#)).await.map(|status| (status, Ok(n)))
        };
        match sent {
            Ok((200, Ok(n))) => promised.inserted.push(n),
            Ok((200, Err(order))) => drop(promised.orders.insert(order)),
            Ok((503, _)) => {}
            Ok((status, _)) => panic!("the answer is {status}"),
            Err(_) => return promised,
        }
    }
}

/// How often each `n` was inserted, and the jobs and lines that are there.
async fn found(folder: &Path) -> (BTreeMap<u64, u32>, BTreeSet<u64>, usize) {
    let tables = tables(folder);
    let main = tables.database("main").expect("main");
    let mut inserted = BTreeMap::new();
    for row in main.rows("log", None, &[]).await.expect("rows") {
        *inserted.entry(row["n"].as_u64().expect("a number")).or_insert(0) += 1;
    }
    let jobs = main.rows("jobs", None, &[]).await.expect("rows");
    let jobs = jobs.iter().map(|row| row["job_no"].as_u64().expect("a number")).collect();
    (inserted, jobs, main.rows("job_lines", None, &[]).await.expect("rows").len())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_delivery_has_its_rows_exactly_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (api, key) = make_project(folder.path()).await;
    let arguments = ["--simulate-api".to_owned(), format!("https://restapi.e-conomic.com={}", api.url())];
    let environment = [("LOG_TOKEN", "sesame"), ("ECONOMIC_APP_SECRET_TOKEN", "demo")];
    let (key, next): (Arc<str>, _) = (key.into(), Arc::new(AtomicU64::new(0)));
    let mut promised = Promised::default();
    for round in 0..ROUNDS {
        let server = ServerProcess::start(folder.path(), &arguments, &environment);
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            senders.spawn(send(server.address, Arc::clone(&key), Arc::clone(&next)));
        }
        // a moment that differs from run to run
        let chance = std::process::id().wrapping_mul(2_654_435_761).wrapping_add(round.wrapping_mul(40_503)) % 700;
        tokio::time::sleep(Duration::from_millis(150 + u64::from(chance))).await;
        server.kill();
        while let Some(ended) = senders.join_next().await {
            let ended = ended.expect("a sender");
            promised.inserted.extend(ended.inserted);
            promised.orders.extend(ended.orders);
        }
    }
    assert!(promised.inserted.len() > 1_000, "only {} deliveries were acknowledged", promised.inserted.len());
    let _server = ServerProcess::start(folder.path(), &arguments, &environment);
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let (inserted, jobs, lines) = found(folder.path()).await;
        let twice: Vec<_> = inserted.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "these took effect more than once: {twice:?}");
        let missing = promised.inserted.iter().filter(|n| !inserted.contains_key(n)).count();
        let orders = promised.orders.difference(&jobs).count();
        if missing == 0 && orders == 0 && lines == 2 * jobs.len() {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "of {} acknowledged {missing} rows and {orders} orders are missing",
            promised.inserted.len()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
