//! `hooktable sources`: how every source is doing, and what one needs to be set up.

use clap::Subcommand;

use super::flags::{Format, GlobalFlags, ask, unexpected};
use super::onboarding_text;
use super::output;
use super::run::Exit;
use super::waits_text;
use crate::app::operation::{Answer, Operation};
use crate::app::retire::Retired;
use crate::app::settings::Settings;
use crate::app::source_operations::Onboarding;

/// What can be done with sources.
#[derive(Debug, Subcommand)]
pub enum Sources {
    /// List all sources: which run, which do not and why
    List {
        /// How they are listed
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Open a window of 24 hours in which what handshakes of a source show is kept for you to read
    Onboard {
        /// Its name
        name: String,
        /// Only list what was shown; open nothing
        #[arg(long)]
        values: bool,
        /// How it is shown
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show why work of a source waits, and what its handshakes have shown: a provider's secret for you to copy, say
    Show {
        /// Its name
        name: String,
        /// How it is shown
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the last requests of a source that were refused, and why; secrets are masked
    Rejected {
        /// Its name
        name: String,
        /// How they are listed
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Forget a source whose file is gone: its senders get 404 instead of being told to come again
    Retire {
        /// Its name
        name: String,
        /// Also while records of it are not done; they wait for a file of that name
        #[arg(long)]
        force: bool,
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

impl Sources {
    /// Does it.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        match self {
            Self::List { format } => list(&settings, format).await,
            Self::Onboard { name, values: false, format } => {
                let onboarding = onboarding_of(&settings, Operation::OnboardSource { source: name }).await?;
                onboarding_text::print_window(&onboarding, format)?;
                Ok(Exit::Fine)
            }
            Self::Show { name, format } => {
                let Answer::Source(details) = ask(&settings, Operation::ShowSource { source: name }).await? else {
                    return Err(unexpected());
                };
                waits_text::print(&details, format)?;
                Ok(Exit::Fine)
            }
            Self::Onboard { name, values: true, format } => {
                let onboarding = onboarding_of(&settings, Operation::ShowHandshakes { source: name }).await?;
                onboarding_text::print_values(&onboarding, format)?;
                Ok(Exit::Fine)
            }
            Self::Rejected { name, format } => {
                let operation = Operation::ListRejected { source: name };
                let Answer::Rejected(rejected) = ask(&settings, operation).await? else { return Err(unexpected()) };
                onboarding_text::print_rejected(&rejected, format)?;
                Ok(Exit::Fine)
            }
            Self::Retire { name, force, format } => {
                let operation = Operation::RetireSource { source: name, force };
                let Answer::Retired(retired) = ask(&settings, operation).await? else { return Err(unexpected()) };
                let Retired { source, open } = &retired;
                let waiting = if *open == 0 {
                    String::new()
                } else {
                    format!("; {} of it wait", output::counted(usize::try_from(*open)?, "record"))
                };
                output::note(&format!("retired {source}{waiting}"));
                if format == Format::Json {
                    output::json(&retired)?;
                }
                Ok(Exit::Fine)
            }
        }
    }
}

async fn onboarding_of(settings: &Settings, operation: Operation) -> anyhow::Result<Onboarding> {
    let Answer::Onboarding(onboarding) = ask(settings, operation).await? else { return Err(unexpected()) };
    Ok(onboarding)
}

async fn list(settings: &Settings, format: Format) -> anyhow::Result<Exit> {
    let Answer::Sources(sources) = ask(settings, Operation::ListSources).await? else { return Err(unexpected()) };
    match format {
        Format::Json => output::json(&sources)?,
        Format::Text if sources.is_empty() => output::note("there are no sources yet: a route file becomes one"),
        Format::Text => {
            let rows = sources
                .into_iter()
                .map(|source| [source.source, source.state.replace('_', " "), source.path, source.reason.unwrap_or_default()]);
            output::table(["source", "state", "file", "why"], rows);
        }
    }
    Ok(Exit::Fine)
}
