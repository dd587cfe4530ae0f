//! What kept answers serve, and what the provider confirms.

use std::time::Duration;

use axum::http::header::IF_NONE_MATCH;

use super::harness::*;
use crate::clock::Clock;
use crate::http_client::api::CacheRule;
use crate::http_client::call::Call;

fn cached(url: &str, cache: CacheRule, reference: bool) -> Call {
    Call { cache: Some(cache), reference, ..get(url) }
}

/// Moves the clock on, and the call to a record that comes then.
fn later(clock: &Clock, call: Call, seconds: u64) -> Call {
    clock.move_to(clock.now() + Duration::from_secs(seconds));
    Call { fresh_after: clock.now(), ..call }
}

#[tokio::test]
async fn a_reference_answer_serves_for_its_time_and_a_subject_answer_only_what_came_before_it() {
    for (reference, expected) in [(true, [1, 1, 2]), (false, [1, 2, 3])] {
        let provider = Provider::with_statuses(&[200]).await;
        let clock = manual_clock();
        let client = client(&clock);
        let mut call = cached(&provider.url("/a"), CacheRule::For(Duration::from_secs(60)), reference);
        for (seconds, requests) in [0, 59, 60].into_iter().zip(expected) {
            call = if seconds == 0 { call } else { later(&clock, call, seconds) };
            let (trace, result) = client.call(&call).await;
            assert!(result.is_ok());
            assert_eq!(provider.requests().len(), requests, "reference: {reference}");
            assert_eq!(trace.cached, reference && seconds == 59);
            // the record that it was made for may ask again at any time
            if !reference {
                let before = Call { fresh_after: call.fresh_after - Duration::from_secs(1), ..call.clone() };
                assert!(client.call(&before).await.0.cached);
            }
        }
    }
}

#[tokio::test]
async fn kept_answers_belong_to_their_scope_and_credentials() {
    let provider = Provider::with_statuses(&[200]).await;
    let client = client(&manual_clock());
    let call = cached(&provider.url("/a"), CacheRule::For(Duration::from_secs(60)), true);
    let mut other_tenant = call.clone();
    other_tenant.scope = "t2/i1".to_owned();
    let mut other_key = call.clone();
    other_key.headers.push(("x-key".parse().expect("a name"), "k".parse().expect("a value")));
    for call in [&call, &other_tenant, &other_key, &call] {
        assert!(client.call(call).await.1.is_ok());
    }
    assert_eq!(provider.requests().len(), 3);
}

#[tokio::test]
async fn an_answer_with_an_etag_is_confirmed_and_counts_as_new() {
    let provider = Provider::start(|_, request| async move {
        match request.headers().get(IF_NONE_MATCH).map(|tag| tag.as_bytes() == b"\"v1\"") {
            Some(true) => response(304, &[("etag", "\"v1\""), ("cache-control", "max-age=5")], ""),
            _ => response(200, &[("etag", "\"v1\""), ("content-type", "application/json")], "{\"n\":1}"),
        }
    })
    .await;
    let clock = manual_clock();
    let client = client(&clock);
    let call = cached(&provider.url("/a"), CacheRule::Headers, false);
    assert_eq!(client.call(&call).await.1.expect("an answer").body, "{\"n\":1}");
    let call = later(&clock, call, 10);
    clock.move_to(clock.now() + Duration::from_millis(1));
    let (trace, result) = client.call(&call).await;
    let answer = result.expect("an answer");
    assert_eq!((answer.status, &answer.body[..], answer.began_at), (200, &b"{\"n\":1}"[..], clock.now()));
    assert!(answer.headers.iter().any(|(name, _)| name == "content-type"));
    assert_eq!((trace.status, trace.cached, provider.requests().len()), (Some(304), false, 2));
    assert!(client.call(&call).await.0.cached, "and the confirmation is good for as long as it says");
}

#[tokio::test]
async fn what_may_not_be_stored_is_not() {
    let provider =
        Provider::start(|_, _| async { response(200, &[("cache-control", "no-store"), ("etag", "\"v1\"")], "{}") }).await;
    let client = client(&manual_clock());
    let call = cached(&provider.url("/a"), CacheRule::For(Duration::from_secs(60)), true);
    for _ in 0..2 {
        assert!(client.call(&call).await.1.is_ok());
    }
    assert_eq!(provider.requests().len(), 2);
}

#[tokio::test]
async fn an_attempt_that_goes_on_has_its_answers_and_the_next_one_asks_anew() {
    let provider = Provider::with_statuses(&[404]).await;
    let clock = manual_clock();
    let client = client(&clock);
    let attempt = |name: &str| Call { attempt: Some(name.to_owned()), ..get(&provider.url("/a")) };
    for (name, requests) in [("1/0", 1), ("1/0", 1), ("1/1", 2), ("2/0", 3)] {
        assert_eq!(client.call(&attempt(name)).await.1.expect("an answer").status, 404);
        assert_eq!(provider.requests().len(), requests, "{name}");
    }
    assert!(client.call(&attempt("1/1")).await.1.is_ok());
    assert_eq!(provider.requests().len(), 3, "attempts that take turns do not take each other's answers away");
    let newer = Call { fresh_after: clock.now() + Duration::from_micros(1), ..attempt("2/0") };
    assert!(client.call(&newer).await.1.is_ok());
    assert_eq!(provider.requests().len(), 4, "a record that was merged later wants a later answer");
}
