//! Onboarding windows and what handshakes show in them.

use std::time::Duration;

use super::harness::{TestStore, options};
use crate::secret::Secret;
use crate::store::{Store, onboarding};

async fn keep(store: &Store, value: &str, peer: &str) -> bool {
    onboarding::keep(store, "shop", "secret", &Secret::from(value), Some(peer.to_owned())).await.expect("asked")
}

#[tokio::test]
async fn values_are_kept_once_each_with_when_and_from_where_and_survive_a_restart() {
    let test = TestStore::new().await;
    let window = onboarding::open(&test.store, "shop").await.expect("opened");
    assert_eq!(window.until.to_string(), "2026-11-22T10:00:00Z");
    assert!(keep(&test.store, "one", "192.0.2.1").await && keep(&test.store, "two", "192.0.2.1").await);
    test.pass(Duration::from_secs(60));
    assert!(keep(&test.store, "one", "192.0.2.2").await);
    let TestStore { store, folder, clock } = test;
    store.close().await;
    let store = Store::open(options(folder.path(), &clock)).await.expect("opens again");
    assert!(onboarding::is_open(&store, "shop") && !onboarding::is_open(&store, "other"));
    let values = onboarding::values(&store, "shop").await.expect("values");
    let lines: Vec<String> = values
        .iter()
        .map(|one| format!("{} {} {} {} {:?}", one.value.expose(), one.first_at, one.last_at, one.times, one.peer))
        .collect();
    assert_eq!(
        lines,
        [
            "one 2026-11-21T10:00:00Z 2026-11-21T10:01:00Z 2 Some(\"192.0.2.2\")",
            "two 2026-11-21T10:00:00Z 2026-11-21T10:00:00Z 1 Some(\"192.0.2.1\")",
        ]
    );
}

#[tokio::test]
async fn nobody_fills_a_window_and_what_is_too_long_is_dropped() {
    let test = TestStore::new().await;
    onboarding::open(&test.store, "shop").await.expect("opened");
    for number in 0..30 {
        let kept = keep(&test.store, &number.to_string(), "192.0.2.66").await;
        assert_eq!(kept, number < 20, "{number}");
    }
    assert!(keep(&test.store, "the one that is waited for", "192.0.2.1").await);
    assert!(keep(&test.store, "7", "192.0.2.66").await, "known already");
    assert!(!keep(&test.store, &"x".repeat(5000), "192.0.2.1").await);
    for peer in 0..10 {
        for number in 0..20 {
            keep(&test.store, &format!("{peer} {number}"), &format!("198.51.100.{peer}")).await;
        }
    }
    assert_eq!(onboarding::values(&test.store, "shop").await.expect("values").len(), 100);
    let window = onboarding::window(&test.store, "shop").await.expect("asked").expect("a window");
    assert_eq!(window.dropped, 10 + 1 + 121);
}

#[tokio::test]
async fn a_week_after_the_window_closed_nothing_is_left() {
    let test = TestStore::new().await;
    onboarding::open(&test.store, "shop").await.expect("opened");
    keep(&test.store, "one", "192.0.2.1").await;
    let left = async || {
        // any write lets the writer look after itself
        onboarding::open(&test.store, "other").await.expect("opened");
        onboarding::open(&test.store, "other").await.expect("opened");
        onboarding::values(&test.store, "shop").await.expect("values").len()
    };
    test.pass(onboarding::OPEN_FOR);
    assert!(!onboarding::is_open(&test.store, "shop"));
    assert_eq!(left().await, 1);
    test.pass(onboarding::KEPT_FOR - Duration::from_secs(1));
    assert_eq!(left().await, 1);
    test.pass(Duration::from_secs(61));
    assert_eq!(left().await, 0);
    assert!(onboarding::window(&test.store, "shop").await.expect("asked").is_none());
}
