//! Log lines: for people on the terminal, as JSON for machines. They go to standard error, one for each event.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::settings::environment_variable;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// What is logged when nobody says otherwise: our own lines, and what is wrong in libraries.
const FILTER: &str = "warn,hooktable=info";

/// Starts writing log lines. `filter` is like `info` or `hooktable=debug,warn`.
pub fn start(format: LogFormat, filter: Option<&str>) -> anyhow::Result<()> {
    let text = filter.unwrap_or(FILTER);
    let filter = EnvFilter::try_new(text).with_context(|| format!("`{text}` is no log filter; expected such as `{FILTER}`"))?;
    let registry = tracing_subscriber::registry().with(filter);
    // libraries know nothing of our secrets: what they say below a warning may hold URLs, headers or statements
    let registry = registry.with(FilterFn::new(|line| line.target().starts_with("hooktable") || *line.level() <= Level::WARN));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => registry.with(lines.with_ansi(colour_on_stderr())).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .context("log lines cannot be written")
}

/// Whether what goes to standard error may have colours.
pub fn colour_on_stderr() -> bool {
    std::io::stderr().is_terminal() && environment_variable("NO_COLOR").is_none()
}
