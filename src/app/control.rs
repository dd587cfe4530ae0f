//! The control socket: commands talk to the running server over a Unix socket that only its user can open, one JSON object a
//! line. Without a server a command takes the lock and does the same itself.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::operation::{About, Answer, Context, Operation, execute};
use super::server::open_state;
use super::settings::Settings;
use super::sources::Sources;
use crate::auth::secret::SecretReader;
use crate::clock::Clock;
use crate::store::{Place, StoreError};

/// The longest request, in bytes: one may carry a webhook.
const LONGEST_REQUEST: u64 = 4 << 20;

/// What goes back: the answer, or why there is none.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Answer(Answer),
    Error(String),
}

/// Where the socket is.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Does an operation: in the running server when there is one, else here.
pub async fn ask(
    settings: &Settings,
    clock: Clock,
    secrets: Box<dyn SecretReader + Send + Sync>,
    operation: Operation,
) -> anyhow::Result<Answer> {
    if let Some(answer) = ask_server(&settings.data, &operation).await? {
        return Ok(answer);
    }
    if let Place::File(path) = &settings.state
        && !path.exists()
        && !operation.begins_a_state()
    {
        bail!("there is no state at `{}` yet\nhint: `--data` says where it is", path.display());
    }
    let store = open_state(settings, clock.clone()).await?;
    let sources = if operation.needs_sources() {
        let (sources, reloaded) = Sources::open(settings, &store, clock, secrets).await?;
        sources.note(&reloaded.loaded);
        Some(sources)
    } else {
        None
    };
    let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{}", settings.listen));
    let context = Context { store: store.clone(), sources, public_url, rejected: None, http: None, about: None };
    let answer = execute(&context, operation).await;
    drop(context);
    store.close().await;
    answer
}

/// The server that uses this data folder.
pub async fn who_serves(data: &Path) -> Option<About> {
    match ask_server(data, &Operation::About).await {
        Ok(Some(Answer::About(about))) => about,
        _ => None,
    }
}

/// Adds who it is to the error that another process has the state.
pub async fn explained(settings: &Settings, error: anyhow::Error) -> anyhow::Error {
    if !matches!(error.downcast_ref(), Some(StoreError::InUse { .. })) {
        return error;
    }
    match who_serves(&settings.data).await {
        Some(about) => anyhow!(
            "the state file `{}` is in use by the hooktable with process number {}, which listens on {}\nhint: stop that one first, or give this one its own `--data`",
            settings.state.shown(),
            about.process,
            about.intake
        ),
        None => error,
    }
}

/// What the running server answers; nothing when none runs.
async fn ask_server(data: &Path, operation: &Operation) -> anyhow::Result<Option<Answer>> {
    let path = socket_path(data);
    let stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot talk to the server through `{}`", path.display())),
    };
    let broken = || format!("the server does not answer through `{}`", path.display());
    let (reader, mut writer) = stream.into_split();
    writer.write_all(line_of(operation)?.as_bytes()).await.with_context(broken)?;
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).await.with_context(broken)?;
    match serde_json::from_str(&line).with_context(broken)? {
        Reply::Answer(answer) => Ok(Some(answer)),
        Reply::Error(reason) => Err(anyhow!(reason)),
    }
}

/// Makes sure that no other server answers for this folder, until what is returned is dropped.
pub(super) fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join("control.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another server uses the data folder `{}`\nhint: servers that share a state each need a `--data` of their own",
            data.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock `{}`", path.display())),
    }
}

/// The socket, ready to be answered on.
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Makes the socket in a folder that nobody else can enter and moves it into its place, so that there is no moment at which
    /// others could open it. One that a killed process left is replaced.
    pub(super) fn bind(data: &Path) -> anyhow::Result<Self> {
        let path = socket_path(data);
        let folder = data.join(format!(".control-{}", std::process::id()));
        let bound = bind_within(&folder, &path);
        let _ = std::fs::remove_dir_all(&folder);
        let listener = bound.with_context(|| format!("cannot make the control socket `{}`", path.display()))?;
        Ok(Self { listener, path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Answers for ever.
    pub(super) async fn serve(self, context: Context) {
        let context = Arc::new(context);
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let context = Arc::clone(&context);
                    tokio::spawn(async move {
                        if let Err(error) = answer(&context, stream).await {
                            tracing::debug!(%error, "a command went away");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                }
            }
        }
    }
}

fn bind_within(folder: &Path, path: &Path) -> std::io::Result<UnixListener> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::DirBuilder::new().create(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    let inside = folder.join("s");
    let listener = UnixListener::bind(&inside)?;
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&inside, path)?;
    Ok(listener)
}

async fn answer(context: &Context, stream: UnixStream) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        if (&mut reader).take(LONGEST_REQUEST).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let reply = match serde_json::from_str::<Operation>(&line) {
            Ok(operation) => {
                execute(context, operation).await.map_or_else(|error| Reply::Error(format!("{error:#}")), Reply::Answer)
            }
            Err(error) => {
                Reply::Error(format!("the server does not know this operation: {error}\nhint: are both the same version?"))
            }
        };
        writer.write_all(line_of(&reply)?.as_bytes()).await?;
    }
}

fn line_of(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}
