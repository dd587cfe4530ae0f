//! `hooktable demo`: everything at once, offline. Starts a server and simulated providers, sends a real webhook over HTTP, shows the
//! rows, changes the order, shows them again, plays the webhooks of every source, and goes on serving.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::demo_programme;
use super::demo_text::{Screen, Told};
use super::flags::GlobalFlags;
use super::output;
use super::run::Exit;
use crate::app::server::Server;
use crate::app::settings::Settings;
use crate::app::shutdown::StopSignals;
use crate::app::sources::all_problems;
use crate::app::telemetry::{self, LogFormat};
use crate::clock::{Clock, Timestamp};
use crate::model::delivery::DeliveryId;
use crate::model::record::{RecordState, RecordSummary};
use crate::rehearsal::compare::Row;
use crate::rehearsal::demo::{DemoFiles, ORDER, ORIGIN, SOURCE, Stage, TABLES, TENANT, check, is_own, webhook};
use crate::rehearsal::programme::{Length, origins_of};
use crate::rehearsal::project::TestSecrets;
use crate::rehearsal::simulate::Simulation;
use crate::rehearsal::suite::{self, Suites};
use crate::rehearsal::{play, sender};
use crate::secret::{MASK, Secret};
use crate::steps::map::Destination;
use crate::store::{api_keys, records, tenants};
use crate::target::{Database, DatabaseOptions};

/// The longest that a record may take; it needs little more than its route's `coalesce`.
const LONGEST: Duration = Duration::from_secs(60);
/// How often is looked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Log lines that are shown: the show itself says what happens.
const LOGGED: &str = "warn";
/// What the demo is told.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Stop after the show: with 0 when the rows are right, with 1 when not
    #[arg(long)]
    once: bool,
    /// Send every webhook that the tests beside the route files hold and that ends well, not one of each kind
    #[arg(long)]
    full: bool,
    /// Where webhooks come to [default: 127.0.0.1:8080, or a free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl Demo {
    /// Runs it until it is done or interrupted. Its files are in a temporary folder unless `--data` names one.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        telemetry::start(LogFormat::Text, Some(LOGGED))?;
        let mut signals = StopSignals::listen().context("cannot listen for signals")?;
        let temporary = tempfile::Builder::new().prefix("hooktable-demo-").tempdir().context("there is no temporary folder")?;
        let root = global.given().data.unwrap_or_else(|| temporary.path().to_owned());
        let (play, is_right) = tokio::select! {
            shown = show(&self, &root) => shown?,
            signal = signals.next() => bail!("stopped by {signal} before the show was over"),
        };
        if !self.once {
            play.screen.invite(&play.invitation());
            signals.next().await;
            play.screen.line("\nstopped");
        }
        play.server.stop().await;
        Ok(if is_right || !self.once { Exit::Fine } else { Exit::Problems })
    }
}

async fn show(arguments: &Demo, root: &Path) -> anyhow::Result<(Play, bool)> {
    let files = DemoFiles::write(root).with_context(|| format!("cannot write the demo's files to `{}`", root.display()))?;
    let play = Play::start(arguments, files).await?;
    let is_right = play.play(if arguments.full { Length::Full } else { Length::Short }).await?;
    Ok((play, is_right))
}

/// The demo with everything it started.
struct Play {
    files: DemoFiles,
    /// The simulated providers, by origin.
    apis: Vec<(String, Simulation)>,
    suites: Suites,
    server: Server,
    api_key: Secret<String>,
    screen: Screen,
}

