//! Planted secrets: whatever is written down or shown, none of them is in it.

use std::path::Path;
use std::time::Duration;

use hooktable::store::records;
use hooktable::store::records::Filter;

use crate::support::test_app::{Builder, TestApp};

const GRANT: &str = "grant-canary-7f3a/ø&\\\"x";
const APP: &str = "app-secret-canary";

/// Every form in which a secret could hide.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let json = serde_json::to_string(secret).expect("a text");
    let query: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let texts = [
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        query,
        hex::encode(secret),
        base64::engine::general_purpose::STANDARD.encode(secret),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

pub(crate) fn assert_absent(haystack: &[u8], secrets: &[&str], place: &str) {
    for secret in secrets {
        for form in forms(secret) {
            assert!(
                !haystack.windows(form.len()).any(|window| window == form),
                "a secret stands in {place}: {}",
                String::from_utf8_lossy(&form)
            );
        }
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() && !path.ends_with("master.key") {
            found.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
    found
}

async fn assert_nothing_shown(app: &TestApp, secrets: &[&str]) {
    for record in app.records().await {
        let shown = records::show(&app.tools.store, record.delivery).await.expect("a delivery").expect("a delivery");
        assert_absent(format!("{shown:?}").as_bytes(), secrets, "what is shown of a delivery");
    }
    let listed = records::list(&app.tools.store, &Filter::default()).await.expect("records");
    assert_absent(format!("{listed:?}").as_bytes(), secrets, "the list of deliveries");
    for (path, bytes) in files(app.folder()) {
        assert_absent(&bytes, secrets, &path);
    }
}

#[tokio::test]
async fn no_secret_is_written_down_or_shown() {
    let app = Builder::economic().start().await;
    let key = app.key("acme", "economic").await;
    let body = |number: &str| serde_json::json!({ "eConomicAPIKey": GRANT, "number": number }).to_string();
    let secrets = [GRANT, APP, key.as_str()];
    let header = [("content-type", "application/json"), ("authorization", "Bearer grant-canary-header")];
    let target = format!("/?APIKey={key}&APISource=eConomicOrder&again={key}");
    // done, gone, dead for its number, dead for its body, dead for a missing list, failed by an API that is down
    for body in [body("20417"), body("999"), body(GRANT), format!("{} oops", body("1"))] {
        assert_eq!(app.send("POST", &target, &header, &body).await.status, 200);
    }
    app.run_pending_deliveries(Duration::from_secs(60)).await;
    app.answer("orders/sent/20417", &serde_json::json!({ "netAmount": GRANT, "lines": [] }).to_string());
    app.send("POST", &target, &header, &body("20417")).await;
    app.run_pending_deliveries(Duration::from_secs(60)).await;
    app.api.set_down(true);
    app.send("POST", &target, &header, &body("20418")).await;
    app.run_pending_deliveries(Duration::from_secs(60)).await;
    assert_eq!(app.states().await, ["done", "done", "dead", "dead", "dead", "retrying"], "{:?}", app.records().await);
    assert_nothing_shown(&app, &[&secrets[..], &["grant-canary-header"]].concat()).await;
}

#[tokio::test]
async fn what_was_sealed_can_be_opened_again() {
    let app = Builder::economic().start().await;
    let key = app.key("acme", "economic").await;
    let body = serde_json::json!({ "eConomicAPIKey": GRANT, "number": "20417" }).to_string();
    app.send_order(&key, &body).await;
    let delivery = app.records().await[0].delivery;
    let stored = records::request(&app.tools.store, delivery).await.expect("the request");
    assert_eq!(stored.request.body, body.as_bytes());
    assert_eq!(stored.request.query, format!("APIKey={key}&APISource=eConomicOrder"));
}
