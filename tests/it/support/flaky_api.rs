//! A provider's API on loopback that fails as it is told to: refusals, resets, half answers, slow ones, in a sequence that a seed decides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Numbers that only look random: the same for the same seed.
pub(crate) struct Chance(AtomicU64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next one below `bound`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// How many of a hundred calls go wrong in each way.
#[derive(Clone, Copy, Default)]
pub(crate) struct Failing {
    pub(crate) refused: u64,
    pub(crate) reset: u64,
    pub(crate) halved: u64,
    pub(crate) slow: u64,
}

/// The API; it answers `{"path": …}`.
pub(crate) struct FlakyApi {
    pub(crate) address: SocketAddr,
    calls: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FlakyApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FlakyApi {
    pub(crate) async fn start(failing: Failing, chance: Arc<Chance>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, failing, Arc::clone(&chance), Arc::clone(&counted)));
            }
        });
        Self { address, calls, task }
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, failing: Failing, chance: Arc<Chance>, calls: Arc<AtomicU64>) {
    let mut seen = Vec::new();
    loop {
        while !seen.ends_with(b"\r\n\r\n") {
            if !matches!(stream.read_buf(&mut seen).await, Ok(count) if count > 0) {
                return;
            }
        }
        calls.fetch_add(1, Ordering::Relaxed);
        let path = String::from_utf8_lossy(&seen).split(' ').nth(1).unwrap_or_default().to_owned();
        seen.clear();
        let body = format!("{{\"path\":\"{path}\"}}");
        let head = |status: &str| {
            let length = body.len();
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
        };
        let Failing { refused, reset, halved, slow } = failing;
        let drawn = chance.below(100);
        let answer = if drawn < refused {
            head("500 Internal Server Error") + &body
        } else if drawn < refused + reset {
            // what was not read is answered with a reset
            let _ = stream.set_zero_linger();
            return;
        } else if drawn < refused + reset + halved {
            let _ = stream.write_all((head("200 OK") + &body[..body.len() / 2]).as_bytes()).await;
            return;
        } else {
            if drawn < refused + reset + halved + slow {
                tokio::time::sleep(Duration::from_millis(50 + chance.below(300))).await;
            }
            head("200 OK") + &body
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
