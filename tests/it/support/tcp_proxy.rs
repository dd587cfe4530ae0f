//! A proxy between a server of ours and a PostgreSQL that listens on a socket in a folder: it passes everything on, or stalls, cuts
//! connections off, or cuts them off in the middle of an answer.

use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What the proxy does to what passes through it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    Passes,
    /// Connections stay open and nothing passes; new ones are accepted and nothing passes either.
    Stalls,
    /// Connections are reset, and new ones too.
    Resets,
    /// Of what comes back only the first bytes pass, then the connection is reset; new ones too.
    Truncates,
}

/// The proxy.
pub(crate) struct TcpProxy {
    mood: watch::Sender<Mood>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TcpProxy {
    /// In front of the database that this URL names by a socket in a folder.
    pub(crate) async fn in_front_of(url: &str) -> (Self, String) {
        let (rest, folder) = url.split_once("?host=").expect("a socket in a folder");
        let socket = PathBuf::from(folder.replace("%2F", "/")).join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (mood, moods) = watch::channel(Mood::Passes);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, socket.clone(), moods.clone()));
            }
        });
        let database = rest.rsplit_once('/').expect("a database").1;
        let url = format!("postgres://postgres@{address}/{database}?sslmode=disable");
        (Self { mood, task }, url)
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

async fn pass(stream: TcpStream, socket: PathBuf, moods: watch::Receiver<Mood>) {
    let Ok(server) = UnixStream::connect(socket).await else { return };
    let _ = stream.set_nodelay(true);
    let _ = stream.set_zero_linger();
    let (from_client, to_client) = stream.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = copy(from_client, to_server, moods.clone(), false) => {}
        () = copy(from_server, to_client, moods, true) => {}
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut moods: watch::Receiver<Mood>,
    is_answer: bool,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = moods.wait_for(|mood| *mood == Mood::Resets) => return,
        };
        let Ok(count) = read else { return };
        if count == 0 {
            return;
        }
        let mood = *moods.borrow();
        match mood {
            Mood::Resets => return,
            Mood::Truncates if is_answer => {
                let _ = to.write_all(&buffer[..count / 2]).await;
                return;
            }
            Mood::Stalls => drop(moods.wait_for(|mood| *mood != Mood::Stalls).await),
            Mood::Passes | Mood::Truncates => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
