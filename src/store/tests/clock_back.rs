//! What waits for a moment when the clock goes back.

use std::time::Duration;

use super::engines::on_both_engines;
use super::harness::*;
use crate::store::{clock_back, lanes};

const HOUR: Duration = Duration::from_secs(3600);

on_both_engines!(what_waits_for_a_moment_is_moved_with_a_clock_that_goes_back);
async fn what_waits_for_a_moment_is_moved_with_a_clock_that_goes_back() {
    let test = TestStore::new().await;
    let now = test.clock.now();
    for lane in ["a", "b", "c"] {
        test.put(lane).await;
    }
    let claims = test.claim(3).await;
    let record = |number: usize| claims[number].records[0].id;
    lanes::retry(&test.store, &claims[0], record(0), attempt(), "down".into(), now + HOUR * 3).await.expect("ended");
    lanes::let_pass(&test.store, &claims[1], record(1), attempt(), "down".into(), now + HOUR * 3).await.expect("ended");
    lanes::hold(&test.store, &claims[2], now + HOUR * 3, "busy".into(), None).await.expect("ended");
    let back = i64::try_from((HOUR * 2).as_micros()).expect("small");
    let job = test.store.writer().run(move |connection, now| Box::pin(clock_back::move_back(connection, now, back)));
    job.await.expect("moved");
    assert!(test.claim(9).await.is_empty());
    assert!(!lanes::bring_back(&test.store).await.expect("looked"));
    test.pass(HOUR);
    assert!(lanes::bring_back(&test.store).await.expect("looked"), "others were let past it until now");
    let mut found: Vec<i64> = test.claim(9).await.iter().map(|claim| claim.records[0].id.0).collect();
    found.sort_unstable();
    let mut all: Vec<i64> = (0..3).map(|number| record(number).0).collect();
    all.sort_unstable();
    assert_eq!(found, all);
}
