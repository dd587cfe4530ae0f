//! A provider's API on this machine: a real HTTP server that answers from a folder of JSON files, for the demo,
//! `hooktable simulate` and tests. It can be told to fail, to be down and to be slow, by those who start it and by `simulate.yaml`.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, Uri, header::CONTENT_LENGTH, header::CONTENT_TYPE};
use futures_util::{StreamExt as _, stream};
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::simulate_file::{self, Fault};
use super::simulate_recorded::{SentHere, Staged};
use super::simulate_script::{Script, Scripted, Turn};
use crate::http_client::recorded::RecordedAnswer;

/// Older requests are forgotten, so that a long load run does not fill the memory.
const MOST_CALLS_KEPT: usize = 100_000;

/// The largest request that is read, in bytes.
const LARGEST_REQUEST: usize = 10 << 20;
/// How long a byte of an answer that drips takes.
const BETWEEN_BYTES: Duration = Duration::from_millis(100);

/// A running server; it ends when this is dropped.
pub struct Simulation {
    address: SocketAddr,
    provider: Arc<Provider>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

struct Provider {
    folder: PathBuf,
    script: Mutex<Script>,
    mood: Mutex<Mood>,
    staged: Mutex<Option<Staged>>,
}

#[derive(Default)]
struct Mood {
    calls: VecDeque<String>,
    bodies: VecDeque<String>,
    fail_next: VecDeque<u16>,
    down: bool,
    delay: Duration,
}

impl Simulation {
    /// Serves `folder` on `address`; port 0 takes any free one. `GET /orders/sent/7?x=1` is answered with
    /// `orders/sent/7@x=1.json` if there is such a file, else with `orders/sent/7.json`, read anew each time, else with 404. What
    /// `simulate.yaml` in the folder says goes before that; it is read at the start.
    pub async fn start(folder: impl AsRef<Path>, address: SocketAddr) -> io::Result<Self> {
        let folder = tokio::fs::canonicalize(folder).await?;
        let script = Script::of(simulate_file::read(&folder)?);
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let provider =
            Arc::new(Provider { folder, script: Mutex::new(script), mood: Mutex::default(), staged: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&provider));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let server = tokio::spawn(async move {
            let _ = server.await;
        });
        Ok(Self { address, provider, stop: Some(stop), server })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, oldest first: `GET /orders/sent/20417?x=1`; failed ones too.
    pub fn calls(&self) -> Vec<String> {
        self.mood(|mood| mood.calls.iter().cloned().collect())
    }

    /// The bodies of the requests so far, oldest first.
    pub fn bodies(&self) -> Vec<String> {
        self.mood(|mood| mood.bodies.iter().cloned().collect())
    }

    /// How many requests there were for `path`, whatever their method and query.
    pub fn count(&self, path: &str) -> usize {
        let path = path.trim_end_matches('/');
        let path_of = |call: &String| call.split([' ', '?']).nth(1).is_some_and(|found| found.trim_end_matches('/') == path);
        self.mood(|mood| mood.calls.iter().filter(|call| path_of(call)).count())
    }

    /// Forgets the requests so far.
    pub fn forget_calls(&self) {
        self.mood(|mood| {
            mood.calls.clear();
            mood.bodies.clear();
        });
    }

    /// Answers the next `number` requests with `status`, after those already told to fail.
    pub fn fail_next(&self, number: usize, status: u16) {
        self.mood(|mood| mood.fail_next.extend(std::iter::repeat_n(status, number)));
    }

    /// Answers 503 to everything, or no longer.
    pub fn set_down(&self, down: bool) {
        self.mood(|mood| mood.down = down);
    }

    /// Waits that long before every answer.
    pub fn set_delay(&self, delay: Duration) {
        self.mood(|mood| mood.delay = delay);
    }

    /// From now on it answers what is recorded for `origin`, and nothing else.
    pub fn stage(&self, origin: &str, answers: &[RecordedAnswer]) {
        *self.provider.staged() = Some(Staged::new(origin, answers));
    }

    /// It answers from its folder again; what forwards sent in the meantime, in order.
    pub fn unstage(&self) -> Vec<SentHere> {
        self.provider.staged().take().map(|staged| staged.sent()).unwrap_or_default()
    }

    /// Ends the server; requests under way have a second to finish.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.server).await;
    }

