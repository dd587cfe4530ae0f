//! `hooktable simulate`: a folder of JSON files as a provider's API, offline.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::output;
use super::run::Exit;
use crate::app::shutdown::StopSignals;
use crate::rehearsal::simulate::Simulation;

/// The flags of `simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The folder: `orders/sent/7.json` answers `GET /orders/sent/7`
    folder: PathBuf,
    /// Where it listens; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    listen: SocketAddr,
}

impl Simulate {
    /// Serves until it is asked to stop.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let mut signals = StopSignals::listen()?;
        let started = Simulation::start(&self.folder, self.listen).await;
        let simulation =
            started.with_context(|| format!("cannot serve the folder `{}` on {}", self.folder.display(), self.listen))?;
        output::data(&simulation.url());
        output::note(&format!(
            "serving `{}`; use it with `hooktable serve --simulate-api https://api.example.com={}`",
            self.folder.display(),
            simulation.url()
        ));
        signals.next().await;
        simulation.stop().await;
        Ok(Exit::Fine)
    }
}
