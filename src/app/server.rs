//! The running program as a value: started with settings, stopped without losing anything. Prints nothing; what a person
//! should know comes as values and notices.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, broadcast, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::admin::{self, Admin};
use super::control::{self, Control};
use super::metrics::Metrics;
use super::operation::{About, Context};
use super::patience::{Limits, Patient, Peer};
use super::settings::Settings;
use super::sources::{self, Sources};
use super::target_upkeep::TargetUpkeep;
use super::upkeep::Upkeep;
use crate::auth::secret::SecretReader;
use crate::clock::Clock;
use crate::config::diagnostic::Diagnostics;
use crate::failpoint::lease;
use crate::http_client::client::{ClientOptions, HttpClient};
use crate::http_client::store_budget::StoreBudget;
use crate::intake::address::Addresses;
use crate::intake::receive::Intake;
use crate::routes::folder::Folder;
use crate::routes::load::Texts;
use crate::routes::registry::{Registry, Reloaded};
use crate::routes::reload::watch as watch_folder;
use crate::store::retention::Keep;
use crate::store::{OpenOptions, Place, Store, ballast, bundles};
use crate::target::Targets;
use crate::worker::deliver::Tools;
use crate::worker::pool;

/// How long requests and attempts under way may take to end when the program stops.
const GRACE: Duration = Duration::from_secs(10);
/// How many connections senders and operators may have.
const CONNECTIONS: usize = 10_000;
const ADMIN_CONNECTIONS: usize = 200;
/// How many notices are kept for a listener that is slow.
const NOTICES: usize = 64;

/// A running server.
pub struct Server {
    intake: Arc<Intake>,
    intake_address: SocketAddr,
    admin_address: SocketAddr,
    public_url: String,
    control_path: PathBuf,
    /// Held until the control socket is gone.
    folder_lock: File,
    sources: Arc<Sources>,
    tools: Tools,
    notices: broadcast::Sender<Arc<Notice>>,
    stopping: watch::Sender<bool>,
    stopped: watch::Sender<bool>,
    /// Requests and attempts: they are waited for.
    draining: Vec<JoinHandle<()>>,
    /// What can end at any moment.
    background: JoinSet<()>,
}

/// What a person should hear of while the server runs.
pub enum Notice {
    /// The folder of route files was read, and something in it is new.
    Reloaded {
        /// What changed.
        reloaded: Box<Reloaded>,
        /// The problems that were not told before.
        news: Diagnostics,
    },
    /// The folder of route files cannot be read; everything runs on.
    Unreadable(String),
}

