//! Budgets: no sliding window ever sees more than its count.

use std::time::Duration;

use proptest::prelude::*;

use super::engines::{Engine, on_both_engines};
use super::harness::{TestStore, options};
use crate::clock::Timestamp;
use crate::store::Store;
use crate::store::budgets::{self, Taken, Window};

/// The most calls in any closed window of this length.
fn most_in_a_window(granted: &[(i64, u32)], window: Duration) -> u32 {
    let length = i64::try_from(window.as_micros()).expect("short");
    let from = |start: i64| granted.iter().filter(move |(at, _)| *at >= start && *at <= start + length);
    granted.iter().map(|(start, _)| from(*start).map(|(_, count)| count).sum()).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_window_sees_more_than_its_count(
        counts in (1u32..120, 1u32..400),
        engine in Engine::any(),
        asks in proptest::collection::vec((0u64..3_000, 1u32..40, any::<bool>()), 1..60),
    ) {
        engine.choose();
        let windows = [
            Window { count: counts.0, window: Duration::from_secs(1), slack: Duration::ZERO },
            Window { count: counts.1, window: Duration::from_secs(7), slack: Duration::ZERO },
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let test = TestStore::new().await;
            let mut granted = Vec::new();
            for (wait, want, wait_as_told) in asks {
                test.pass(Duration::from_millis(wait));
                loop {
                    match budgets::take(&test.store, "api", &windows, want).await.expect("asked") {
                        Taken::Granted(count) => {
                            assert!(count >= 1 && count <= want);
                            granted.push((test.clock.now().as_micros(), count));
                            break;
                        }
                        Taken::NotBefore(at) => {
                            assert!(at > test.clock.now());
                            if !wait_as_told { break }
                            test.clock.move_to(at);
                        }
                    }
                }
            }
            for window in windows {
                prop_assert!(most_in_a_window(&granted, window.window) <= window.count);
            }
            Ok(())
        })?;
    }
}

on_both_engines!(a_budget_is_used_nearly_whole);
async fn a_budget_is_used_nearly_whole() {
    let test = TestStore::new().await;
    let windows = [Window { count: 100, window: Duration::from_secs(60), slack: Duration::ZERO }];
    let end = test.clock.now() + Duration::from_secs(600);
    let mut calls = 0;
    while test.clock.now() < end {
        match budgets::take(&test.store, "api", &windows, 10).await.expect("asked") {
            Taken::Granted(count) => calls += count,
            Taken::NotBefore(at) => test.clock.move_to(at),
        }
    }
    assert!((900..=1000).contains(&calls), "{calls} of 1000");
}

on_both_engines!(what_was_taken_of_a_day_is_known_after_a_restart);
async fn what_was_taken_of_a_day_is_known_after_a_restart() {
    let test = TestStore::new().await;
    let day = |slack| [Window { count: 50_000, window: Duration::from_secs(86_400), slack: Duration::from_millis(slack) }];
    let taken = budgets::take(&test.store, "api", &day(0), 5000).await.expect("asked");
    assert_eq!(taken, Taken::Granted(5000), "the burst");
    budgets::pause(&test.store, "paused", test.clock.now() + Duration::from_secs(60)).await.expect("paused");
    test.store.close().await;
    let again = Store::open(options(test.folder.path(), &test.clock)).await.expect("opened again");
    for slack in [0, 250] {
        let taken = budgets::take(&again, "api", &day(slack), 1).await.expect("asked");
        assert!(matches!(taken, Taken::NotBefore(_)), "{taken:?} with {slack} ms of slack");
    }
    assert!(matches!(budgets::take(&again, "paused", &day(0), 1).await.expect("asked"), Taken::NotBefore(_)));
}

on_both_engines!(a_paused_budget_grants_nothing_before_its_time);
async fn a_paused_budget_grants_nothing_before_its_time() {
    let test = TestStore::new().await;
    let windows = [Window { count: 100, window: Duration::from_secs(60), slack: Duration::ZERO }];
    let until: Timestamp = test.clock.now() + Duration::from_secs(30);
    budgets::pause(&test.store, "api", until).await.expect("paused");
    budgets::pause(&test.store, "api", test.clock.now()).await.expect("an earlier one is ignored");
    assert_eq!(budgets::take(&test.store, "api", &windows, 1).await.expect("asked"), Taken::NotBefore(until));
    test.clock.move_to(until);
    assert_eq!(budgets::take(&test.store, "api", &windows, 1).await.expect("asked"), Taken::Granted(1));
    assert_eq!(budgets::take(&test.store, "other", &[], 3).await.expect("asked"), Taken::Granted(3));
}
