//! Servers killed at random under load, and the database under them, while the provider's API fails at random: everything that was
//! acknowledged takes effect once, in the order of its lane, and no lane is stuck. Small runs each time; the full size with
//! `cargo nextest run --run-ignored all --no-capture -E 'test(kills)'`. A run prints its seed; HOOKTABLE_TEST_SEED repeats one, but
//! for what the machine does meanwhile.

#![expect(clippy::print_stderr, reason = "a run says its seed, and how long it took")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::flaky_api::{Chance, Failing, FlakyApi};
use crate::support::postgres::{OwnServer, database_on, is_skipped};
use crate::support::server::ServerProcess;
use crate::support::trial::{Sending, Trial};

const FAILING: Failing = Failing { refused: 6, reset: 3, halved: 3, slow: 4 };

/// How large a run is.
struct Size {
    things: u64,
    each: u64,
    kills: u32,
    /// Between kills, at most, in milliseconds.
    pause: u64,
    patience: Duration,
}

const SMALL: Size = Size { things: 100, each: 10, kills: 4, pause: 1_200, patience: Duration::from_secs(90) };
const FULL: Size = Size { things: 200, each: 50, kills: 25, pause: 2_500, patience: Duration::from_secs(420) };

#[expect(clippy::disallowed_methods, reason = "a run that is repeated has no other way to be told")]
fn chance() -> Arc<Chance> {
    let given = std::env::var("HOOKTABLE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    eprintln!("HOOKTABLE_TEST_SEED={seed}");
    Arc::new(Chance::new(seed))
}

/// What can be killed.
struct Victims<'t> {
    trial: &'t Trial,
    servers: Vec<Option<ServerProcess>>,
    database: Option<&'t OwnServer>,
}

impl Victims<'_> {
    async fn kill_one(&mut self, chance: &Chance) -> &'static str {
        match (chance.below(10), self.database) {
            (0, Some(database)) => {
                database.crash();
                tokio::time::sleep(Duration::from_millis(chance.below(800))).await;
                database.start_again();
                "the database crashed"
            }
            (1..=3, Some(database)) => {
                let mut connection = PgConnection::connect(&database.url).await.expect("connects");
                let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'hooktable' and random() < 0.7";
                connection.execute(sql).await.expect("done");
                "connections were cut off"
            }
            _ => {
                let number = usize::try_from(chance.below(self.servers.len() as u64)).expect("small");
                self.servers[number].take().expect("a server").kill();
                tokio::time::sleep(Duration::from_millis(chance.below(300))).await;
                self.servers[number] = Some(self.trial.start(number, &[]));
                "a server was killed"
            }
        }
    }
}

async fn run(trial: &Trial, database: Option<&OwnServer>, size: &Size, chance: &Chance) {
    let started = Instant::now();
    let servers = (0..trial.addresses.len()).map(|number| Some(trial.start(number, &[]))).collect();
    let mut victims = Victims { trial, servers, database };
    let sending: Sending = trial.send(0..size.things, size.each);
    let total = size.things * size.each;
    let mut counts = std::collections::BTreeMap::new();
    let everything = (0..size.things).map(|thing| (thing, size.each)).collect();
    for _ in 0..size.kills {
        tokio::time::sleep(Duration::from_millis(200 + chance.below(size.pause))).await;
        *counts.entry(victims.kill_one(chance).await).or_insert(0) += 1;
        if trial.count(&everything).await == total {
            break;
        }
    }
    let promised = sending.finish().await;
    assert_eq!(promised.values().sum::<u64>(), total);
    let sent = started.elapsed();
    trial.settles(&promised, size.patience).await;
    eprintln!(
        "{total} deliveries over {} lanes, {counts:?}: all sent after {sent:.1?}, all done after {:.1?}",
        size.things,
        started.elapsed()
    );
}

async fn on_sqlite(size: &Size) {
    let chance = chance();
    let api = FlakyApi::start(FAILING, Arc::clone(&chance)).await;
    run(&Trial::on_sqlite(&api).await, None, size, &chance).await;
    assert!(api.calls() > size.things * size.each, "some calls failed and were made again");
}

async fn on_postgres(size: &Size) {
    if is_skipped() {
        return;
    }
    let chance = chance();
    let api = FlakyApi::start(FAILING, Arc::clone(&chance)).await;
    let database = OwnServer::start();
    let (state, tables) = (database_on(&database.url).await, database_on(&database.url).await);
    let trial = Trial::on_postgres(3, (&state, &state), (&tables, &tables), &api).await;
    run(&trial, Some(&database), size, &chance).await;
    assert!(api.calls() > size.things * size.each, "some calls failed and were made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_does_everything_once_and_in_order() {
    on_sqlite(&SMALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_and_a_database_that_are_killed_again_and_again_do_everything_once_and_in_order() {
    on_postgres(&SMALL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the full size: ten thousand deliveries, some minutes"]
async fn ten_thousand_deliveries_survive_a_server_that_is_killed_again_and_again() {
    on_sqlite(&FULL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the full size: ten thousand deliveries, some minutes"]
async fn ten_thousand_deliveries_survive_three_servers_and_a_database_that_are_killed_again_and_again() {
    on_postgres(&FULL).await;
}