impl Server {
    /// Opens the state, loads the route files, listens, and starts to receive and to deliver. Nothing but the operator's own
    /// settings, the state or an address in use keeps it from starting: neither a bad route file nor a database that is down.
    pub async fn start(
        settings: Settings,
        clock: Clock,
        environment: Box<dyn SecretReader + Send + Sync>,
    ) -> anyhow::Result<(Self, Reloaded)> {
        let store = open_state_with_ballast(&settings, clock.clone()).await?;
        let (sources, reloaded) = Sources::open(&settings, &store, clock.clone(), environment).await?;
        sources.note(&reloaded.loaded);
        sources::save(&store, &reloaded).await;
        let tools = tools(&settings, store.clone(), &sources, clock)?;
        let listener = listen(&settings.listen, "--listen").await?;
        let admin_listener = listen(&settings.admin_listen, "--admin-listen").await?;
        let (intake_address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
        let folder_lock = control::lock(&settings.data)?;
        let control = Control::bind(&settings.data)?;
        let addresses = Addresses { public_url: settings.public_url.clone(), trusted_proxies: settings.trusted_proxies.clone() };
        let intake = Intake::new(Arc::clone(sources.registry()), store.clone(), Arc::clone(&tools.http), addresses);
        let (stopping, stopped) = (watch::Sender::new(false), watch::Sender::new(false));
        let metrics = Arc::new(Metrics::default());
        let mut background = upkeep(&tools, settings.keep, &metrics);
        let admin = admin::router(Admin {
            store,
            sources: Arc::clone(&sources),
            http: Arc::clone(&tools.http),
            targets: tools.targets.clone(),
            metrics: Arc::clone(&metrics),
            simulated: settings.simulate_api.iter().map(|(origin, url)| format!("{origin} -> {url}")).collect(),
            stopping: stopping.subscribe(),
        });
        let workers = pool::Options { workers: settings.workers, owner: owner(), lease: lease(pool::LEASE) };
        let draining = vec![
            tokio::spawn(serve(listener, Limits::with(CONNECTIONS), counted(intake.router(), metrics), stopping.subscribe())),
            tokio::spawn(pool::run(tools.clone(), workers, stopping.subscribe(), GRACE)),
        ];
        sources::resume(&tools.store, &reloaded).await;
        background.spawn(serve(admin_listener, Limits::with(ADMIN_CONNECTIONS), admin, stopped.subscribe()));
        let notices = broadcast::Sender::new(NOTICES);
        let watching = Watching { sources: Arc::clone(&sources), tools: tools.clone(), notices: notices.clone() };
        background.spawn(watching.run(settings.folder()));
        let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{intake_address}"));
        let control_path = control.path().to_owned();
        background.spawn(control.serve(Context {
            store: tools.store.clone(),
            sources: Some(Arc::clone(&sources)),
            public_url: public_url.clone(),
            rejected: Some(Arc::clone(intake.rejected())),
            http: Some(Arc::clone(&tools.http)),
            about: Some(About {
                process: std::process::id(),
                intake: intake_address.to_string(),
                admin: admin_address.to_string(),
            }),
        }));
        let server = Self {
            intake,
            intake_address,
            admin_address,
            public_url,
            control_path,
            folder_lock,
            sources,
            tools,
            notices,
            stopping,
            stopped,
            draining,
            background,
        };
        Ok((server, reloaded))
    }

    /// Where webhooks come to.
    pub fn intake_address(&self) -> SocketAddr {
        self.intake_address
    }

    /// Where health and metrics are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The URL that senders reach it by, without a slash at the end.
    pub fn public_url(&self) -> String {
        self.public_url.clone()
    }

    /// The state.
    pub fn store(&self) -> &Store {
        &self.tools.store
    }

    /// The databases that rows go to.
    pub fn targets(&self) -> &Targets {
        &self.tools.targets
    }

    /// The sources that run.
    pub fn registry(&self) -> &Arc<Registry> {
        self.sources.registry()
    }

    /// The sources with what is wrong with their files.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// What happens to the route files from now on.
    pub fn notices(&self) -> broadcast::Receiver<Arc<Notice>> {
        self.notices.subscribe()
    }

    /// Resolved with the reason when nothing can be stored any more.
    pub async fn failed(&self) -> String {
        self.tools.store.failed().await
    }

    /// Takes no more deliveries, lets those under way end within ten seconds, and closes the state.
    pub async fn stop(mut self) {
        self.intake.close();
        self.stopping.send_replace(true);
        let deadline = tokio::time::Instant::now() + GRACE + Duration::from_secs(3);
        for task in &mut self.draining {
            if tokio::time::timeout_at(deadline, &mut *task).await.is_err() {
                tracing::warn!("requests or attempts were still under way when the time to stop was over");
                task.abort();
            }
        }
        self.stopped.send_replace(true);
        self.background.shutdown().await;
        // before the lock is given back: afterwards it may be another server's
        let _ = std::fs::remove_file(&self.control_path);
        drop(self.folder_lock);
        self.tools.store.clone().close().await;
    }
}

/// The state, and room for what was accepted, should the disk become full. Without that, the program runs all the same.
async fn open_state_with_ballast(settings: &Settings, clock: Clock) -> anyhow::Result<Store> {
    let store = open_state(settings, clock).await?;
    if let Place::File(path) = &settings.state
        && let Err(error) = ballast::make(path)
    {
        tracing::warn!(%error, "there is no room for the ballast beside the state file; when the disk is full, nothing can be finished either");
    }
    Ok(store)
}

/// A number that no other process claims under, on this machine or another.
fn owner() -> i64 {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    i64::try_from(random >> 1).expect("63 bits")
}

/// What keeps the state and the targets in order.
fn upkeep(tools: &Tools, keep: Keep, metrics: &Arc<Metrics>) -> JoinSet<()> {
    let mut background = JoinSet::new();
    background.spawn(Upkeep::new(tools.store.clone(), keep, Arc::clone(metrics)).run());
    background.spawn(TargetUpkeep::new(tools.store.clone(), tools.targets.clone(), Arc::clone(metrics)).run());
    background
}

/// Opens the state that the settings name.
pub async fn open_state(settings: &Settings, clock: Clock) -> anyhow::Result<Store> {
    let state_folder = match &settings.state {
        Place::File(path) => path.parent(),
        Place::Server(_) => None,
    };
    for folder in [Some(settings.data.as_path()), state_folder].into_iter().flatten() {
        if !folder.as_os_str().is_empty() {
            let made = tokio::fs::create_dir_all(folder).await;
            made.with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
        }
    }
    let options = OpenOptions {
        place: settings.state.clone(),
        master_key: settings.master_key.clone(),
        key_file: settings.key_file(),
        clock,
        max_bytes: settings.state_max_bytes,
    };
    Ok(Store::open(options).await?)
}

fn tools(settings: &Settings, store: Store, sources: &Sources, clock: Clock) -> anyhow::Result<Tools> {
    let http = HttpClient::new(ClientOptions {
        clock: clock.clone(),
        budget: Arc::new(StoreBudget::new(store.clone())),
        simulated: settings.simulate_api.clone(),
        recorded: None,
        user_agent: concat!("hooktable/", env!("CARGO_PKG_VERSION")).to_owned(),
    })?;
    let targets = Targets::open(settings.databases.clone(), clock);
    Ok(Tools { registry: Arc::clone(sources.registry()), store, targets, http: Arc::new(http) })
}

async fn listen(address: &str, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on `{address}`\nhint: choose another with `{flag}`"))
}

/// Serves HTTP/1 and HTTP/2 until told to stop, and then what is under way.
async fn serve(listener: TcpListener, limits: Limits, router: Router, mut stop: watch::Receiver<bool>) {
    let listener = Patient::new(listener, limits);
    let service = noted(router).into_make_service_with_connect_info::<Peer>();
    let told = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(told).await {
        tracing::error!(%error, "a listener has ended");
    }
}

/// Tells connections of their requests, and the intake who asks in the form that it expects.
fn noted(router: Router) -> Router {
    router.layer(from_fn(|mut request: Request, next: Next| async move {
        let peer = request.extensions().get().cloned();
        let _under_way = peer.map(|ConnectInfo::<Peer>(peer)| {
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.address));
            peer.begin_request()
        });
        next.run(request).await
    }))
}

