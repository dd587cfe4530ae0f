//! Providers on loopback, well-behaved and otherwise, and calls to them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use reqwest::{Method, Url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::{Clock, Timestamp};
use crate::http_client::api::Api;
use crate::http_client::budget::MemoryBudget;
use crate::http_client::call::Call;
use crate::http_client::client::{ClientOptions, HttpClient};
use crate::http_client::recorded::Recorded;
use crate::secret::Mask;

/// Where clocks stand that are moved by hand.
pub(in crate::http_client) const START: Timestamp = Timestamp::from_micros(1_795_248_131_000_000);

pub(super) fn manual_clock() -> Clock {
    Clock::manual(START)
}

/// A server that counts its requests.
pub(super) struct Provider {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    /// Answers what `answer` makes of the number of a request, from 0, and the request.
    pub(super) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(usize, Request<Body>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let router = axum::Router::new().fallback(move |request: Request<Body>| {
            let number = {
                let mut seen = seen.lock().expect("lock");
                seen.push(format!("{} {}", request.method(), request.uri()));
                seen.len() - 1
            };
            answer(number, request)
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, requests }
    }

    /// Gives these statuses in turn; the last one repeats.
    pub(super) async fn with_statuses(statuses: &'static [u16]) -> Self {
        Self::start(move |number, _| async move { response(statuses[number.min(statuses.len() - 1)], &[], "{}") }).await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("lock").clone()
    }
}

pub(super) fn response(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response<Body> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Body::from(body)).expect("a response")
}

/// A server that reads a request's head, sends `bytes` as they are, one every `pause`, and closes.
pub(super) async fn raw_provider(bytes: &'static [u8], pause: Duration) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/x", listener.local_addr().expect("an address"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(send_raw(stream, bytes, pause));
        }
    });
    (url, count)
}

/// A server that takes connections and never says anything; and how many it took.
pub(super) async fn silent_provider() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    (url, count)
}

async fn send_raw(mut stream: TcpStream, bytes: &'static [u8], pause: Duration) -> std::io::Result<()> {
    let mut head = [0; 4096];
    let _ = stream.read(&mut head).await?;
    if pause.is_zero() {
        return stream.write_all(bytes).await;
    }
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// A client without simulated or recorded answers.
pub(super) fn client(clock: &Clock) -> HttpClient {
    client_with(clock, |_| {})
}

pub(super) fn client_with(clock: &Clock, change: impl FnOnce(&mut ClientOptions)) -> HttpClient {
    let mut options = ClientOptions {
        clock: clock.clone(),
        budget: Arc::new(MemoryBudget::new(clock.clone())),
        simulated: Vec::new(),
        recorded: None,
        user_agent: "hooktable-test".to_owned(),
    };
    change(&mut options);
    HttpClient::new(options).expect("a client")
}

pub(super) fn recorded_client(clock: &Clock, recorded: &Arc<Recorded>) -> HttpClient {
    client_with(clock, |options| options.recorded = Some(Arc::clone(recorded)))
}

/// A GET of `url` for a record that came a second ago; its API declares the URL's origin and may call loopback.
pub(super) fn get(url: &str) -> Call {
    call(url, |api| api.allow_private = true)
}

/// A GET of `url` with its API changed by `change`.
pub(in crate::http_client) fn call(url: &str, change: impl FnOnce(&mut Api)) -> Call {
    let url = Url::parse(url).expect("a URL");
    let mut api = Api::new("economic", vec![url.origin().ascii_serialization()], "t1/i1/economic");
    change(&mut api);
    Call {
        name: "order".to_owned(),
        api: Arc::new(api),
        method: Method::GET,
        url,
        headers: Vec::new(),
        body: None,
        scope: "t1/i1".to_owned(),
        fresh_after: START - Duration::from_secs(1),
        reference: false,
        is_forward: false,
        cache: None,
        attempt: None,
        mask: Arc::new(Mask::default()),
    }
}
