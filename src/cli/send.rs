//! `hooktable send`: sends a sample, or the request of a test, to a running server with correct credentials, and says what became
//! of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use super::flags::{GlobalFlags, ask, unexpected};
use super::output;
use super::run::Exit;
use super::secret_input;
use crate::app::carried::Carried;
use crate::app::control::who_serves;
use crate::app::operation::{Answer, Operation};
use crate::app::sending::{Draft, Prepared, Wanted};
use crate::app::settings::Settings;
use crate::config::diagnostic::closest;
use crate::model::delivery::Request;
use crate::model::record::{RecordState, RecordSummary};
use crate::rehearsal::cases::Case;
use crate::rehearsal::project::surroundings;
use crate::rehearsal::sender::{SentAnswer, send_to};
use crate::rehearsal::suite::read_folder;
use crate::rehearsal::trial;
use crate::routes::folder::read_companion;
use crate::routes::load::load;
use crate::routes::saved;
use crate::routes::source::Source;
use crate::routes::test_file::{beside, tests_of};
use crate::steps::map::Destination;

/// How often is looked whether the records are done.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Headers of a saved request that belong to its connection.
const OF_CONNECTIONS: [&str; 5] = ["host", "content-length", "connection", "transfer-encoding", "accept-encoding"];

/// What is sent, on whose behalf, and where to.
#[derive(Debug, Args)]
pub struct Send {
    /// The source
    source: String,
    /// One of the samples of its file [default: the first, else the request of the first test that ends in `done`]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["test", "event"])]
    sample: Option<String>,
    /// The request of the test whose name contains this
    #[arg(long, value_name = "NAME", conflicts_with = "event")]
    test: Option<String>,
    /// The first sample or test of this event
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// The tenant on whose behalf it is sent [default: the only one]
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The integration, where the tenant has several of the source
    #[arg(long, value_name = "ID")]
    integration: Option<i64>,
    /// Where to [default: the server that uses the data folder]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The API key, from a variable of the environment
    #[arg(long, value_name = "VARIABLE", conflicts_with = "issue")]
    key_env: Option<String>,
    /// Make an API key for this sending, and revoke it afterwards
    #[arg(long)]
    issue: bool,
    /// Do not wait for the records
    #[arg(long)]
    no_wait: bool,
    /// The longest to wait for them, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

impl Send {
    /// Sends it; fails when it is refused, and when a record does not end well.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        let url = self.url_of(&settings).await?;
        let request = self.draft(&settings)?;
        let key = self.key_env.as_deref().map(secret_input::variable).transpose()?.map(Carried::from);
        let wanted = Wanted {
            source: self.source.clone(),
            tenant: self.tenant.clone(),
            integration: self.integration,
            key,
            issue: self.issue,
            request,
        };
        let Answer::Prepared(prepared) = ask(&settings, Operation::PrepareRequest(wanted)).await? else {
            return Err(unexpected());
        };
        output::data(&format!("{} {url}{}", prepared.method, prepared.shown));
        let started = Instant::now();
        let sent = send_prepared(&url, &prepared).await;
        if let Some(id) = prepared.issued {
            ask(&settings, Operation::RevokeKey { id }).await?;
        }
        let answer = sent?;
        output::data(&format!("→ {} {}  ({} ms)", answer.status, answer.body.trim_end(), started.elapsed().as_millis()));
        if !(200..300).contains(&answer.status) {
            self.explain(&settings, &answer).await;
            return Ok(Exit::Problems);
        }
        match delivery_of(&answer) {
            Some(id) if !self.no_wait => self.wait_for(&settings, &id).await,
            _ => Ok(Exit::Fine),
        }
    }

