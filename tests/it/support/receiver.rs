//! Another system that things are forwarded to: a real HTTP server that keeps what it was sent and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Received {
    /// The first header of that name, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

type Answer = (u16, Vec<(&'static str, String)>);
type Rule = Box<dyn Fn(&Received) -> Answer + Send>;

struct Shared {
    received: Mutex<Vec<Received>>,
    rule: Mutex<Rule>,
}

/// The server; it ends with the test's runtime.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { received: Mutex::default(), rule: Mutex::new(Box::new(|_| (200, Vec::new()))) });
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// From now on it answers like this.
    pub(crate) fn answer(&self, rule: impl Fn(&Received) -> Answer + Send + 'static) {
        *self.shared.rule.lock().expect("a lock") = Box::new(rule);
    }

    /// What it was sent so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("a lock").clone()
    }

    /// The bodies of what it was sent at a path, in order.
    pub(crate) fn bodies(&self, path: &str) -> Vec<String> {
        self.received().iter().filter(|one| one.target.split('?').next() == Some(path)).map(Received::text).collect()
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    let received = Received {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: headers.collect(),
        body: to_bytes(body, 1 << 24).await.unwrap_or_default(),
    };
    let (status, headers) = (shared.rule.lock().expect("a lock"))(&received);
    shared.received.lock().expect("a lock").push(received);
    let mut response = StatusCode::from_u16(status).expect("a status").into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}
