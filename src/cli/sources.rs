//! `hooktable sources`: how every source is doing.

use clap::Subcommand;

use super::flags::{Format, GlobalFlags, ask, unexpected};
use super::output;
use super::run::Exit;
use crate::app::operation::{Answer, Operation};

/// What can be done with sources.
#[derive(Debug, Subcommand)]
pub enum Sources {
    /// List all sources: which run, which do not and why
    List {
        /// How they are listed
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

impl Sources {
    /// Does it.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        let Self::List { format } = self;
        let Answer::Sources(sources) = ask(&settings, Operation::ListSources).await? else { return Err(unexpected()) };
        match format {
            Format::Json => output::json(&sources)?,
            Format::Text if sources.is_empty() => output::note("there are no sources yet: a route file becomes one"),
            Format::Text => {
                let rows = sources.into_iter().map(|source| {
                    [source.source, source.state.replace('_', " "), source.path, source.reason.unwrap_or_default()]
                });
                output::table(["source", "state", "file", "why"], rows);
            }
        }
        Ok(Exit::Fine)
    }
}