    async fn url_of(&self, settings: &Settings) -> anyhow::Result<String> {
        if let Some(url) = &self.url {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        let about = who_serves(&settings.data).await.ok_or_else(|| {
            let data = settings.data.display();
            anyhow!(
                "no server uses the data folder `{data}`\nhint: start one with `hooktable serve`, or say where it is with `--url`"
            )
        })?;
        Ok(format!("http://{}", about.intake.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")))
    }

    /// The request without credentials.
    fn draft(&self, settings: &Settings) -> anyhow::Result<Draft> {
        let surroundings = surroundings(destinations(settings));
        let texts = settings.folder().read();
        let texts = texts.with_context(|| format!("cannot read the folder `{}`", settings.routes.display()))?;
        let loaded = load(&texts, surroundings.world(), &[]);
        let names: Vec<&str> = loaded.files.iter().map(|file| file.name.as_str()).collect();
        let Some(file) = loaded.files.iter().find(|file| file.name == self.source) else {
            let hint = closest(&self.source, names.iter().copied());
            let hint =
                hint.map_or_else(|| format!("there is `{}`", names.join("`, `")), |near| format!("did you mean `{near}`?"));
            bail!("no route file of `{}` describes `{}`\nhint: {hint}", settings.routes.display(), self.source);
        };
        let Some(source) = &file.source else { bail!("`{}` has errors\nhint: `hooktable check` shows them", file.path) };
        let mut requests = Vec::new();
        for sample in &source.samples {
            let path = beside(&source.path, &sample.value);
            let text = read_companion(&path).map_err(|reason| anyhow!("the sample `{path}` {reason}"))?;
            let request = saved::read(&text, &source.receive).map_err(|reason| anyhow!("the sample `{path}`: {reason}"))?;
            requests.push(Named { name: sample.value.clone(), is_sample: true, is_done: true, request });
        }
        if Path::new(&tests_of(&file.path)).exists() {
            let suites = read_folder(&settings.routes, &settings.templates, &file.path, &destinations(settings))?;
            let cases = suites.suites.iter().flat_map(|suite| &suite.cases).filter(|case| case.broken.is_none());
            requests.extend(cases.map(Named::of_test));
        }
        let chosen = self.choose(source, &requests)?;
        Ok(draft_of(&chosen.request))
    }

    fn choose<'r>(&self, source: &Source, requests: &'r [Named]) -> anyhow::Result<&'r Named> {
        let stem = |path: &str| Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let listed = |is_sample: bool| {
            let names: Vec<&str> =
                requests.iter().filter(|one| one.is_sample == is_sample).map(|one| one.name.as_str()).collect();
            if names.is_empty() { "there is none".to_owned() } else { format!("there is `{}`", names.join("`, `")) }
        };
        if let Some(name) = &self.sample {
            let found =
                requests.iter().find(|one| one.is_sample && (one.name == *name || stem(&one.name).as_deref() == Some(name)));
            return found.ok_or_else(|| anyhow!("`{}` has no sample `{name}`\nhint: {}", source.name, listed(true)));
        }
        if let Some(name) = &self.test {
            let part = name.to_lowercase();
            let found = requests.iter().find(|one| !one.is_sample && one.name.to_lowercase().contains(&part));
            return found.ok_or_else(|| anyhow!("no test of `{}` is named like `{name}`\nhint: {}", source.name, listed(false)));
        }
        if let Some(event) = &self.event {
            let is_it = |one: &&Named| trial::events_of(source, &one.request).iter().any(|name| name == event);
            let found = requests.iter().filter(|one| one.is_done).find(is_it).or_else(|| requests.iter().find(is_it));
            return found.ok_or_else(|| {
                let mut events: Vec<String> = requests.iter().flat_map(|one| trial::events_of(source, &one.request)).collect();
                events.sort();
                events.dedup();
                anyhow!(
                    "no sample or test of `{}` is of the event `{event}`\nhint: there is `{}`",
                    source.name,
                    events.join("`, `")
                )
            });
        }
        let first = requests.iter().find(|one| one.is_done).or(requests.first());
        first.ok_or_else(|| anyhow!("`{}` has neither samples nor tests\nhint: `onboarding: {{ samples: [...] }}`", source.name))
    }

    /// Why it was refused, where the server is at hand.
    async fn explain(&self, settings: &Settings, answer: &SentAnswer) {
        let rejected = match ask(settings, Operation::ListRejected { source: self.source.clone() }).await {
            Ok(Answer::Rejected(rejected)) => rejected,
            _ => Vec::new(),
        };
        if let Some(last) = rejected.first().filter(|last| last.status == answer.status) {
            last.findings.iter().for_each(|finding| output::data(&format!("  - {finding}")));
        }
        match answer.status {
            401 => output::note(&format!("hint: `hooktable sources rejected {}` shows the request as it came", self.source)),
            404 => output::note("hint: no source receives this; `hooktable sources list` shows what is active"),
            503 => output::note("hint: `hooktable sources list` says whether the source is active, and why not"),
            _ => {}
        }
    }

    async fn wait_for(&self, settings: &Settings, id: &str) -> anyhow::Result<Exit> {
        let started = Instant::now();
        loop {
            let Answer::Delivery(view) = ask(settings, Operation::ShowDelivery { id: id.to_owned() }).await? else {
                return Err(unexpected());
            };
            let is_over = view.records.iter().all(|record| !record.state.is_open());
            if !is_over && started.elapsed() < Duration::from_secs(self.timeout) {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            view.records.iter().for_each(|record| output::data(&record_text(record, view.records.len())));
            if !is_over {
                output::note(&format!("not done after {} s; `hooktable deliveries show {id}` says more", self.timeout));
                return Ok(Exit::Problems);
            }
            let is_well = view.records.iter().all(|record| !matches!(record.state, RecordState::Dead | RecordState::Discarded));
            return Ok(if is_well { Exit::Fine } else { Exit::Problems });
        }
    }
}

/// A request that can be sent.
struct Named {
    name: String,
    is_sample: bool,
    /// Whether its rows are expected.
    is_done: bool,
    request: Request,
}

impl Named {
    fn of_test(case: &Case) -> Self {
        let is_done = case.expected.state == Some(RecordState::Done);
        Self { name: case.name.clone(), is_sample: false, is_done, request: case.request.arriving() }
    }
}

fn destinations(settings: &Settings) -> Vec<Destination> {
    let of = |database: &crate::target::DatabaseOptions| Destination {
        name: database.name.clone(),
        tenant_column: database.tenant_column.clone(),
    };
    settings.databases.iter().map(of).collect()
}

fn draft_of(request: &Request) -> Draft {
    let query = form_urlencoded::parse(request.query.as_bytes()).into_owned().collect();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = request.headers.iter().filter(|(name, _)| !OF_CONNECTIONS.contains(&name.as_str()));
    Draft {
        method: request.method.clone(),
        path: percent_encoding::percent_decode_str(&request.path).decode_utf8_lossy().into_owned(),
        query,
        headers: headers.map(|(name, value)| (name.clone(), text(value))).collect(),
        body: text(&request.body),
    }
}

async fn send_prepared(url: &str, prepared: &Prepared) -> anyhow::Result<SentAnswer> {
    let target = prepared.target.clone().secret();
    let headers: Vec<(String, String)> =
        prepared.headers.iter().map(|(name, value)| (name.clone(), value.clone().secret().expose().clone())).collect();
    let body = prepared.body.clone().secret().expose().clone().into_bytes();
    let sent = send_to(&prepared.method, &format!("{url}{}", target.expose()), &headers, body).await;
    sent.map_err(|reason| {
        anyhow!("it cannot be sent to {url}: {reason}\nhint: does a server run there? `--url` says where it is")
    })
}

fn delivery_of(answer: &SentAnswer) -> Option<String> {
    if answer.delivery.is_some() {
        return answer.delivery.clone();
    }
    let body: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
    Some(body.get("delivery")?.as_str()?.to_owned())
}

fn record_text(record: &RecordSummary, of: usize) -> String {
    let number = if of > 1 { format!("record {}: ", record.number) } else { String::new() };
    let event = record.event.as_ref().map(|event| format!("{event}: ")).unwrap_or_default();
    let reason = record.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let attempts = output::counted(record.attempts as usize, "attempt");
    format!("{number}{event}{} after {attempts}{reason}", record.state)
}
