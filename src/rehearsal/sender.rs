//! Sending a webhook over a real connection to a server on this machine, as a provider would. Not the client that routes call
//! out with, which knows no loopback addresses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::send::WebhookRequest;
use crate::steps::reply::DELIVERY;

/// The longest that an answer may take.
const LONGEST: Duration = Duration::from_secs(45);

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, by lower-case name.
    pub headers: Vec<(String, String)>,
    /// The body, as text.
    pub body: String,
    /// The delivery's id, where the route file says what is answered in its place.
    pub delivery: Option<String>,
}

/// Sends a request on a connection of its own and reads the answer.
pub async fn send(address: SocketAddr, request: &WebhookRequest) -> io::Result<SentAnswer> {
    match tokio::time::timeout(LONGEST, exchange(address, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 45s")),
    }
}

/// Sends a request to a whole URL, which may be `https`, and reads the answer; follows no redirects. The reason names no URL.
pub async fn send_to(method: &str, url: &str, headers: &[(String, String)], body: Vec<u8>) -> Result<SentAnswer, String> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(LONGEST).build();
    let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let mut request = client.map_err(|error| error.to_string())?.request(method, url).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let told = |error: reqwest::Error| {
        let error = error.without_url();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        causes.last().map(ToString::to_string).unwrap_or_default()
    };
    let answer = request.send().await.map_err(told)?;
    let status = answer.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let delivery = answer.headers().get(DELIVERY).and_then(|id| id.to_str().ok()).map(str::to_owned);
    Ok(SentAnswer { status, headers, body: answer.text().await.map_err(told)?, delivery })
}

async fn exchange(address: SocketAddr, request: &WebhookRequest) -> io::Result<SentAnswer> {
    let body = request.bytes();
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {address}\r\n", request.method, request.target());
    for (name, value) in request.all_headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()));
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    read(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what came back is no HTTP answer"))
}

/// Our servers answer with a length, never in chunks.
fn read(answer: &str) -> Option<SentAnswer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let delivery = headers.iter().find(|(name, _)| name == DELIVERY).map(|(_, id)| id.clone());
    Some(SentAnswer { status, headers, body: body.to_owned(), delivery })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::simulate::Simulation;

    #[tokio::test]
    async fn a_request_gets_its_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.json"), "[1]").expect("written");
        let simulation = Simulation::start(folder.path(), ([127, 0, 0, 1], 0).into()).await.expect("started");
        let request = WebhookRequest {
            method: "POST".into(),
            path: "/a".into(),
            query: vec![("k".into(), "v w".into())],
            ..WebhookRequest::default()
        };
        let answer = send(simulation.address(), &request).await.expect("answered");
        assert_eq!((answer.status, answer.body.as_str(), answer.delivery), (200, "[1]", None));
        assert!(answer.headers.contains(&("content-type".to_owned(), "application/json".to_owned())), "{:?}", answer.headers);
        assert_eq!(simulation.calls(), ["POST /a?k=v+w"]);
    }
}
