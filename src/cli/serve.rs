//! `hooktable serve`: the server, with a line for everything that a person should know.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::sync::broadcast::error::RecvError;

use super::flags::{Format, GlobalFlags};
use super::output;
use super::run::Exit;
use crate::app::control::explained;
use crate::app::operation::{SourceView, source_views};
use crate::app::server::{Notice, Server};
use crate::app::settings::{EnvironmentSecrets, Given, Resolved, Settings, resolve};
use crate::app::shutdown::StopSignals;
use crate::app::sources::all_problems;
use crate::app::telemetry::{self, LogFormat};
use crate::clock::Clock;
use crate::routes::registry::Reloaded;
use crate::routes::source::Source;
use crate::secret::Secret;

/// The flags of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where webhooks come to [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where health and metrics are [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// The URL that senders reach `--listen` by
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// A proxy between senders and `--listen`, whose word on who sent a request is taken: `10.0.0.7`, `10.0.0.0/8`; repeatable
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<String>,
    /// The state: a file, or the `postgres://` database that several servers share [default: sqlite://DATA/state.db]
    #[arg(long, value_name = "URL")]
    state: Option<String>,
    /// How many lanes are worked on side by side [default: 16]
    #[arg(long, value_name = "NUMBER")]
    workers: Option<usize>,
    /// Send calls for ORIGIN to a simulated API, before the address guard: `https://api.example.com=http://127.0.0.1:9000`
    #[arg(long, value_name = "ORIGIN=URL")]
    simulate_api: Vec<String>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogLines,
    /// What is logged: `info`, `warn,hooktable=debug`
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Show the settings and where each came from, and end
    #[arg(long)]
    print_config: bool,
    /// How `--print-config` answers
    #[arg(long, value_enum, default_value_t, requires = "print_config")]
    format: Format,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogLines {
    /// For people
    #[default]
    Text,
    /// An object a line
    Json,
}

impl Serve {
    /// Runs until it is asked to stop.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let given = global.given();
        let resolved = resolve(Given {
            state: self.state.map(Secret::new).or_else(|| given.state.clone()),
            listen: self.listen,
            admin_listen: self.admin_listen,
            public_url: self.public_url,
            trusted_proxies: self.trusted_proxy,
            workers: self.workers,
            simulate_api: self.simulate_api,
            ..given
        })?;
        if self.print_config {
            return print_config(&resolved, self.format);
        }
        let format = if self.log_format == LogLines::Json { LogFormat::Json } else { LogFormat::Text };
        telemetry::start(format, self.log.as_deref())?;
        let mut signals = StopSignals::listen()?;
        let clock = Clock::system();
        let secrets = Box::new(EnvironmentSecrets::new(clock.clone()));
        let settings = resolved.settings;
        let (server, reloaded) = match Server::start(settings.clone(), clock, secrets).await {
            Ok(started) => started,
            Err(error) => return Err(explained(&settings, error).await),
        };
        let mut notices = server.notices();
        tell_start(&server, &settings, &reloaded);
        drop(reloaded);
        let signal = loop {
            tokio::select! {
                signal = signals.next() => break signal,
                // nothing is ended in good order: what is on the disk is all there is
                reason = server.failed() => anyhow::bail!("the state cannot be written any more: {reason}\nhint: look after the disk, then start again; what was acknowledged before is there"),
                notice = notices.recv() => match notice {
                    Ok(notice) => tell(&notice, &server),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break "nothing left to do",
                },
            }
        };
        output::note(&format!("stopping on {signal}: ending what is under way"));
        tokio::select! {
            () = server.stop() => {}
            signal = signals.next() => anyhow::bail!("stopped at once on a second {signal}; what was under way is done again at the next start"),
        }
        output::note("stopped");
        Ok(Exit::Fine)
    }
}

fn print_config(resolved: &Resolved, format: Format) -> anyhow::Result<Exit> {
    match format {
        Format::Json => output::json(&resolved.shown)?,
        Format::Text => {
            let rows = resolved.shown.iter().map(|one| [one.name.clone(), one.value.clone(), one.from.clone()]);
            output::table(["setting", "value", "from"], rows);
        }
    }
    Ok(Exit::Fine)
}

fn tell_start(server: &Server, settings: &Settings, reloaded: &Reloaded) {
    output::problems(&all_problems(&reloaded.loaded), &reloaded.loaded.texts);
    let mut lines = vec![
        format!("hooktable {}", env!("CARGO_PKG_VERSION")),
        format!("  webhooks   http://{}", server.intake_address()),
        format!("  admin      http://{} (/healthz, /readyz, /metrics)", server.admin_address()),
        format!("  state      {}", settings.state.shown()),
        format!("  routes     {}", settings.routes.display()),
    ];
    if let Some(url) = &settings.public_url {
        lines.insert(2, format!("  public     {url}"));
    }
    for (origin, url) in &settings.simulate_api {
        lines.push(format!("  SIMULATED  {origin} is answered by {url}, without the address guard"));
    }
    lines.extend(source_lines(server));
    output::note(&lines.join("\n"));
}

/// A line per source: what it takes, or why it does not run.
fn source_lines(server: &Server) -> Vec<String> {
    let table = server.registry().table();
    let views = source_views(server.sources());
    if views.is_empty() {
        return vec!["  no sources yet: a route file in the folder becomes one by itself".to_owned()];
    }
    let line = |view: &SourceView| {
        let what = match (view.state.as_str(), &view.reason) {
            ("active", _) => table.source(&view.source).map_or_else(String::new, received),
            (_, reason) => reason.clone().unwrap_or_default(),
        };
        let word = match view.state.as_str() {
            "active" => "active",
            "last_good" => "LAST GOOD",
            _ => "NOT READY",
        };
        format!("  {word:<10} {} ({}): {what}", view.source, view.path)
    };
    views.iter().map(line).collect()
}

/// `POST /?APISource=eConomic*`.
fn received(source: &Arc<Source>) -> String {
    let receive = &source.receive;
    let values = |values: &[crate::steps::choose::Pattern]| values.iter().map(|one| one.text()).collect::<Vec<_>>().join("|");
    let query: Vec<String> = receive.query.iter().map(|(name, patterns)| format!("{name}={}", values(patterns))).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    format!("{} {}{query}", receive.methods.join("|"), receive.path_text())
}

fn tell(notice: &Notice, server: &Server) {
    match notice {
        Notice::Unreadable(reason) => output::note(&format!("{reason}; everything runs on as it was")),
        Notice::Reloaded { reloaded, news } => {
            output::problems(news, &reloaded.loaded.texts);
            for source in &reloaded.activated {
                output::note(&format!("activated {} ({})", source.name, source.path));
            }
            let views = source_views(server.sources());
            let about_news = |path: &str| {
                let mut places = news.all().iter().filter_map(|one| one.span);
                places.any(|span| reloaded.loaded.texts.file(span.file).path == path)
            };
            for view in views.iter().filter(|view| view.state != "active") {
                let vanished = reloaded.vanished.contains(&view.source);
                if vanished || about_news(&view.path) {
                    let what = if view.state == "last_good" { "keeps its last good version" } else { "is not ready" };
                    output::note(&format!("{} {what}: {}", view.source, view.reason.as_deref().unwrap_or_default()));
                }
            }
        }
    }
}