    fn mood<T>(&self, change: impl FnOnce(&mut Mood) -> T) -> T {
        self.provider.mood(change)
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(provider): State<Arc<Provider>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let body = to_bytes(body, LARGEST_REQUEST).await.unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let (failing, delay) = provider.mood(|mood| mood.note(format!("{} {target}", parts.method), body.clone()));
    if let Some(staged) = &mut *provider.staged() {
        let headers: Vec<_> = parts.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        return staged.answer(&parts.method, &target, &headers, &body);
    }
    let turn =
        provider.script.lock().unwrap_or_else(PoisonError::into_inner).turn(parts.method.as_str(), &target, Instant::now());
    let delay = delay + turn.delay;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Some(status) = failing {
        return failure(status, "The simulated provider was told to fail");
    }
    let mut response = match &turn {
        Turn { refused: true, .. } => failure(429, "The simulated provider takes no more requests for now"),
        Turn { answer: Some(scripted), .. } => provider.scripted(scripted).await,
        _ => match provider.read(&parts.uri).await {
            Some(content) => json(StatusCode::OK, content),
            None => failure(404, &format!("There is nothing at {}", parts.uri.path())),
        },
    };
    for (name, value) in &turn.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    match turn.answer.and_then(|scripted| scripted.fault) {
        Some(fault) => spoiled(response, fault).await,
        None => response,
    }
}

/// The answer with what goes wrong on its way.
async fn spoiled(response: Response<Body>, fault: Fault) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let lost = || io::Error::new(io::ErrorKind::ConnectionReset, "the simulated provider was told to break off");
    let body = match fault {
        Fault::Reset => Body::from_stream(stream::once(async move { Err::<bytes::Bytes, _>(lost()) })),
        Fault::Truncate => {
            let half = whole.slice(..whole.len() / 2);
            Body::from_stream(stream::iter([Ok(half), Err(lost())]))
        }
        Fault::Drip => {
            let bytes = whole.into_iter().map(|byte| bytes::Bytes::from(vec![byte]));
            let slowly = stream::iter(bytes).then(|byte| async move {
                tokio::time::sleep(BETWEEN_BYTES).await;
                Ok::<_, io::Error>(byte)
            });
            Body::from_stream(slowly)
        }
    };
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, body)
}

impl Mood {
    /// Takes note of a request; says whether it is to fail, and how long it takes.
    fn note(&mut self, call: String, body: String) -> (Option<u16>, Duration) {
        if self.calls.len() >= MOST_CALLS_KEPT {
            self.calls.pop_front();
            self.bodies.pop_front();
        }
        self.calls.push_back(call);
        self.bodies.push_back(body);
        let failing = if self.down { Some(503) } else { self.fail_next.pop_front() };
        (failing, self.delay)
    }
}

impl Provider {
    fn staged(&self) -> MutexGuard<'_, Option<Staged>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mood<T>(&self, change: impl FnOnce(&mut Mood) -> T) -> T {
        change(&mut self.mood.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read(&self, uri: &Uri) -> Option<Vec<u8>> {
        let path = relative_path(uri.path())?;
        if let Some(query) = uri.query().and_then(|query| percent_decode_str(query).decode_utf8().ok())
            && is_file_name(&query)
            && let Some(content) = self.read_file(&format!("{path}@{query}.json")).await
        {
            return Some(content);
        }
        self.read_file(&format!("{path}.json")).await
    }

    async fn scripted(&self, scripted: &Scripted) -> Response<Body> {
        let content = match &scripted.file {
            Some(file) => match self.read_file(file).await {
                Some(content) => content,
                None => return failure(500, &format!("The simulated provider has no file {file}")),
            },
            None => scripted.body.clone(),
        };
        json(StatusCode::from_u16(scripted.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), content)
    }

    /// Links out of the folder are not followed.
    async fn read_file(&self, relative: &str) -> Option<Vec<u8>> {
        let file = tokio::fs::canonicalize(self.folder.join(relative)).await.ok()?;
        if !file.starts_with(&self.folder) {
            return None;
        }
        tokio::fs::read(file).await.ok()
    }
}

/// `/orders/sent/7/` as `orders/sent/7`; nothing for a path with a segment that is no plain name.
fn relative_path(path: &str) -> Option<String> {
    let mut segments = Vec::new();
    for segment in path.trim_matches('/').split('/') {
        let name = percent_decode_str(segment).decode_utf8().ok()?;
        if !is_file_name(&name) {
            return None;
        }
        segments.push(name);
    }
    Some(segments.join("/"))
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0'])
}

fn failure(status: u16, message: &str) -> Response<Body> {
    let content = serde_json::json!({ "message": message, "httpStatusCode": status }).to_string();
    json(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), content.into_bytes())
}

