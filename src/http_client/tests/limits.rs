//! Budgets and concurrency hold however many calls there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use super::harness::*;
use crate::clock::{Clock, Timestamp};
use crate::config::units::parse_rate;
use crate::http_client::api::Api;
use crate::http_client::call::Call;
use crate::model::failure::Retry;

fn limited(url: &str, limits: &[&str]) -> Call {
    call(url, |api| {
        api.allow_private = true;
        api.limits = limits.iter().map(|limit| parse_rate(limit).expect("a rate")).collect();
    })
}

#[tokio::test]
async fn no_window_sees_more_requests_than_its_count() {
    let clock = manual_clock();
    let times: Arc<Mutex<Vec<Timestamp>>> = Arc::default();
    let (seen, now) = (Arc::clone(&times), clock.clone());
    let provider = Provider::start(move |_, _| {
        seen.lock().expect("lock").push(now.now());
        async { response(200, &[], "{}") }
    })
    .await;
    let client = client(&clock);
    let mut waiting: Vec<usize> = (0..150).collect();
    while !waiting.is_empty() {
        let calls: Vec<Call> = waiting.iter().map(|n| limited(&provider.url(&format!("/{n}")), &["40/s", "100/3s"])).collect();
        let results = join_all(calls.iter().map(|call| client.call(call))).await;
        let mut opens_at = None;
        let mut left = Vec::new();
        for (number, (_, result)) in waiting.iter().zip(results) {
            if let Err(failure) = result {
                let Retry::NotBefore { at, hold: true } = failure.retry else { panic!("{failure}") };
                opens_at = opens_at.max(Some(Timestamp::from_micros(at)));
                left.push(*number);
            }
        }
        waiting = left;
        clock.move_to(opens_at.unwrap_or(START));
    }
    let times = times.lock().expect("lock");
    assert_eq!(times.len(), 150);
    for (window, most) in [(Duration::from_secs(1), 40), (Duration::from_secs(3), 100)] {
        for start in times.iter() {
            let within = times.iter().filter(|time| *time >= start && time.since(*start) < window).count();
            assert!(within <= most, "{within} in {window:?}");
        }
    }
}

#[tokio::test]
async fn a_retry_needs_a_token_of_its_own() {
    let provider = Provider::with_statuses(&[503]).await;
    let clock = manual_clock();
    let failure = client(&clock).call(&limited(&provider.url("/a"), &["20/m"])).await.1.expect_err("used up");
    assert!(matches!(failure.retry, Retry::NotBefore { hold: true, .. }), "{failure:?}");
    assert!(failure.reason.starts_with("api `economic`: its limits permit no request before 2026-"), "{failure}");
    assert_eq!(provider.requests().len(), 2);
}

#[tokio::test]
async fn a_token_that_is_near_is_waited_for() {
    let provider = Provider::with_statuses(&[200]).await;
    let clock = Clock::system();
    let client = client(&clock);
    let calls: Vec<Call> = (0..4).map(|n| limited(&provider.url(&format!("/{n}")), &["10/s"])).collect();
    let results = join_all(calls.iter().map(|call| client.call(call))).await;
    let mut began: Vec<Timestamp> = results.into_iter().map(|(_, result)| result.expect("an answer").began_at).collect();
    began.sort();
    let span = began[3].since(began[0]);
    assert!(span >= Duration::from_millis(200), "three intervals of 100 ms, less what the first was late: {span:?}");
}

#[tokio::test]
async fn a_budget_belongs_to_its_scope() {
    let provider = Provider::with_statuses(&[200]).await;
    let client = client(&manual_clock());
    let with_budget = |budget: &str| {
        let mut call = limited(&provider.url("/a"), &["1/m"]);
        call.api = Arc::new(Api { budget: budget.to_owned(), ..(*call.api).clone() });
        call
    };
    assert!(client.call(&with_budget("t1/i1/economic")).await.1.is_ok());
    assert!(client.call(&with_budget("t1/i1/economic")).await.1.is_err());
    assert!(client.call(&with_budget("t2/i1/economic")).await.1.is_ok());
}

#[tokio::test]
async fn what_was_taken_is_still_known_when_a_limit_is_added_or_changed() {
    let provider = Provider::with_statuses(&[200]).await;
    let client = client(&manual_clock());
    let mut taken = 0;
    while client.call(&limited(&provider.url(&format!("/{taken}")), &["1000/m"])).await.1.is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 100, "the burst");
    for limits in [&["1000/m", "50/s"][..], &["900/m"]] {
        assert!(client.call(&limited(&provider.url("/a"), limits)).await.1.is_err(), "{limits:?}");
    }
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_the_api_permits() {
    let under_way = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, highest) = (Arc::clone(&under_way), Arc::clone(&most));
    let provider = Provider::start(move |_, _| {
        let (now, highest) = (Arc::clone(&now), Arc::clone(&highest));
        async move {
            highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            response(200, &[], "{}")
        }
    })
    .await;
    let client = client(&manual_clock());
    let calls: Vec<Call> = (0..24)
        .map(|n| {
            call(&provider.url(&format!("/{n}")), |api| {
                api.allow_private = true;
                api.concurrency = Some(3);
            })
        })
        .collect();
    let results = join_all(calls.iter().map(|call| client.call(call))).await;
    assert!(results.iter().all(|(_, result)| result.is_ok()));
    assert_eq!(most.load(Ordering::SeqCst), 3);
}