/// Counts answers.
fn counted(router: Router, metrics: Arc<Metrics>) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let metrics = Arc::clone(&metrics);
        async move {
            let response: Response = next.run(request).await;
            metrics.count_answer(response.status().as_u16());
            response
        }
    }))
}

/// Takes over what changes in the folder of route files.
struct Watching {
    sources: Arc<Sources>,
    tools: Tools,
    notices: broadcast::Sender<Arc<Notice>>,
}

impl Watching {
    async fn run(self, folder: Folder) {
        let turn = Mutex::new(None);
        let changed = async |texts: Result<Texts, String>| {
            let mut unreadable = turn.lock().await;
            self.take_over(texts, &mut unreadable).await;
        };
        // whatever changed between the first look at the folder and the start of watching is seen by a second look
        let again = async {
            let mut unreadable = turn.lock().await;
            let folder = folder.clone();
            if let Ok(Ok(texts)) = tokio::task::spawn_blocking(move || folder.read()).await {
                self.take_over(Ok(texts), &mut unreadable).await;
            }
        };
        let others = async {
            loop {
                bundles::changed(&self.tools.store).await;
                let mut unreadable = turn.lock().await;
                if let Err(error) = self.sources.hear_of_others(&self.tools.store).await {
                    tracing::warn!(%error, "what other servers activated cannot be read");
                }
                let folder = folder.clone();
                if let Ok(Ok(texts)) = tokio::task::spawn_blocking(move || folder.read()).await {
                    self.take_over(Ok(texts), &mut unreadable).await;
                }
            }
        };
        tokio::join!(watch_folder(folder.clone(), changed), again, others);
    }

    async fn take_over(&self, texts: Result<Texts, String>, unreadable: &mut Option<String>) {
        let reloaded = match texts {
            Ok(texts) => self.sources.take_over(texts).await,
            Err(reason) => {
                self.sources.registry().refresh();
                if unreadable.as_ref() != Some(&reason) {
                    *unreadable = Some(reason.clone());
                    let _ = self.notices.send(Arc::new(Notice::Unreadable(reason)));
                }
                return;
            }
        };
        *unreadable = None;
        let reloaded = match reloaded {
            Ok(reloaded) => reloaded,
            Err(error) => {
                tracing::error!(%error, "the route files could not be loaded again");
                return;
            }
        };
        let news = self.sources.note(&reloaded.loaded);
        sources::save(&self.tools.store, &reloaded).await;
        sources::resume(&self.tools.store, &reloaded).await;
        if !reloaded.activated.is_empty() || !reloaded.vanished.is_empty() || !news.is_empty() {
            // work may have waited for a source to come back
            self.tools.store.work_arrived().notify_waiters();
            self.tools.store.work_arrived().notify_one();
            let _ = self.notices.send(Arc::new(Notice::Reloaded { reloaded: Box::new(reloaded), news }));
        }
    }
}