fn json(status: StatusCode, content: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    async fn simulation(files: &[(&str, &str)]) -> (tempfile::TempDir, Simulation) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
            std::fs::write(file, content).expect("written");
        }
        let simulation = Simulation::start(folder.path(), ([127, 0, 0, 1], 0).into()).await.expect("started");
        (folder, simulation)
    }

    /// Sends the path exactly as it is written, which a URL type would not.
    async fn get(simulation: &Simulation, path: &str) -> (u16, Json) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(simulation.address()).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        (status, serde_json::from_str(body).unwrap_or(Json::Null))
    }

    #[tokio::test]
    async fn a_file_is_the_answer_and_a_changed_file_another() {
        let (folder, simulation) = simulation(&[("orders/sent/20417.json", r#"{"n":1}"#)]).await;
        assert_eq!(get(&simulation, "/orders/sent/20417").await, (200, json!({ "n": 1 })));
        std::fs::write(folder.path().join("orders/sent/20417.json"), r#"{"n":2}"#).expect("written");
        assert_eq!(get(&simulation, "/orders/sent/20417/?skip=0").await, (200, json!({ "n": 2 })));
        assert_eq!(get(&simulation, "/orders/sent/1").await.0, 404);
        assert_eq!(get(&simulation, "/orders/sent/1").await.1["httpStatusCode"], 404);
        assert_eq!(simulation.count("/orders/sent/20417"), 2);
        assert_eq!(simulation.calls()[1], "GET /orders/sent/20417/?skip=0");
    }

    #[tokio::test]
    async fn a_query_has_a_file_of_its_own_if_there_is_one() {
        let (_folder, simulation) = simulation(&[("users.json", "1"), ("users@page=2.json", "2")]).await;
        assert_eq!(get(&simulation, "/users").await.1, json!(1));
        assert_eq!(get(&simulation, "/users?page=2").await.1, json!(2));
        assert_eq!(get(&simulation, "/users?page=3").await.1, json!(1));
        assert_eq!(get(&simulation, "/users?a=../../x").await.1, json!(1));
    }

    #[tokio::test]
    async fn nothing_outside_the_folder_is_read() {
        let (folder, simulation) = simulation(&[("inside/a.json", "1"), ("secret.json", "2")]).await;
        let inside = Simulation::start(folder.path().join("inside"), ([127, 0, 0, 1], 0).into()).await.expect("started");
        assert_eq!(get(&inside, "/a").await, (200, json!(1)));
        for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/a/../../secret", "/%2e%2e%5csecret", "//etc/passwd", "/"] {
            assert_eq!(get(&inside, path).await.0, 404, "{path}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path().join("secret.json"), folder.path().join("inside/link.json"))
                .expect("linked");
            assert_eq!(get(&inside, "/link").await.0, 404);
        }
        drop(simulation);
    }

    #[tokio::test]
    async fn it_fails_and_is_down_when_told_to() {
        let (_folder, simulation) = simulation(&[("a.json", "1")]).await;
        simulation.fail_next(1, 429);
        assert_eq!(get(&simulation, "/a").await.0, 429);
        assert_eq!(get(&simulation, "/a").await.0, 200);
        simulation.set_down(true);
        assert_eq!(get(&simulation, "/a").await.0, 503);
        simulation.set_down(false);
        assert_eq!(get(&simulation, "/a").await.0, 200);
        let address = simulation.address();
        simulation.stop().await;
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }
}
