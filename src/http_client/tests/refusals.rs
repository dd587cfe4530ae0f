//! A provider that refuses is left alone by all who share its budget, for as long as it says, or for longer each time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::harness::*;
use crate::clock::{Clock, Timestamp};
use crate::http_client::call::Call;
use crate::model::failure::Retry;

#[tokio::test]
async fn a_refusal_that_says_nothing_is_waited_out_longer_each_time() {
    let provider = Provider::start(|number, _| async move { response(if number == 8 { 200 } else { 429 }, &[], "{}") }).await;
    let clock = manual_clock();
    let client = client(&clock);
    let mut waits = Vec::new();
    while provider.requests().len() < 10 {
        let asked = provider.requests().len();
        if let Err(failure) = client.call(&get(&provider.url("/a"))).await.1 {
            let Retry::NotBefore { at, hold: true } = failure.retry else { panic!("{failure}") };
            let at = Timestamp::from_micros(at);
            if provider.requests().len() > asked {
                waits.push(at.since(clock.now()).as_secs());
            }
            clock.move_to(at);
        }
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 1], "and it begins anew after an answer");
}

#[tokio::test]
async fn while_one_call_waits_for_as_long_as_it_was_asked_to_no_other_is_made() {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen = Arc::clone(&times);
    let provider = Provider::start(move |number, _| {
        seen.lock().expect("lock").push(Instant::now());
        async move { if number < 4 { response(429, &[("retry-after", "1")], "") } else { response(200, &[], "{}") } }
    })
    .await;
    let client = client(&Clock::system());
    let calls: Vec<Call> = (0..40)
        .map(|n| {
            call(&provider.url(&format!("/{n}")), |api| {
                api.allow_private = true;
                api.concurrency = Some(4);
            })
        })
        .collect();
    let results = join_all(calls.iter().map(|call| client.call(call))).await;
    let refused = results.iter().filter(|(trace, result)| trace.retries > 0 || result.is_err()).count();
    let times = times.lock().expect("lock");
    let pause = times[4].duration_since(times[3]);
    assert!(pause >= Duration::from_millis(900), "the fifth request came {pause:?} after the fourth");
    assert!(refused >= 4 && times.len() <= 44, "{} requests", times.len());
}

#[tokio::test]
async fn of_a_storm_of_refusals_only_what_was_under_way_is_refused() {
    let provider = Provider::with_statuses(&[429]).await;
    let clock = manual_clock();
    let client = client(&clock);
    let calls: Vec<Call> = (0..100)
        .map(|n| {
            call(&provider.url(&format!("/{n}")), |api| {
                api.allow_private = true;
                api.concurrency = Some(5);
            })
        })
        .collect();
    let results = join_all(calls.iter().map(|call| client.call(call))).await;
    assert!(results.iter().all(|(_, result)| result.is_err()));
    let asked = provider.requests().len();
    assert!(asked <= 9, "{asked} requests of 100 calls, five at a time");
    for (_, result) in results {
        let Retry::NotBefore { at, hold: true } = result.expect_err("refused").retry else { panic!("it waits") };
        assert_eq!(Timestamp::from_micros(at), START + Duration::from_secs(1), "those under way are one refusal");
    }
}
