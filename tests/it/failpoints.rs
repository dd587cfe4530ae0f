//! The process ends at every boundary on a delivery's way and on that of its forward, is started again, and has lost and reordered nothing;
//! no row is there twice, and what is forwarded twice is the same forward.

use std::sync::Arc;
use std::time::Duration;

use hooktable::failpoint::{BOUNDARIES, VARIABLE};

use crate::support::flaky_api::{Chance, Failing, FlakyApi};
use crate::support::postgres::{is_skipped, new_database};
use crate::support::receiver::Receiver;
use crate::support::server::ServerProcess;
use crate::support::trial::{Promised, Trial};

/// For each boundary, things of their own, whose lanes are held by whoever died, and deliveries for each.
const THINGS: u64 = 3;
const EACH: u64 = 6;

async fn ends_at_every_boundary(trial: Trial) {
    let listener = Receiver::start().await;
    let trial = trial.telling(&listener);
    let mut sending = Vec::new();
    for (number, boundary) in (0..).zip(BOUNDARIES) {
        // the second time: then there is something behind it that must not be lost either
        let mut server = trial.start(0, &[(VARIABLE, &format!("{boundary}:2"))]);
        sending.push(trial.send(number * THINGS..(number + 1) * THINGS, EACH));
        let ended = server.ended(Duration::from_secs(30)).await;
        let ended = ended.unwrap_or_else(|| panic!("`{boundary}` was not reached\n{}", trial.said()));
        assert_eq!(ended.code(), None, "`{boundary}` ends it without a word: {ended}");
    }
    let _server = trial.start(0, &[]);
    let mut promised = Promised::new();
    for sending in sending {
        promised.extend(sending.finish().await);
    }
    assert_eq!(promised.values().sum::<u64>(), THINGS * EACH * BOUNDARIES.len() as u64);
    trial.settles(&promised, Duration::from_secs(30)).await;
    trial.was_told(&promised, &listener);
}

async fn steady_api() -> FlakyApi {
    FlakyApi::start(Failing::default(), Arc::new(Chance::new(1))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_at_any_boundary_loses_doubles_and_reorders_nothing_on_sqlite() {
    let api = steady_api().await;
    ends_at_every_boundary(Trial::on_sqlite(&api).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_at_any_boundary_loses_doubles_and_reorders_nothing_on_postgres() {
    if is_skipped() {
        return;
    }
    let api = steady_api().await;
    let (state, tables) = (new_database().await, new_database().await);
    ends_at_every_boundary(Trial::on_postgres(1, (&state, &state), (&tables, &tables), &api).await).await;
}

#[tokio::test]
async fn a_boundary_that_does_not_exist_is_a_mistake() {
    let api = steady_api().await;
    let trial = Trial::on_sqlite(&api).await;
    let mut server = trial.start(0, &[(VARIABLE, "write.nothing")]);
    let sending = trial.send(0..1, 1);
    assert_eq!(server.ended(Duration::from_secs(20)).await.and_then(|ended| ended.code()), Some(2));
    drop(sending);
    assert!(ServerProcess::said(&trial.of(0)).contains("there is no boundary `write.nothing`"));
}