impl Play {
    async fn start(arguments: &Demo, files: DemoFiles) -> anyhow::Result<Self> {
        let settings = Settings {
            routes: files.routes(),
            templates: files.templates(),
            listen: arguments.listen.clone().unwrap_or_else(|| address_with(8080)),
            admin_listen: address_with(8081),
            ..Settings::in_folder(files.data())
        };
        let suites = read_tests(&settings)?;
        let mut apis = Vec::new();
        for origin in origins_of(&suites.suites).into_iter().chain([ORIGIN.to_owned()]) {
            if !apis.iter().any(|(known, _)| *known == origin) {
                let folder = files.simulated(&origin).context("cannot make the folder of a simulated API")?;
                let api = Simulation::start(folder, (Ipv4Addr::LOCALHOST, 0).into()).await.context("no free port")?;
                apis.push((origin, api));
            }
        }
        let simulated = apis.iter().map(|(origin, api)| Ok((origin.clone(), api.url().parse()?)));
        let settings = Settings { simulate_api: simulated.collect::<anyhow::Result<_>>()?, ..settings };
        // secrets are those of the tests: nothing that is real goes out, nor anything at all
        let (server, reloaded) = Server::start(settings, Clock::system(), Box::new(TestSecrets)).await?;
        let screen = Screen::of_terminal();
        output::problems(&all_problems(&reloaded.loaded), &reloaded.loaded.texts);
        // what is wrong with a route file has been said
        if !all_problems(&reloaded.loaded).has_errors() {
            output::problems(&suites.problems, &suites.texts);
        }
        make_tables(database(&server)?, &files.schema().context("the script that makes the tables cannot be read")?).await?;
        let api_key = make_api_key(&server).await?;
        Ok(Self { files, apis, suites, server, api_key, screen })
    }

    /// The show; says whether all rows were right.
    async fn play(&self, length: Length) -> anyhow::Result<bool> {
        let screen = &self.screen;
        let api = self.apis.iter().find(|(origin, _)| origin == ORIGIN).map(|(_, api)| api.url()).unwrap_or_default();
        screen.title(&self.server.public_url(), &api);
        screen.step(&format!("e-conomic says that order {ORDER} has changed, and no more than that:"));
        let (first, first_is_right) = self.send(Stage::Before, None).await?;
        self.files.change_order().context("cannot change the simulated order")?;
        screen.step("In e-conomic line 1 becomes 80 and line 2 is removed. The same webhook comes again:");
        let (_, second_is_right) = self.send(Stage::After, Some(&first)).await?;
        let is_right = first_is_right && second_is_right;
        screen.verdict(is_right);
        let all_are_right = self.play_sources(length).await?;
        Ok(is_right && all_are_right && !self.suites.problems.has_errors())
    }

    /// The webhooks of every source.
    async fn play_sources(&self, length: Length) -> anyhow::Result<bool> {
        let stage = play::Stage {
            store: self.server.store(),
            targets: self.server.targets(),
            address: self.server.intake_address(),
            apis: &self.apis,
            tenant_column: database(&self.server)?.tenant_column(),
        };
        demo_programme::play(&self.screen, stage, &self.suites.suites, length).await
    }

    /// Sends the webhook, waits for its rows and shows them; says whether they are right.
    async fn send(&self, stage: Stage, before: Option<&[Vec<Row>]>) -> anyhow::Result<(Vec<Vec<Row>>, bool)> {
        let request = webhook(self.api_key.expose(), ORDER);
        let started = Instant::now();
        let answer = sender::send(self.server.intake_address(), &request).await.context("the webhook cannot be sent")?;
        let took = started.elapsed();
        let target = request.target().replace(self.api_key.expose().as_str(), &self.masked_key());
        self.screen.sent(&target, &request.bytes(), &answer, took);
        let delivery: Option<DeliveryId> = serde_json::from_str::<serde_json::Value>(&answer.body)
            .ok()
            .and_then(|body| body.get("delivery")?.as_str()?.parse().ok());
        let Some(delivery) = delivery else { bail!("the webhook was not stored") };
        let record = self.wait_for(delivery).await?;
        let details = records::show(self.server.store(), delivery).await?.context("the delivery has vanished")?;
        let calls: Vec<_> = details.attempts.into_iter().flat_map(|attempt| attempt.attempt.calls).collect();
        let was_looked_up = calls.last().is_some_and(|call| call.status == Some(200));
        self.screen.calls(&calls);
        self.screen.landed(record.state, record.reason.as_deref(), time_to_rows(&record));
        let mut is_right = record.state == RecordState::Done && was_looked_up;
        let mut all = Vec::new();
        for (number, (table, key)) in TABLES.iter().enumerate() {
            let rows = database(&self.server)?.rows(table, None, &[]).await.map_err(|failure| anyhow::anyhow!(failure.reason))?;
            let rows: Vec<Row> = rows.into_iter().filter(is_own).collect();
            let difference = check(table, &rows, stage);
            is_right &= difference.is_none();
            let told = Told { table, key, rows: &rows, before: before.map(|tables| tables[number].as_slice()) };
            self.screen.table(&told, difference.as_ref());
            all.push(rows);
        }
        Ok((all, is_right))
    }

