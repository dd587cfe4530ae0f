//! Short retries, `Retry-After`, and which statuses are answers.

use std::time::Duration;

use super::harness::*;
use crate::clock::Clock;
use crate::http_client::api::StatusPattern;
use crate::model::failure::Retry;

#[tokio::test]
async fn what_may_pass_is_asked_for_again() {
    let provider = Provider::with_statuses(&[503, 408, 200]).await;
    let (trace, result) = client(&manual_clock()).call(&get(&provider.url("/a"))).await;
    assert_eq!(result.expect("an answer").status, 200);
    assert_eq!((trace.retries, trace.status, provider.requests().len()), (2, Some(200), 3));
}

#[tokio::test]
async fn after_its_retries_a_failure_is_left_to_the_worker() {
    for status in [425, 500, 503, 408] {
        let provider = Provider::start(move |_, _| async move { response(status, &[], "{}") }).await;
        let (trace, result) = client(&manual_clock()).call(&get(&provider.url("/a"))).await;
        let failure = result.expect_err("it never passes");
        assert_eq!((failure.reason, failure.retry), (format!("api `economic` answered {status}"), Retry::Later));
        assert_eq!((trace.retries, trace.status, provider.requests().len()), (2, Some(status), 3));
    }
}

#[tokio::test]
async fn every_other_status_is_an_answer() {
    for status in [204, 304, 400, 401, 403, 404, 410, 422] {
        let provider = Provider::start(move |_, _| async move { response(status, &[], "") }).await;
        let (trace, result) = client(&manual_clock()).call(&get(&provider.url("/a"))).await;
        assert_eq!(result.expect("an answer").status, status);
        assert_eq!((trace.retries, provider.requests().len()), (0, 1));
    }
}

#[tokio::test]
async fn the_rule_says_what_is_asked_for_again() {
    let provider = Provider::with_statuses(&[500, 423, 423]).await;
    let unusual = call(&provider.url("/a"), |api| {
        api.allow_private = true;
        api.retry.statuses = vec![StatusPattern::Exactly(423)];
        api.retry.times = 1;
    });
    let client = client(&manual_clock());
    assert_eq!(client.call(&unusual).await.1.expect("an answer").status, 500);
    assert_eq!(client.call(&unusual).await.1.expect_err("retried once").reason, "api `economic` answered 423");
    assert_eq!(provider.requests().len(), 3);
}

#[tokio::test]
async fn a_long_retry_after_holds_the_pool_and_pauses_the_budget() {
    let clock = manual_clock();
    let provider = Provider::start(|number, _| async move {
        if number == 0 { response(429, &[("retry-after", "60")], "") } else { response(200, &[], "{}") }
    })
    .await;
    let client = client(&clock);
    let until = START + Duration::from_secs(60);
    let failure = client.call(&get(&provider.url("/a"))).await.1.expect_err("asked to wait");
    assert_eq!(failure.retry, Retry::NotBefore { at: until.as_micros(), hold: true });
    assert_eq!(failure.reason, format!("api `economic` answered 429 and asks to wait until {until}"));
    let failure = client.call(&get(&provider.url("/b"))).await.1.expect_err("paused");
    assert_eq!(failure.retry, Retry::NotBefore { at: until.as_micros(), hold: true });
    assert_eq!(provider.requests().len(), 1);
    clock.move_to(until);
    assert_eq!(client.call(&get(&provider.url("/b"))).await.1.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_long_retry_after_is_not_waited_for_by_a_running_clock() {
    let provider = Provider::start(|_, _| async { response(503, &[("retry-after", "6")], "") }).await;
    let clock = Clock::system();
    let began_at = clock.now();
    let failure = client(&clock).call(&get(&provider.url("/a"))).await.1.expect_err("asked to wait");
    assert!(matches!(failure.retry, Retry::NotBefore { at, hold: true } if at > (began_at + Duration::from_secs(5)).as_micros()));
    assert_eq!(provider.requests().len(), 1);
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for_in_place() {
    let provider = Provider::start(|number, _| async move {
        if number == 0 { response(429, &[("retry-after", "1")], "") } else { response(200, &[], "{}") }
    })
    .await;
    let clock = Clock::system();
    let began_at = clock.now();
    let (trace, result) = client(&clock).call(&get(&provider.url("/a"))).await;
    assert!(result.expect("an answer").began_at >= began_at + Duration::from_secs(1));
    assert_eq!(trace.retries, 1);
}
