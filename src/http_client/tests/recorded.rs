//! Recorded answers stand in for a provider, and say what is missing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::harness::*;
use crate::http_client::call::Call;
use crate::http_client::recorded::{Recorded, RecordedAnswer};
use crate::model::failure::Retry;

fn answer(url: &str, status: u16, body: &'static str) -> RecordedAnswer {
    RecordedAnswer {
        method: Method::GET,
        url: Url::parse(url).expect("a URL"),
        required_headers: Vec::new(),
        status,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: Bytes::from_static(body.as_bytes()),
    }
}

fn recorded_call(url: &str) -> Call {
    call(url, |_| {})
}

async fn body(recorded: &Arc<Recorded>, call: &Call) -> Result<String, String> {
    let (_, result) = recorded_client(&manual_clock(), recorded).call(call).await;
    let text = |answer: crate::http_client::call::Answer| String::from_utf8_lossy(&answer.body).into_owned();
    result.map(text).map_err(|failure| {
        assert_eq!(failure.retry, Retry::Never);
        failure.reason
    })
}

#[tokio::test]
async fn answers_come_in_order_and_the_last_repeats() {
    let recorded = Arc::new(Recorded::new(vec![
        answer("https://api.example/a?x=1&y=2", 200, "1"),
        answer("https://api.example/a?y=2&x=1", 200, "2"),
        answer("https://api.example/b", 200, "b"),
    ]));
    let call = recorded_call("https://api.example:443/a?y=2&x=1");
    for expected in ["1", "2", "2"] {
        assert_eq!(body(&recorded, &call).await.as_deref(), Ok(expected));
    }
    assert_eq!(recorded.calls().len(), 3);
    assert_eq!(recorded.calls()[0].url, "https://api.example/a?y=2&x=1");
}

#[tokio::test]
async fn a_recorded_failure_is_retried_as_a_real_one() {
    let recorded =
        Arc::new(Recorded::new(vec![answer("https://api.example/a", 503, ""), answer("https://api.example/a", 200, "2")]));
    assert_eq!(body(&recorded, &recorded_call("https://api.example/a")).await.as_deref(), Ok("2"));
}

#[tokio::test]
async fn what_is_not_recorded_is_named_with_what_is_near() {
    let recorded = Arc::new(Recorded::new(vec![
        answer("https://api.example/orders/sent/20417", 200, "1"),
        answer("https://other.example/customers", 200, "1"),
        answer("https://api.example/orders/drafts/20417", 200, "1"),
        answer("https://elsewhere.example/", 200, "1"),
    ]));
    assert_eq!(
        body(&recorded, &recorded_call("https://api.example/orders/sent/20418")).await,
        Err("no recorded answer for `GET https://api.example/orders/sent/20418`\n\
             hint: the nearest recorded: `GET https://api.example/orders/sent/20417`, \
             `GET https://api.example/orders/drafts/20417`, `GET https://other.example/customers`"
            .to_owned())
    );
    let nothing = Arc::new(Recorded::new(Vec::new()));
    assert_eq!(
        body(&nothing, &recorded_call("https://api.example/a")).await,
        Err("no recorded answer for `GET https://api.example/a`, none is recorded at all".to_owned())
    );
}

#[tokio::test]
async fn required_headers_are_compared_and_not_shown() {
    let mut with_key = answer("https://api.example/a", 200, "1");
    with_key.required_headers = vec![("X-Key".to_owned(), "secret-value".to_owned())];
    let recorded = Arc::new(Recorded::new(vec![with_key]));
    let mut call = recorded_call("https://api.example/a");
    call.headers = vec![(HeaderName::from_static("x-key"), HeaderValue::from_static("wrong-value"))];
    assert_eq!(
        body(&recorded, &call).await,
        Err("no recorded answer for `GET https://api.example/a`: header `X-Key` is not what the recorded one requires".to_owned())
    );
    call.headers = vec![(HeaderName::from_static("x-key"), HeaderValue::from_static("secret-value"))];
    assert_eq!(body(&recorded, &call).await.as_deref(), Ok("1"));
}

#[tokio::test]
async fn undeclared_origins_are_refused_in_tests_too() {
    let recorded = Arc::new(Recorded::new(vec![answer("https://evil.example/a", 200, "1")]));
    let call = call("https://evil.example/a", |api| api.allowed_origins = vec!["https://api.example".to_owned()]);
    assert!(body(&recorded, &call).await.is_err());
    assert_eq!(recorded.calls(), []);
}

#[tokio::test]
async fn identical_calls_side_by_side_count_as_one() {
    let recorded = Arc::new(Recorded::new(vec![answer("https://api.example/a", 200, "1")]));
    let client = recorded_client(&manual_clock(), &recorded);
    let call = recorded_call("https://api.example/a");
    let results = join_all((0..5).map(|_| client.call(&call))).await;
    assert!(results.iter().all(|(_, result)| result.is_ok()));
    assert_eq!(recorded.calls().len(), 1);
}
