//! What the measurements share: a load that is the same for whatever is measured, the real server as a process, and small tables of
//! figures.

#![allow(dead_code, reason = "each measurement uses its part")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A process that is measured; killed when it is dropped.
pub(crate) struct Measured {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Measured {
    /// Starts a command that listens on `address`, and waits until it does. What it says goes into `log`.
    pub(crate) fn start(mut command: Command, address: SocketAddr, log: &Path) -> Self {
        let log = std::fs::File::options().append(true).create(true).open(log).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().expect("it starts");
        let mut measured = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(measured.child.try_wait().expect("a process").is_none(), "it ended");
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(2));
        }
        measured
    }

    /// `hooktable serve` in a folder.
    pub(crate) fn hooktable(folder: &Path, arguments: &[&str]) -> Self {
        let address = free_address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
        command.args(["serve", "--log", "error", "--listen", &address.to_string(), "--admin-listen", "127.0.0.1:0"]);
        command.args(arguments).env("TOKEN", "sesame").current_dir(folder);
        Self::start(command, address, &folder.join("server.log"))
    }

    /// Resident memory now and at its highest, in MiB.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A connection that is kept, as providers do.
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        stream.set_nodelay(true).expect("set");
        Self { stream, request: Vec::new(), answer: Vec::with_capacity(1024) }
    }

    /// Posts JSON and returns the status once the whole answer has been read.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> u16 {
        use std::io::Write as _;
        self.request.clear();
        let head = "Host: x\r\nX-Token: sesame\r\nContent-Type: application/json\r\nContent-Length:";
        write!(self.request, "POST {path} HTTP/1.1\r\n{head} {}\r\n\r\n{body}", body.len()).expect("written");
        self.stream.write_all(&self.request).await.expect("sent");
        self.answer.clear();
        loop {
            assert!(self.stream.read_buf(&mut self.answer).await.expect("an answer") > 0, "it closed the connection");
            let Some(end) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.answer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if self.answer.len() >= end + 4 + length.unwrap_or(0) {
                return head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            }
        }
    }
}

/// What a load came to.
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// `connections` that each send the next one as soon as the last is answered, for as long as that, or until so many were.
pub(crate) async fn closed_loop(
    address: SocketAddr,
    path: &'static str,
    connections: usize,
    length: Duration,
    most: u64,
    body: fn(u64) -> String,
    next: &Arc<AtomicU64>,
) -> Load {
    let is_over = Arc::new(AtomicBool::new(false));
    let end = next.load(Ordering::Relaxed) + most;
    let started = Instant::now();
    let senders: Vec<_> = (0..connections)
        .map(|_| {
            let (is_over, next) = (Arc::clone(&is_over), Arc::clone(next));
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await;
                let mut took = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        break;
                    }
                    let body = body(number);
                    let sent = Instant::now();
                    let status = connection.post(path, &body).await;
                    assert_eq!(status, 200);
                    took.push(sent.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    let stop = tokio::spawn(async move {
        tokio::time::sleep(length).await;
        is_over.store(true, Ordering::Relaxed);
    });
    for sender in senders {
        took.extend(sender.await.expect("a sender"));
    }
    stop.abort();
    let elapsed = started.elapsed().as_secs_f64();
    let [p50, p99] = percentiles(&mut took);
    Load { per_second: took.len() as f64 / elapsed, p50, p99 }
}

/// The median, and what one in a hundred exceeds.
pub(crate) fn percentiles(took: &mut [Duration]) -> [Duration; 2] {
    took.sort_unstable();
    [50, 99].map(|percent| took.get(took.len() * percent / 100).copied().unwrap_or_default())
}

/// Whether a short run is wanted, to see that it works.
#[expect(clippy::disallowed_methods, reason = "a measurement is told by the environment")]
pub(crate) fn is_quick() -> bool {
    std::env::var("HOOKTABLE_BENCH_QUICK").is_ok()
}
