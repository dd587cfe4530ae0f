//! `hooktable demo`: everything at once, offline. Starts a server and a simulated provider, sends a real webhook over HTTP,
//! shows the rows, changes the order, shows them again, and goes on serving.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::demo_text::{Screen, Told};
use super::flags::GlobalFlags;
use super::output;
use super::run::Exit;
use crate::app::server::Server;
use crate::app::settings::{EnvironmentSecrets, Settings};
use crate::app::shutdown::StopSignals;
use crate::app::sources::all_problems;
use crate::app::telemetry::{self, LogFormat};
use crate::auth::secret::SecretReader;
use crate::clock::{Clock, Timestamp};
use crate::model::delivery::DeliveryId;
use crate::model::record::{RecordState, RecordSummary};
use crate::rehearsal::compare::Row;
use crate::rehearsal::demo::{DemoFiles, ORDER, ORIGIN, SCHEMA, SOURCE, Stage, TABLES, TENANT, check, is_own, webhook};
use crate::rehearsal::sender;
use crate::rehearsal::simulate::Simulation;
use crate::secret::{MASK, Secret};
use crate::store::{api_keys, records, tenants};
use crate::target::Database;

/// The longest that a record may take; it needs little more than its route's `coalesce`.
const LONGEST: Duration = Duration::from_secs(60);
/// How often is looked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Log lines that are shown: the show itself says what happens.
const LOGGED: &str = "warn";
/// The secret that the route file asks for, and what the demo answers.
const APP_TOKEN: (&str, &str) = ("ECONOMIC_APP_SECRET_TOKEN", "demo");

/// What the demo is told.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Stop after the show: with 0 when the rows are right, with 1 when not
    #[arg(long)]
    once: bool,
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
    let api = Simulation::start(files.simulated(), (Ipv4Addr::LOCALHOST, 0).into()).await.context("no free port")?;
    let play = Play::start(arguments, files, api).await?;
    let is_right = play.play().await?;
    Ok((play, is_right))
}

/// The demo with everything it started.
struct Play {
    files: DemoFiles,
    api: Simulation,
    server: Server,
    api_key: Secret<String>,
    screen: Screen,
}

/// Secrets of the demo; what a changed route file asks for besides comes from the environment.
struct DemoSecrets(EnvironmentSecrets);

impl SecretReader for DemoSecrets {
    fn environment(&self, name: &str) -> Option<String> {
        if name == APP_TOKEN.0 { Some(APP_TOKEN.1.to_owned()) } else { self.0.environment(name) }
    }

    fn file(&self, path: &str) -> Option<String> {
        self.0.file(path)
    }

    fn today(&self) -> jiff::civil::Date {
        self.0.today()
    }

    fn stand_in(&self, name: &str) -> Option<String> {
        self.0.stand_in(name)
    }
}

impl Play {
    async fn start(arguments: &Demo, files: DemoFiles, api: Simulation) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let secrets = DemoSecrets(EnvironmentSecrets::new(clock.clone()));
        let settings = Settings {
            routes: files.routes(),
            listen: arguments.listen.clone().unwrap_or_else(|| address_with(8080)),
            admin_listen: address_with(8081),
            simulate_api: vec![(ORIGIN.to_owned(), api.url().parse()?)],
            ..Settings::in_folder(files.data())
        };
        let (server, reloaded) = Server::start(settings, clock, Box::new(secrets)).await?;
        let screen = Screen::of_terminal();
        output::problems(&all_problems(&reloaded.loaded), &reloaded.loaded.texts);
        make_tables(database(&server)?).await?;
        let api_key = make_api_key(&server).await?;
        Ok(Self { files, api, server, api_key, screen })
    }

    /// The show; says whether all rows were right.
    async fn play(&self) -> anyhow::Result<bool> {
        let screen = &self.screen;
        screen.title(&self.server.public_url(), &self.api.url());
        screen.step(&format!("e-conomic says that order {ORDER} has changed, and no more than that:"));
        let (first, first_is_right) = self.send(Stage::Before, None).await?;
        self.files.change_order().context("cannot change the simulated order")?;
        screen.step("In e-conomic line 1 becomes 80 and line 2 is removed. The same webhook comes again:");
        let (_, second_is_right) = self.send(Stage::After, Some(&first)).await?;
        let is_right = first_is_right && second_is_right;
        screen.verdict(is_right);
        Ok(is_right)
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
            ("e-conomic", format!("{}  change an order and send its number", path(self.files.simulated().join("orders")))),
            ("rows", format!("sqlite3 {} 'select * from job_lines'", path(self.files.data().join("tables.db")))),
            ("health", format!("http://{}/readyz and /metrics", self.server.admin_address())),
        ]
    }
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
async fn make_tables(database: &Database) -> anyhow::Result<()> {
    let failed = |failure: crate::model::failure::Failure| anyhow::anyhow!(failure.reason);
    let there = database.tables().await.map_err(failed)?;
    if there.iter().any(|table| table.name == TABLES[0].0) {
        return Ok(());
    }
    database.run_script(SCHEMA).await.map_err(failed)
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
