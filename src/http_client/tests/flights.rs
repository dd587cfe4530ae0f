//! Identical calls in flight are one call, but never at the price of an answer that is too old.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::harness::*;
use crate::http_client::api::Api;
use crate::http_client::call::Call;
use crate::http_client::client::HttpClient;

/// A provider that answers with the number of the request once it is let.
async fn gated(status: u16) -> (Provider, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let provider = Provider::start(move |number, _| {
        let opened = Arc::clone(&opened);
        async move {
            opened.acquire().await.expect("open").forget();
            let number: &'static str = ["0", "1", "2", "3"][number];
            response(status, &[], number)
        }
    })
    .await;
    (provider, gate)
}

/// Until the provider has seen `number` requests and everyone had a chance to board.
async fn seen(provider: &Provider, number: usize) {
    while provider.requests().len() < number {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn spawn(client: &Arc<HttpClient>, call: Call) -> tokio::task::JoinHandle<(bool, Result<String, String>)> {
    let client = Arc::clone(client);
    tokio::spawn(async move {
        let (trace, result) = client.call(&call).await;
        let text = |answer: crate::http_client::call::Answer| String::from_utf8_lossy(&answer.body).into_owned();
        (trace.shared, result.map(text).map_err(|failure| failure.reason))
    })
}

#[tokio::test]
async fn a_hundred_identical_calls_are_one_request() {
    let (provider, gate) = gated(200).await;
    let client = client(&manual_clock());
    let call = get(&provider.url("/a"));
    let open = async {
        seen(&provider, 1).await;
        gate.add_permits(100);
    };
    let (results, ()) = tokio::join!(join_all((0..100).map(|_| client.call(&call))), open);
    assert_eq!(provider.requests().len(), 1);
    assert_eq!(results.iter().filter(|(trace, _)| trace.shared).count(), 99);
    assert!(results.iter().all(|(trace, result)| result.is_ok() && trace.bytes == 1));
    let (trace, _) = client.call(&call).await;
    assert!(!trace.shared, "an answer that has come serves nobody later");
}

#[tokio::test]
async fn shared_answers_cost_no_tokens() {
    let provider = Provider::with_statuses(&[200]).await;
    let client = client(&manual_clock());
    let limited = call(&provider.url("/a"), |api| {
        api.allow_private = true;
        api.limits = vec![crate::config::units::parse_rate("1/m").expect("a rate")];
    });
    let results = join_all((0..20).map(|_| client.call(&limited))).await;
    assert!(results.iter().all(|(_, result)| result.is_ok()));
}

#[tokio::test]
async fn an_older_request_does_not_serve_a_newer_record() {
    let (provider, gate) = gated(200).await;
    let clock = manual_clock();
    let client = Arc::new(client(&clock));
    let older = spawn(&client, get(&provider.url("/a")));
    seen(&provider, 1).await;
    let newer = Call { fresh_after: START, ..get(&provider.url("/a")) };
    clock.move_to(START + Duration::from_secs(1));
    let newest = spawn(&client, newer.clone());
    seen(&provider, 2).await;
    let joined = spawn(&client, newer.clone());
    let reference = spawn(&client, Call { reference: true, fresh_after: START + Duration::from_secs(9), ..newer });
    seen(&provider, 2).await;
    gate.add_permits(9);
    assert_eq!(older.await.expect("done"), (false, Ok("0".to_owned())));
    assert_eq!(newest.await.expect("done"), (false, Ok("1".to_owned())));
    assert_eq!(joined.await.expect("done"), (true, Ok("1".to_owned())));
    assert_eq!(reference.await.expect("done"), (true, Ok("1".to_owned())));
    assert_eq!(provider.requests().len(), 2);
}

#[tokio::test]
async fn nothing_is_shared_across_scopes_apis_or_credentials() {
    let (provider, gate) = gated(200).await;
    let client = Arc::new(client(&manual_clock()));
    let call = get(&provider.url("/a"));
    let other_scope = Call { scope: "t2/i1".to_owned(), ..call.clone() };
    let other_api = Call { api: Arc::new(Api { name: "b".to_owned(), ..(*call.api).clone() }), ..call.clone() };
    let key = (reqwest::header::AUTHORIZATION, reqwest::header::HeaderValue::from_static("other"));
    let other_key = Call { headers: vec![key], ..call.clone() };
    let calls = [call, other_scope, other_api, other_key].map(|call| spawn(&client, call));
    seen(&provider, 4).await;
    gate.add_permits(4);
    for call in calls {
        assert!(!call.await.expect("done").0);
    }
}

#[tokio::test]
async fn a_call_whose_leader_was_given_up_is_made_by_another() {
    let (provider, gate) = gated(200).await;
    let client = Arc::new(client(&manual_clock()));
    let leader = spawn(&client, get(&provider.url("/a")));
    seen(&provider, 1).await;
    let waiting: Vec<_> = (0..20).map(|_| spawn(&client, get(&provider.url("/a")))).collect();
    seen(&provider, 1).await;
    leader.abort();
    seen(&provider, 2).await;
    gate.add_permits(9);
    let mut led = 0;
    for call in waiting {
        let (shared, result) = tokio::time::timeout(Duration::from_secs(5), call).await.expect("not hanging").expect("done");
        assert_eq!(result, Ok("1".to_owned()));
        led += usize::from(!shared);
    }
    assert_eq!((led, provider.requests().len()), (1, 2));
}

#[tokio::test]
async fn a_failure_is_shared_only_with_those_it_is_fresh_enough_for() {
    let (provider, gate) = gated(503).await;
    let clock = manual_clock();
    let client = Arc::new(client(&clock));
    let once = call(&provider.url("/a"), |api| {
        api.allow_private = true;
        api.retry.times = 0;
    });
    let first = spawn(&client, once.clone());
    seen(&provider, 1).await;
    let same_age = spawn(&client, once.clone());
    let later = spawn(&client, Call { reference: true, fresh_after: START, ..once });
    seen(&provider, 1).await;
    gate.add_permits(9);
    let failed = Err("api `economic` answered 503".to_owned());
    assert_eq!(first.await.expect("done"), (false, failed.clone()));
    assert_eq!(same_age.await.expect("done"), (true, failed.clone()));
    assert_eq!(later.await.expect("done"), (false, failed));
    assert_eq!(provider.requests().len(), 2);
}
