//! A listener whose connections cost little: there are only so many, none may be silent for ever or without a request for long, and the
//! head of a request that has begun must come to its end. How long a body may take is the intake's to say.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long a connection may be silent, and how long it may be without a request; longer than any answer takes.
    pub(super) silence: Duration,
    /// How long the head of a request may take from its first byte.
    pub(super) head: Duration,
    /// How many connections there may be; others wait to be accepted.
    pub(super) connections: usize,
}

impl Limits {
    /// Those of a listener that may have this many connections, or fewer where the system gives fewer file descriptors.
    pub(super) fn with(connections: usize) -> Self {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
        // the rest is for the state, the tables and calls
        let connections = files.map_or(connections, |files: usize| connections.min(files / 2));
        Self { silence: Duration::from_secs(75), head: Duration::from_secs(10), connections: connections.max(1) }
    }
}

/// A listener with limits.
pub(super) struct Patient {
    listener: TcpListener,
    limits: Limits,
    room: Arc<Semaphore>,
}

/// A connection with limits.
pub(super) struct Heard {
    stream: TcpStream,
    limits: Limits,
    progress: Arc<Progress>,
    /// How many requests had begun when it was last looked.
    known: usize,
    /// Whether a head has begun since then.
    in_head: bool,
    /// Whether it speaks HTTP/2; none before its first bytes.
    in_frames: Option<bool>,
    until: Pin<Box<Sleep>>,
    _room: Option<OwnedSemaphorePermit>,
}

/// What the requests of a connection tell the connection.
#[derive(Debug, Default)]
pub(super) struct Progress {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// A request under way; it ends when this is dropped.
pub(super) struct UnderWay(Arc<Progress>);

/// The other side of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: SocketAddr,
    progress: Arc<Progress>,
}

impl Peer {
    /// Notes that a request has begun: its head is here.
    pub(super) fn begin_request(&self) -> UnderWay {
        self.progress.begun.fetch_add(1, Ordering::SeqCst);
        UnderWay(Arc::clone(&self.progress))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Patient {
    /// The same listener with limits.
    pub(super) fn new(listener: TcpListener, limits: Limits) -> Self {
        Self { listener, limits, room: Arc::new(Semaphore::new(limits.connections)) }
    }
}

impl Listener for Patient {
    type Io = Heard;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Heard, SocketAddr) {
        // none only when the semaphore is closed, which it never is
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // without it an answer may wait for the sender's acknowledgement
        let _ = stream.set_nodelay(true);
        (Heard::new(stream, self.limits, room), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Patient>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Patient>) -> Self {
        Self { address: *stream.remote_addr(), progress: Arc::clone(&stream.io().progress) }
    }
}

impl Heard {
    fn new(stream: TcpStream, limits: Limits, room: Option<OwnedSemaphorePermit>) -> Self {
        let until = Box::pin(sleep(limits.silence));
        Self { stream, limits, progress: Arc::default(), known: 0, in_head: false, in_frames: None, until, _room: room }
    }

    /// Takes notice of requests that have begun since: their heads are complete.
    fn look_at_requests(&mut self) {
        let begun = self.progress.begun.load(Ordering::SeqCst);
        if begun != self.known {
            self.known = begun;
            self.in_head = false;
            self.wait_for(self.limits.silence);
        }
    }

    fn is_idle(&self) -> bool {
        self.progress.ended.load(Ordering::SeqCst) == self.progress.begun.load(Ordering::SeqCst)
    }

    /// Takes notice of bytes. Between the requests of HTTP/2 there are frames that belong to none: they prolong nothing.
    fn hear(&mut self, bytes: &[u8]) {
        let in_frames = *self.in_frames.get_or_insert(bytes.starts_with(b"PRI "));
        if !self.is_idle() {
            self.wait_for(self.limits.silence);
        } else if !self.in_head && !in_frames && !bytes.is_empty() {
            self.in_head = true;
            self.wait_for(self.limits.head);
        }
    }

    fn is_over(&self) -> bool {
        self.until.deadline() <= Instant::now()
    }

    fn wait_for(&mut self, limit: Duration) {
        self.until.as_mut().reset(Instant::now() + limit);
    }
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.look_at_requests();
        if self.is_idle() && self.is_over() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                self.hear(&buffer.filled()[before..]);
                Poll::Ready(result)
            }
            Poll::Pending => match self.until.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::{ConnectInfo, Request};
    use axum::middleware::{Next, from_fn};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A server that says who asks.
    async fn serve(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let page = |ConnectInfo(peer): ConnectInfo<Peer>| async move { peer.address.ip().to_string() };
        let note = |request: Request, next: Next| async move {
            let peer = request.extensions().get::<ConnectInfo<Peer>>().cloned();
            let _under_way = peer.map(|ConnectInfo(peer)| peer.begin_request());
            next.run(request).await
        };
        let router = axum::Router::new().route("/", axum::routing::get(page)).layer(from_fn(note));
        let service = router.into_make_service_with_connect_info::<Peer>();
        tokio::spawn(axum::serve(Patient::new(listener, limits), service).into_future());
        address
    }

    fn limits(silence: u64, head: u64) -> Limits {
        Limits { silence: Duration::from_millis(silence), head: Duration::from_millis(head), connections: 2 }
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    #[tokio::test]
    async fn a_silent_connection_is_closed_and_its_address_is_known() {
        let address = serve(limits(50, 50)).await;
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(GET).await.expect("sent");
        let mut said = String::new();
        stream.read_to_string(&mut said).await.expect("closed by the server, though the connection was to be kept");
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("127.0.0.1"), "{said}");
    }

    #[tokio::test]
    async fn a_head_that_trickles_is_cut() {
        let address = serve(limits(60_000, 200)).await;
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let began = Instant::now();
        let head = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 10_000]].concat();
        let trickle = async {
            for byte in head {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), trickle).await.expect("cut");
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn between_requests_a_connection_may_rest_longer_than_a_head_may_take() {
        let address = serve(limits(60_000, 200)).await;
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let mut answer = [0; 1024];
        for _ in 0..3 {
            stream.write_all(GET).await.expect("sent");
            assert!(stream.read(&mut answer).await.expect("answered") > 0);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    #[tokio::test]
    async fn what_is_no_request_does_not_keep_a_connection_of_frames() {
        let address = serve(limits(300, 200)).await;
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("settings");
        let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0], [7; 8].as_slice()].concat();
        let pings = async {
            while stream.write_all(&ping).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), pings).await.expect("closed");
    }

    #[tokio::test]
    async fn only_so_many_connections_are_accepted() {
        let address = serve(limits(60_000, 60_000)).await;
        let held = [TcpStream::connect(address).await.expect("one"), TcpStream::connect(address).await.expect("two")];
        let mut third = TcpStream::connect(address).await.expect("in the queue of the system");
        third.write_all(GET).await.expect("sent");
        let mut answer = [0; 1024];
        let early = tokio::time::timeout(Duration::from_millis(200), third.read(&mut answer)).await;
        assert!(early.is_err(), "answered while the others were there");
        drop(held);
        let late = tokio::time::timeout(Duration::from_secs(20), third.read(&mut answer)).await;
        assert!(late.expect("answered in the end").expect("answered") > 0);
    }
}
