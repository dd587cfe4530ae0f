//! Circuits: an API that fails is left alone, asked by one call at a time, and trusted again when it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use super::harness::*;
use crate::clock::{Clock, Timestamp};
use crate::http_client::call::Call;
use crate::model::failure::Retry;

fn impatient(url: &str) -> Call {
    call(url, |api| {
        api.allow_private = true;
        api.retry.times = 0;
    })
}

/// A provider that answers 503 as long as it is told to.
async fn ailing() -> (Provider, Arc<AtomicBool>) {
    let ill = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&ill);
    let provider = Provider::start(move |_, _| {
        let status = if told.load(Ordering::SeqCst) { 503 } else { 200 };
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            response(status, &[], "{}")
        }
    })
    .await;
    (provider, ill)
}

fn held_until(failure: &crate::model::failure::Failure) -> Option<Timestamp> {
    match failure.retry {
        Retry::NotBefore { at, hold: true } => Some(Timestamp::from_micros(at)),
        _ => None,
    }
}

#[tokio::test]
async fn a_circuit_opens_is_probed_by_one_call_and_closes() {
    let (provider, ill) = ailing().await;
    let clock = manual_clock();
    let client = client(&clock);
    let calls: Vec<Call> = (0..4).map(|n| impatient(&provider.url(&format!("/{n}")))).collect();
    for _ in 0..8 {
        let failure = client.call(&calls[0]).await.1.expect_err("it fails");
        assert_eq!(held_until(&failure), None, "{failure}");
    }
    let failure = client.call(&calls[0]).await.1.expect_err("open");
    assert_eq!(held_until(&failure), Some(START + Duration::from_secs(5)));
    assert_eq!(failure.reason.split(" in a row").next(), Some("api `economic`: its circuit is open after 8 failed requests"));
    assert_eq!((provider.requests().len(), client.circuits()[0].open.is_some()), (8, true));
    clock.move_to(START + Duration::from_secs(5));
    let failed = join_all(calls.iter().map(|call| client.call(call))).await;
    assert_eq!(failed.iter().filter(|(_, result)| held_until(result.as_ref().expect_err("fails")).is_none()).count(), 1);
    assert_eq!(provider.requests().len(), 9, "one probe");
    let failure = client.call(&calls[0]).await.1.expect_err("open for longer");
    assert_eq!(held_until(&failure), Some(START + Duration::from_secs(15)));
    ill.store(false, Ordering::SeqCst);
    clock.move_to(START + Duration::from_secs(15));
    assert!(client.call(&calls[0]).await.1.is_ok());
    assert!(join_all(calls.iter().map(|call| client.call(call))).await.iter().all(|(_, result)| result.is_ok()));
    assert_eq!(client.circuits()[0].open, None);
}

#[tokio::test]
async fn one_answer_in_between_and_a_refusal_keep_a_circuit_closed() {
    let provider = Provider::start(|number, _| async move {
        match number % 8 {
            7 => response(404, &[], "{}"),
            _ => response(500, &[], "{}"),
        }
    })
    .await;
    let clock = manual_clock();
    let client = client(&clock);
    for _ in 0..30 {
        let (_, result) = client.call(&impatient(&provider.url("/a"))).await;
        assert!(result.is_ok() || held_until(result.as_ref().expect_err("fails")).is_none());
    }
    assert_eq!(provider.requests().len(), 30);
    let patient = Provider::start(|_, _| async { response(429, &[], "{}") }).await;
    while patient.requests().len() < 20 {
        let failure = client.call(&impatient(&patient.url("/b"))).await.1.expect_err("it refuses");
        assert!(!failure.reason.contains("circuit"), "asking for patience is no outage: {failure}");
        held_until(&failure).into_iter().for_each(|at| clock.move_to(at));
    }
}

#[tokio::test]
async fn retries_count_as_failures_and_end_when_the_circuit_opens() {
    let provider = Provider::with_statuses(&[503]).await;
    let clock = manual_clock();
    let client = client(&clock);
    let stubborn = call(&provider.url("/a"), |api| {
        api.allow_private = true;
        api.retry.times = 4;
    });
    assert_eq!(client.call(&stubborn).await.0.retries, 4);
    let (trace, result) = client.call(&stubborn).await;
    assert_eq!((trace.retries, held_until(&result.expect_err("it fails"))), (2, None), "its own failure, not one of waiting");
    assert_eq!(provider.requests().len(), 8);
    assert!(held_until(&client.call(&stubborn).await.1.expect_err("open")).is_some());
    clock.move_to(START + Duration::from_secs(5));
    assert_eq!(client.call(&stubborn).await.0.retries, 0, "a probe is one request");
    let open = client.circuits()[0].open.clone().expect("open again");
    assert_eq!((open.since, open.next_probe, open.failures), (START, START + Duration::from_secs(15), 9));
    assert_eq!(open.reason, "api `economic` answered 503");
}

#[tokio::test]
async fn a_provider_that_hangs_is_left_alone_after_one_timeout_of_as_many_calls_as_open_a_circuit() {
    let (provider, count) = silent_provider().await;
    let client = client(&Clock::system());
    let calls: Vec<Call> = (0..8)
        .map(|n| {
            call(&format!("{provider}/{n}"), |api| {
                api.allow_private = true;
                api.timeout = Duration::from_millis(300);
                api.retry.times = 5;
            })
        })
        .collect();
    let results = join_all(calls.iter().map(|call| client.call(call))).await;
    for (_, result) in results {
        assert_eq!(result.expect_err("silent").reason, "api `economic`: no answer within 300ms");
    }
    assert!(count.load(Ordering::SeqCst) <= 10, "{count:?} of 48");
    assert!(held_until(&client.call(&calls[0]).await.1.expect_err("open")).is_some());
}

#[tokio::test]
async fn a_probe_that_is_given_up_lets_another_one_go() {
    let (provider, ill) = ailing().await;
    let clock = manual_clock();
    let client = client(&clock);
    let call = impatient(&provider.url("/a"));
    for _ in 0..8 {
        assert!(client.call(&call).await.1.is_err());
    }
    clock.move_to(START + Duration::from_secs(5));
    ill.store(false, Ordering::SeqCst);
    assert!(tokio::time::timeout(Duration::from_millis(1), client.call(&call)).await.is_err());
    assert!(client.call(&call).await.1.is_ok());
}

#[tokio::test]
async fn one_tenants_outage_is_not_anothers() {
    let (provider, _) = ailing().await;
    let client = client(&manual_clock());
    let call = impatient(&provider.url("/a"));
    for _ in 0..9 {
        assert!(client.call(&call).await.1.is_err());
    }
    let other = Call { scope: "t2/i1".to_owned(), ..call };
    let failure = client.call(&other).await.1.expect_err("it is really asked");
    assert_eq!(held_until(&failure), None);
    assert_eq!(provider.requests().len(), 9);
}
