//! e-conomic's customers over the real server: numbers change while updates of both wait, and the server is killed in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hooktable::clock::Clock;
use hooktable::rehearsal::simulate::Simulation;
use hooktable::target::{DatabaseOptions, Targets};

use crate::support::server::{Sender, ServerProcess};
use crate::support::test_app::Builder;

/// `[OLDNUMBER]&[NEWNUMBER]`; the log shows what took effect in which order, and what did so twice.
const CUSTOMERS: &str = r#"
auth: { token: $.headers.x_token, secret: { env: ECONOMIC_TOKEN } }
payload: { format: positional, fields: [old, new] }
apis: { economic: { base: "https://restapi.e-conomic.com" } }
lane: ["customer/{{ body.old }}", "customer/{{ body.new }}"]
enrich: { customer: "/customers/{{ body.new }}" }
write:
  - { upsert: customers, key: { number: $.body.new }, was: { number: $.body.old }, set: { name: $.customer.name } }
  - { insert: log, set: { n: $.query.n } }
"#;

fn tables(folder: &Path) -> Targets {
    let url = format!("sqlite://{}", folder.join("data/tables.db").display());
    Targets::open(vec![DatabaseOptions::new("main", url, "tenant")], Clock::system())
}

async fn make_project(folder: &Path) -> Simulation {
    std::fs::create_dir_all(folder.join("routes.d")).expect("a folder");
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    std::fs::write(folder.join("routes.d/customers.yaml"), CUSTOMERS).expect("a route file");
    let apis = folder.join("apis");
    std::fs::create_dir_all(apis.join("customers")).expect("a folder");
    std::fs::write(apis.join("simulate.yaml"), "latency: 30ms\n").expect("a script");
    for number in 1001..=1006 {
        std::fs::write(apis.join(format!("customers/{number}.json")), format!(r#"{{"name":"customer {number}"}}"#)).expect("one");
    }
    let schema =
        "create table customers (number integer primary key, name text); create table log (at integer primary key, n integer)";
    tables(folder).database("main").expect("main").run_script(schema).await.expect("tables");
    Simulation::start(apis, ([127, 0, 0, 1], 0).into()).await.expect("a simulated API")
}

async fn send(address: std::net::SocketAddr, bodies: &[(usize, String)]) {
    let mut sender = Sender::connect(address).await.expect("connects");
    for (n, body) in bodies {
        let status = sender.post(&format!("/in/customers?n={n}"), "X-Token: sesame\r\nContent-Type: text/plain\r\n", body).await;
        assert_eq!(status.expect("an answer"), 200);
    }
}

async fn log(folder: &Path) -> Vec<usize> {
    let tables = tables(folder);
    let mut rows = tables.database("main").expect("main").rows("log", None, &[]).await.expect("rows");
    rows.sort_by_key(|row| row["at"].as_u64());
    rows.iter().map(|row| usize::try_from(row["n"].as_u64().expect("a number")).expect("a small one")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_that_change_numbers_while_updates_wait_end_right_and_in_order_also_over_a_crash() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = make_project(folder.path()).await;
    let arguments = ["--simulate-api".to_owned(), format!("https://restapi.e-conomic.com={}", api.url())];
    let start = || ServerProcess::start(folder.path(), &arguments, &[("ECONOMIC_TOKEN", "sesame")]);
    let mut bodies: Vec<String> = Vec::new();
    for _ in 0..6 {
        // created, updated, two renumberings that cross and one around a corner, and the old number used again
        bodies.extend(
            ["&1001", "&1002", "1001&1001", "1002&1002", "1001&1002", "1001&1001", "1002&1002", "1002&1001"].map(str::to_owned),
        );
        bodies.extend(["1001&1003", "1003&1003", "1003&1001", "&1002", "1002&1002", "1002&1004", "1004&1005"].map(str::to_owned));
    }
    bodies.extend(["&1006", "1001&1002"].map(str::to_owned));
    let bodies: Vec<(usize, String)> = bodies.into_iter().enumerate().collect();
    for part in bodies.chunks(bodies.len().div_ceil(3)) {
        let server = start();
        send(server.address, part).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        server.kill();
    }
    assert!(log(folder.path()).await.len() < bodies.len(), "something was waiting when it was killed");
    let _server = start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while log(folder.path()).await.len() < bodies.len() {
        let said = || ServerProcess::said(folder.path());
        assert!(Instant::now() < deadline, "{} of {} ran\n{}", 0, bodies.len(), said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ran = log(folder.path()).await;
    for number in 1001..=1006 {
        let number = number.to_string();
        let touches = |n: &usize| bodies[*n].1.split('&').any(|part| part == number);
        let of_thing: Vec<usize> = ran.iter().copied().filter(touches).collect();
        let came: Vec<usize> = (0..bodies.len()).filter(touches).collect();
        assert_eq!(of_thing, came, "customer {number}");
    }
    let mut expected: BTreeMap<u64, String> = BTreeMap::new();
    for (_, body) in &bodies {
        let (old, new) = body.split_once('&').expect("two");
        old.parse().ok().map(|old: u64| expected.remove(&old));
        expected.insert(new.parse().expect("a number"), format!("customer {new}"));
    }
    let tables = tables(folder.path());
    let rows = tables.database("main").expect("main").rows("customers", None, &[]).await.expect("rows");
    let rows: BTreeMap<u64, String> = rows
        .iter()
        .map(|row| (row["number"].as_u64().expect("a number"), row["name"].as_str().unwrap_or_default().to_owned()))
        .collect();
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn what_is_empty_is_in_no_lane_as_long_as_something_is_not() {
    let app = Builder::new("routes.d/customers.yaml", CUSTOMERS).environment("ECONOMIC_TOKEN", "sesame").start().await;
    let headers = [("x-token", "sesame"), ("content-type", "text/plain")];
    for body in ["&1001", "1002&", "1003&1003", "1004&1005", "1006", "&"] {
        assert_eq!(app.send("POST", "/in/customers?n=1", &headers, body).await.status, 200);
    }
    let records: Vec<_> = app.records().await.into_iter().rev().collect();
    let lanes: Vec<_> = records.iter().map(|record| record.lane.as_deref()).collect();
    let lane = |number: u32| Some(format!("customer/{number}"));
    let expected = [lane(1001), lane(1002), lane(1003), lane(1004), lane(1006), None];
    assert_eq!(lanes, expected.iter().map(Option::as_deref).collect::<Vec<_>>());
    assert_eq!(records[5].state.word(), "dead");
    let reason = "`lane`: all of `customer/{{ body.old }}`, `customer/{{ body.new }}` are missing or empty";
    assert_eq!(records[5].reason.as_deref(), Some(reason));
}

/// The lanes in a target remember leases that a restored state knows nothing of.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_older_than_its_target_goes_on_above_the_targets_leases() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = make_project(folder.path()).await;
    let arguments = ["--simulate-api".to_owned(), format!("https://restapi.e-conomic.com={}", api.url())];
    let start = || ServerProcess::start(folder.path(), &arguments, &[("ECONOMIC_TOKEN", "sesame")]);
    let server = start();
    send(server.address, &[(0, "&1001".to_owned())]).await;
    let until = async |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while log(folder.path()).await.len() < count {
            assert!(Instant::now() < deadline, "{}", ServerProcess::said(folder.path()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    until(1).await;
    server.kill();
    // what later leases, lost with the state, had left
    let later = "update hooktable_lane set fence = 1000000";
    tables(folder.path()).database("main").expect("main").run_script(later).await.expect("changed");
    let server = start();
    send(server.address, &[(1, "1001&1001".to_owned()), (2, "1001&1002".to_owned())]).await;
    until(3).await;
    assert_eq!(log(folder.path()).await, [0, 1, 2]);
    server.kill();
}
