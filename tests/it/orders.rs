//! SmartTID's order webhook from request to rows, over the shipped e-conomic file.

use std::time::Duration;

use crate::support::test_app::{Builder, TestApp};

const ORDER: &str = r#"{"eConomicAPIKey":"grant-canary","number":"20417"}"#;
const MINUTE: Duration = Duration::from_secs(60);

async fn app_with_key() -> (TestApp, String) {
    let app = Builder::economic().start().await;
    let key = app.key("acme", "economic").await;
    (app, key)
}

#[tokio::test]
async fn an_order_becomes_a_job_with_its_lines() {
    let (app, key) = app_with_key().await;
    let answer = app.send_order(&key, ORDER).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body["delivery"].as_str().is_some_and(|id| id.len() == 36), "{answer:?}");
    assert_eq!(app.lines("jobs").await.len(), 0, "nothing is written before the lane has been quiet");
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(app.states().await, ["done"], "{:?}", app.records().await);
    let jobs = app.lines("jobs").await;
    assert_eq!(jobs.len(), 1);
    assert!(jobs[0].contains("job_no=20417") && jobs[0].contains("tenant=\"acme\""), "{jobs:?}");
    assert_eq!(app.lines("job_lines").await.len(), 3);
    assert_eq!(app.api.calls(), ["GET /orders/drafts/20417", "GET /orders/sent/20417"]);
}

#[tokio::test]
async fn a_burst_about_one_order_is_one_fetch() {
    let (app, key) = app_with_key().await;
    for _ in 0..1000 {
        assert_eq!(app.send_order(&key, ORDER).await.status, 200);
    }
    app.run_pending_deliveries(MINUTE).await;
    let ended = app.tools.store.ended().all();
    let count = |state: &str| ended.iter().find(|(_, ended, _)| *ended == state).map(|(.., count)| *count);
    assert_eq!((count("superseded"), count("done")), (Some(999), Some(1)));
    assert_eq!(app.api.calls(), ["GET /orders/drafts/20417", "GET /orders/sent/20417"], "one fetch, from the list of places");
}

#[tokio::test]
async fn what_the_api_no_longer_has_is_deleted() {
    let (app, key) = app_with_key().await;
    app.send_order(&key, ORDER).await;
    app.run_pending_deliveries(MINUTE).await;
    app.forget_answer("orders/sent/20417");
    app.send_order(&key, ORDER).await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(app.states().await, ["done", "done"]);
    assert_eq!((app.lines("jobs").await.len(), app.lines("job_lines").await.len()), (0, 0));
}

#[tokio::test]
async fn an_answer_without_lines_deletes_nothing() {
    let (app, key) = app_with_key().await;
    app.send_order(&key, ORDER).await;
    app.run_pending_deliveries(MINUTE).await;
    app.answer("orders/sent/20417", r#"{"orderNumber":20417,"customer":{"customerNumber":1},"netAmount":1.00}"#);
    app.send_order(&key, ORDER).await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(app.states().await, ["done", "dead"]);
    assert_eq!(app.lines("job_lines").await.len(), 3);
    let reason = app.records().await[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("`$.order.lines` is missing"), "{reason}");
}

#[tokio::test]
async fn an_api_that_is_down_for_a_minute_delays_and_loses_nothing() {
    let (app, key) = app_with_key().await;
    app.api.set_down(true);
    app.send_order(&key, ORDER).await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(app.states().await, ["retrying"], "{:?}", app.records().await);
    app.api.set_down(false);
    app.run_pending_deliveries(5 * MINUTE).await;
    assert_eq!(app.states().await, ["done"]);
    assert_eq!(app.lines("job_lines").await.len(), 3);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_kept_and_dead() {
    let (app, key) = app_with_key().await;
    assert_eq!(app.send_order(&key, r#"{"number": "#).await.status, 200);
    assert_eq!(app.send_order(&key, r#"{"eConomicAPIKey":"x"}"#).await.status, 200);
    assert_eq!(app.states().await, ["dead", "dead"]);
    let reasons: Vec<_> = app.records().await.into_iter().filter_map(|record| record.reason).collect();
    assert!(reasons[1].contains("not JSON") && reasons[0].contains("`number`"), "{reasons:?}");
}

#[tokio::test]
async fn only_a_valid_key_gets_in_and_only_for_its_source() {
    let (app, key) = app_with_key().await;
    let other = app.key("acme", "another").await;
    for (target, expected) in [
        ("/?APISource=eConomicOrder".to_owned(), 401),
        ("/?APIKey=&APISource=eConomicOrder".to_owned(), 401),
        ("/?APIKey=htk_wrong&APISource=eConomicOrder".to_owned(), 401),
        (format!("/?APIKey={other}&APISource=eConomicOrder"), 401),
        (format!("/?APIKey={key}&APISource=Rackbeat"), 404),
        (format!("/other?APIKey={key}&APISource=eConomicOrder"), 404),
        (format!("/?APIKey={key}&APISource=eConomicSomethingNew"), 200),
    ] {
        let answer = app.send("POST", &target, &[], ORDER).await;
        assert_eq!(answer.status, expected, "{target}: {answer:?}");
    }
    let answer = app.send("GET", &format!("/?APIKey={key}&APISource=eConomicOrder"), &[], "").await;
    assert_eq!((answer.status, answer.headers.get("allow").map(String::as_str)), (405, Some("POST")));
    assert_eq!(app.states().await, ["ignored"], "an event that no route wants is kept");
}

#[tokio::test]
async fn one_tenant_never_touches_anothers_rows() {
    let (app, acme) = app_with_key().await;
    let globex = app.key("globex", "economic").await;
    app.send_order(&acme, ORDER).await;
    app.send_order(&globex, ORDER).await;
    app.run_pending_deliveries(MINUTE).await;
    app.forget_answer("orders/sent/20417");
    app.send_order(&globex, ORDER).await;
    app.run_pending_deliveries(MINUTE).await;
    let jobs = app.lines("jobs").await;
    assert_eq!(jobs.len(), 1);
    assert!(jobs[0].contains("acme"), "{jobs:?}");
}

#[tokio::test]
async fn an_answer_that_began_before_the_webhook_does_not_count() {
    let (app, key) = app_with_key().await;
    app.send_order(&key, ORDER).await;
    app.run_pending_deliveries(MINUTE).await;
    app.api.forget_calls();
    app.send_order(&key, ORDER).await;
    app.run_pending_deliveries(MINUTE).await;
    assert_eq!(app.api.calls().len(), 2, "the second webhook fetches again");
}
