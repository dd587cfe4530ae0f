//! A listener whose connections may not be silent for ever, so that senders that went away, or never meant to say anything, hold
//! nothing. How long a body may take is the intake's to say.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

/// How long a connection may be silent; longer than any answer takes.
pub(super) const SILENCE: Duration = Duration::from_secs(75);

/// A listener with a limit for silence.
pub(super) struct Patient {
    listener: TcpListener,
    limit: Duration,
}

/// A connection that ends after a long silence of the other side.
pub(super) struct Heard {
    stream: TcpStream,
    limit: Duration,
    until: Pin<Box<Sleep>>,
}

/// The address of the other side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Patient {
    /// The same listener with the limit.
    pub(super) fn new(listener: TcpListener, limit: Duration) -> Self {
        Self { listener, limit }
    }
}

impl Listener for Patient {
    type Io = Heard;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Heard, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // without it an answer may wait for the sender's acknowledgement
        let _ = stream.set_nodelay(true);
        (Heard { stream, limit: self.limit, until: Box::pin(sleep(self.limit)) }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Patient>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Patient>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                let until = Instant::now() + self.limit;
                self.until.as_mut().reset(until);
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_silent_connection_is_closed_and_its_address_is_known() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let page =
            |axum::extract::ConnectInfo(Peer(peer)): axum::extract::ConnectInfo<Peer>| async move { peer.ip().to_string() };
        let router = axum::Router::new().route("/", axum::routing::get(page));
        let service = router.into_make_service_with_connect_info::<Peer>();
        tokio::spawn(axum::serve(Patient::new(listener, Duration::from_millis(50)), service).into_future());
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        let mut said = String::new();
        stream.read_to_string(&mut said).await.expect("closed by the server, though the connection was to be kept");
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("127.0.0.1"), "{said}");
    }
}