    /// As much of the key as tells it from others.
    fn masked_key(&self) -> String {
        let key = self.api_key.expose();
        format!("{MASK}{}", &key[key.len().saturating_sub(4)..])
    }

    async fn wait_for(&self, delivery: DeliveryId) -> anyhow::Result<RecordSummary> {
        let started = Instant::now();
        loop {
            let details = records::show(self.server.store(), delivery).await?.context("the delivery has vanished")?;
            let record = details.records.into_iter().next().context("the delivery has no record")?;
            if !record.state.is_open() {
                self.screen.waited();
                return Ok(record);
            }
            if started.elapsed() > LONGEST {
                bail!(
                    "the record is still {} after {} s: {}",
                    record.state,
                    LONGEST.as_secs(),
                    record.reason.unwrap_or_default()
                );
            }
            self.screen.waiting(started.elapsed());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What there is to try, by name.
    fn invitation(&self) -> Vec<(&'static str, String)> {
        let request = webhook(self.api_key.expose(), 20418);
        let url = format!("{}{}", self.server.public_url(), request.target());
        let body = String::from_utf8_lossy(&request.bytes()).into_owned();
        let path = |path: PathBuf| path.display().to_string();
        vec![
            ("try", format!("curl '{url}' -H 'Content-Type: application/json' -d '{body}'")),
            ("orders", format!("{ORDER} sent, 20418 draft, 20311 archived; any other is nowhere, so its rows go")),
            ("API key", format!("{} (tenant `{TENANT}`, source `{SOURCE}`)", self.api_key.expose())),
            (
                "route file",
                format!("{}  change it, and the next delivery follows", path(self.files.routes().join("economic.yaml"))),
            ),
            ("e-conomic", format!("{}  change an order and send its number", path(self.files.orders()))),
            ("providers", format!("{}  a folder for each host that is called", path(self.files.providers()))),
            ("secrets", "each one that a route file declares is `test-NAME`".to_owned()),
            ("rows", format!("sqlite3 {} 'select * from job_lines'", path(self.files.data().join("tables.db")))),
            ("health", format!("http://{}/readyz and /metrics", self.server.admin_address())),
        ]
    }
}

fn read_tests(settings: &Settings) -> anyhow::Result<Suites> {
    let destination =
        |database: &DatabaseOptions| Destination { name: database.name.clone(), tenant_column: database.tenant_column.clone() };
    let destinations: Vec<Destination> = settings.databases.iter().map(destination).collect();
    suite::read(&settings.routes, &settings.templates, None, &destinations).context("the tests of the route files cannot be read")
}

/// The usual port when it is free, else any.
fn address_with(port: u16) -> String {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let address = if TcpListener::bind(usual).is_ok() { usual } else { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
    address.to_string()
}

fn database(server: &Server) -> anyhow::Result<&Database> {
    server.targets().database("main").context("there is no database `main`")
}

/// Makes the tables, unless an earlier demo did.
async fn make_tables(database: &Database, script: &str) -> anyhow::Result<()> {
    let failed = |failure: crate::model::failure::Failure| anyhow::anyhow!(failure.reason);
    let there = database.tables().await.map_err(failed)?;
    if there.iter().any(|table| table.name == TABLES[0].0) {
        return Ok(());
    }
    database.run_script(script).await.map_err(failed)
}

async fn make_api_key(server: &Server) -> anyhow::Result<Secret<String>> {
    let store = server.store();
    let tenant = match tenants::find_by_name(store, TENANT).await? {
        Some(tenant) => tenant,
        None => tenants::add(store, TENANT).await?,
    };
    let (_, key) = api_keys::create(store, &tenant, SOURCE, "made by the demo").await?;
    Ok(key)
}

/// From the last byte of the webhook to its rows.
fn time_to_rows(record: &RecordSummary) -> Option<Duration> {
    let received_at = Timestamp::parse(&record.received_at)?;
    Some(Timestamp::parse(record.finished_at.as_deref()?)?.since(received_at))
}
