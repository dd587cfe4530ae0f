//! Addresses and origins that must not be called are not, and a mistake tells no secrets.

use reqwest::Url;

use super::harness::*;
use crate::http_client::api::Api;
use crate::model::failure::Retry;

async fn refusal(url: &str, change: impl FnOnce(&mut Api)) -> String {
    let (trace, result) = client(&manual_clock()).call(&call(url, change)).await;
    let failure = result.expect_err(url);
    assert_eq!(failure.retry, Retry::Never, "{url}");
    assert_eq!((trace.status, trace.error.as_deref()), (None, Some(failure.reason.as_str())));
    failure.reason
}

#[tokio::test]
async fn the_own_network_is_refused_in_every_form() {
    let provider = Provider::with_statuses(&[200]).await;
    let port = provider.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "0",
        "localhost",
    ] {
        let reason = refusal(&format!("http://{host}:{port}/a"), |_| {}).await;
        assert!(reason.starts_with("api `economic` may not be called: "), "{reason}");
        assert!(reason.contains(" address\nhint: `allow_private: true`"), "{reason}");
    }
    assert_eq!(provider.requests().len(), 0);
    let (_, result) = client(&manual_clock()).call(&get(&provider.url("/a"))).await;
    assert_eq!(result.expect("allowed").status, 200);
}

#[tokio::test]
async fn only_declared_origins_are_called() {
    let provider = Provider::with_statuses(&[200]).await;
    let reason = refusal(&provider.url("/a"), |api| {
        api.allow_private = true;
        api.allowed_origins = vec!["https://restapi.example".to_owned()];
    })
    .await;
    let origin = provider.url("");
    assert!(
        reason.starts_with(&format!("api `economic` may not call `{origin}`, it declares `https://restapi.example`")),
        "{reason}"
    );
    assert!(refusal("file:///etc/passwd", |api| api.allowed_origins = vec!["file:///".to_owned()]).await.contains("`file:`"));
    assert_eq!(provider.requests().len(), 0);
}

#[tokio::test]
async fn a_redirect_into_the_own_network_is_refused() {
    let inner = Provider::with_statuses(&[200]).await;
    for host in ["127.0.0.1", "localhost", "2130706433"] {
        let target = format!("http://{host}:{}/secret", inner.address.port());
        let location = target.clone();
        let outer = Provider::start(move |_, _| {
            let location = location.clone();
            async move { response(302, &[("location", &location)], "") }
        })
        .await;
        let client = client_with(&manual_clock(), |options| {
            options.simulated = vec![("https://api.example".to_owned(), Url::parse(&outer.url("")).expect("a URL"))];
        });
        let redirected = call("https://api.example/a", |api| api.allowed_origins.push(target));
        let failure = client.call(&redirected).await.1.expect_err("refused");
        assert!(failure.reason.contains("may not be called: 127.0.0.1 is a loopback address"), "{failure}");
        assert_eq!(failure.retry, Retry::Never);
        assert_eq!(outer.requests().len(), 1);
    }
    assert_eq!(inner.requests().len(), 0);
}

#[tokio::test]
async fn a_redirect_to_another_origin_is_refused() {
    let other = Provider::with_statuses(&[200]).await;
    let location = other.url("/stolen?key=1");
    let provider = Provider::start(move |_, _| {
        let location = location.clone();
        async move { response(307, &[("location", &location)], "") }
    })
    .await;
    let failure = client(&manual_clock()).call(&get(&provider.url("/a"))).await.1.expect_err("refused");
    assert!(failure.reason.contains(&format!("may not call `{}`", other.url(""))), "{failure}");
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn a_simulated_origin_is_called_elsewhere_with_path_and_query() {
    let provider = Provider::with_statuses(&[200]).await;
    let client = client_with(&manual_clock(), |options| {
        options.simulated = vec![("https://API.example:443".to_owned(), Url::parse(&provider.url("/sim")).expect("a URL"))];
    });
    let (trace, result) = client.call(&call("https://api.example/orders/7?a=%20b", |_| {})).await;
    assert_eq!(result.expect("an answer").status, 200);
    assert_eq!(trace.url, "https://api.example/orders/7?a=%20b");
    assert_eq!(provider.requests(), ["GET /sim/orders/7?a=%20b"]);
    let failure = client.call(&call("http://127.0.0.1:9/x", |_| {})).await.1.expect_err("still guarded");
    assert_eq!(failure.retry, Retry::Never);
}

#[tokio::test]
async fn secrets_are_masked_in_traces_and_reasons() {
    let (closed, _) = raw_provider(b"", std::time::Duration::ZERO).await;
    let mut mask = crate::secret::Mask::default();
    mask.cover_value("s3cret/key");
    let mask = std::sync::Arc::new(mask);
    let port = Url::parse(&closed).expect("a URL").port().expect("a port");
    for url in [
        format!("http://user:s3cret%2Fkey@127.0.0.1:{port}/a/s3cret%2Fkey?k=s3cret/key"),
        "http://s3cret/key".to_owned(),
        format!("http://u:other@127.0.0.1:{port}/"),
    ] {
        let mut secretive = get(&url);
        secretive.mask = std::sync::Arc::clone(&mask);
        let (trace, result) = client(&manual_clock()).call(&secretive).await;
        let shown = format!("{trace:?} {:?}", result.expect_err("it fails"));
        for secret in ["s3cret/key", "s3cret%2Fkey", "other"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
