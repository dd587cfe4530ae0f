//! `hooktable sources`: how every source is doing.

use clap::Subcommand;

use super::flags::{Format, GlobalFlags, ask, unexpected};
use super::output;
use super::run::Exit;
use crate::app::operation::{Answer, Operation};
use crate::app::retire::Retired;
use crate::app::settings::Settings;

/// What can be done with sources.
#[derive(Debug, Subcommand)]
pub enum Sources {
    /// List all sources: which run, which do not and why
    List {
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
    },
}

impl Sources {
    /// Does it.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        match self {
            Self::List { format } => list(&settings, format).await,
            Self::Retire { name, force } => {
                let operation = Operation::RetireSource { source: name, force };
                let Answer::Retired(Retired { source, open }) = ask(&settings, operation).await? else {
                    return Err(unexpected());
                };
                let waiting = if open == 0 {
                    String::new()
                } else {
                    format!("; {} of it wait", output::counted(usize::try_from(open)?, "record"))
                };
                output::note(&format!("retired {source}{waiting}"));
                Ok(Exit::Fine)
            }
        }
    }
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
