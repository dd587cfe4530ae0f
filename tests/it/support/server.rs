//! The real binary as a process, to be talked to over sockets and killed.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A running server; killed when it is dropped.
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl ServerProcess {
    /// Starts `serve` in a folder that has `routes.d/` and waits until it listens.
    pub(crate) fn start(folder: &Path, arguments: &[String], environment: &[(&str, &str)]) -> Self {
        Self::start_at(free_address(), folder, arguments, environment)
    }

    /// The same at an address of one's own.
    pub(crate) fn start_at(address: SocketAddr, folder: &Path, arguments: &[String], environment: &[(&str, &str)]) -> Self {
        let log = std::fs::File::options().append(true).create(true).open(folder.join("server.log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_hooktable"))
            .arg("serve")
            .args(["--listen", &address.to_string(), "--admin-listen", "127.0.0.1:0"])
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut server = Self { child, address };
        server.wait_until_it_listens(folder);
        server
    }

    fn wait_until_it_listens(&mut self, folder: &Path) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().expect("a process");
            let log = || std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
            assert!(ended.is_none(), "the server ended: {ended:?}\n{}", log());
            assert!(Instant::now() < deadline, "the server does not listen\n{}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that it and those before it in the folder said.
    pub(crate) fn said(folder: &Path) -> String {
        std::fs::read_to_string(folder.join("server.log")).unwrap_or_default()
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait().expect("a process") {
                None if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(5)).await,
                ended => return ended,
            }
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("a process");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A sender that keeps its connection, as providers do.
pub(crate) struct Sender {
    stream: TcpStream,
    host: SocketAddr,
    /// What the last answer said about when to come again.
    pub(crate) retry_after: Option<String>,
}

impl Sender {
    /// Connects.
    pub(crate) async fn connect(host: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(host).await?, host, retry_after: None })
    }

    /// Sends a request and returns the answer's status, once all of it has been read.
    pub(crate) async fn post(&mut self, target: &str, headers: &str, body: &str) -> std::io::Result<u16> {
        let length = body.len();
        let request = format!("POST {target} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {length}\r\n\r\n{body}", self.host);
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            let ended = answer.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = ended {
                let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
                if answer.len() >= end + 4 + length.unwrap_or(0) {
                    self.retry_after =
                        head.lines().find_map(|line| line.strip_prefix("retry-after:")).map(|value| value.trim().to_owned());
                    return head
                        .split(' ')
                        .nth(1)
                        .and_then(|status| status.parse().ok())
                        .ok_or_else(|| std::io::ErrorKind::InvalidData.into());
                }
            }
            if self.stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
