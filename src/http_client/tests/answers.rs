//! Whole answers, too large ones, slow ones and those that never end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::harness::*;
use crate::model::failure::Retry;

/// 20 000 zero bytes, compressed with gzip.
const COMPRESSED: &str =
    "1f8b0800000000000203edc13101000000c2a0f54f6d0d0fa000000000000000000000000000000000000000783002532f97204e0000";

#[tokio::test]
async fn an_answer_comes_whole_with_its_trace() {
    let provider = Provider::start(|_, request| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1000).await.expect("a body");
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
        let seen = format!("{} {} {} {}", header("x-key"), header("content-type"), header("user-agent"), body.len());
        Response::builder().status(201).header("X-Seen", seen).body(Body::from("hello")).expect("a response")
    })
    .await;
    let clock = manual_clock();
    let mut post = get(&provider.url("/a?b=1"));
    post.method = Method::POST;
    post.headers = vec![(HeaderName::from_static("x-key"), HeaderValue::from_static("k"))];
    post.body = Some(("application/json".to_owned(), Bytes::from_static(b"{}")));
    let (trace, result) = client(&clock).call(&post).await;
    let answer = result.expect("an answer");
    assert_eq!((answer.status, &answer.body[..], answer.began_at), (201, &b"hello"[..], START));
    assert!(answer.headers.contains(&("x-seen".to_owned(), "k application/json hooktable-test 2".to_owned())));
    assert_eq!((trace.name.as_str(), trace.method.as_str(), trace.status, trace.bytes), ("order", "POST", Some(201), 5));
    assert_eq!((trace.retries, trace.shared, trace.error), (0, false, None));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_however_it_comes() {
    let compressed = Bytes::from(hex::decode(COMPRESSED).expect("hex"));
    let provider = Provider::start(move |number, _| {
        let compressed = compressed.clone();
        async move {
            let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 500])));
            match number {
                0 => Response::new(Body::from(vec![b'x'; 2000])),
                1 => Response::new(Body::from_stream(endless)),
                2 => Response::builder().header("content-encoding", "gzip").body(Body::from(compressed)).expect("a response"),
                _ => Response::new(Body::from(vec![b'x'; 1000])),
            }
        }
    })
    .await;
    let client = client(&manual_clock());
    for kind in ["announced", "endless", "compressed"] {
        let (_, result) = client.call(&call(&provider.url("/"), limited_to_1000)).await;
        let failure = result.expect_err(kind);
        assert_eq!(failure.reason, "api `economic`: its answer has more than 1000 bytes", "{kind}");
        assert_eq!(failure.retry, Retry::Never);
    }
    let (trace, _) = client.call(&call(&provider.url("/"), limited_to_1000)).await;
    assert_eq!((trace.bytes, trace.error), (1000, None));
}

fn limited_to_1000(api: &mut crate::http_client::api::Api) {
    api.allow_private = true;
    api.max_answer = 1000;
}

#[tokio::test]
async fn an_answer_that_drips_ends_with_the_timeout() {
    let (url, count) = raw_provider(&[b'H'; 1000], Duration::from_millis(20)).await;
    let unfinished = Provider::start(|_, _| async {
        let begins = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{\"name\""))]);
        Response::new(Body::from_stream(begins.chain(futures_util::stream::pending())))
    })
    .await;
    let body_url = unfinished.url("/x");
    for (url, expected) in
        [(url, "no answer within 150ms"), (body_url, "its answer did not end within 150ms, 7 bytes of it came")]
    {
        let (trace, result) = client(&manual_clock())
            .call(&call(&url, |api| {
                api.allow_private = true;
                api.timeout = Duration::from_millis(150);
                api.retry.times = 1;
            }))
            .await;
        let failure = result.expect_err("too slow");
        assert_eq!((failure.reason, failure.retry), (format!("api `economic`: {expected}"), Retry::Later));
        assert_eq!((trace.retries, trace.status), (1, None));
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn half_an_answer_is_no_answer() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nha",
        b"this is not HTTP\r\n\r\n",
    ] {
        let (url, count) = raw_provider(bytes, Duration::ZERO).await;
        let (trace, result) = client(&manual_clock()).call(&get(&url)).await;
        let failure = result.expect_err("incomplete");
        assert!(failure.reason.starts_with("api `economic`: the connection was lost before the answer"), "{failure}");
        assert_eq!((failure.retry, trace.retries, count.load(Ordering::SeqCst)), (Retry::Later, 2, 3));
    }
}

#[tokio::test]
async fn a_reset_connection_is_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            stream.readable().await.expect("a request");
            if number >= 2 {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
            // Closing with the request unread resets the connection.
        }
    });
    let (trace, result) = client(&manual_clock()).call(&get(&url)).await;
    assert_eq!(result.expect("an answer").body, "ok");
    assert_eq!(trace.retries, 2);
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_name_are_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let failure = client(&manual_clock()).call(&get(&url)).await.1.expect_err("refused");
    assert_eq!((failure.reason.as_str(), failure.retry), ("api `economic`: connection refused", Retry::Later));
    let failure = client(&manual_clock()).call(&call("http://nowhere.invalid/", |_| {})).await.1.expect_err("unknown");
    assert!(failure.reason.starts_with("api `economic`: its name cannot be resolved: "), "{failure}");
    assert_eq!(failure.retry, Retry::Later);
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up_before_the_answers_time_is_over() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("an address");
    // nobody accepts: once its queue is full, the system answers nobody who wants to connect
    let mut open = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await {
        open.push(stream);
    }
    let once = call(&format!("http://{address}/"), |api| {
        api.allow_private = true;
        api.retry.times = 0;
    });
    let failure = client(&manual_clock()).call(&once).await.1.expect_err("no connection");
    assert_eq!((failure.reason.as_str(), failure.retry), ("api `economic`: no connection within 5s", Retry::Later));
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed_five_times() {
    let provider = Provider::start(|_, request| async move {
        let path = request.uri().path().to_owned();
        match (request.method().as_str(), path.as_str()) {
            ("POST", "/see-other") => response(303, &[("location", "/end")], ""),
            ("POST", "/keep") => response(308, &[("location", "end")], ""),
            (method, "/end") => response(200, &[("x-method", method)], "{}"),
            ("GET", "/nowhere") => response(304, &[], ""),
            _ => response(302, &[("location", "/loop")], ""),
        }
    })
    .await;
    let client = client(&manual_clock());
    for (path, method) in [("/see-other", "GET"), ("/keep", "POST")] {
        let mut post = get(&provider.url(path));
        post.method = Method::POST;
        post.body = Some(("text/plain".to_owned(), Bytes::from_static(b"x")));
        let answer = client.call(&post).await.1.expect(path);
        assert!(answer.headers.contains(&("x-method".to_owned(), method.to_owned())), "{path}");
    }
    assert_eq!(client.call(&get(&provider.url("/nowhere"))).await.1.expect("an answer").status, 304);
    let before = provider.requests().len();
    let failure = client.call(&get(&provider.url("/loop"))).await.1.expect_err("a loop");
    assert_eq!(failure.reason, "api `economic` redirects more than 5 times");
    assert_eq!(provider.requests().len() - before, 6);
}
