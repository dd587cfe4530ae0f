//! Flags that several commands share, and how they become settings.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::app::control;
use crate::app::operation::{Answer, Operation};
use crate::app::settings::{EnvironmentSecrets, Given, Resolved, Settings, resolve};
use crate::clock::Clock;
use crate::secret::Secret;

/// Flags that every command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct GlobalFlags {
    /// The settings file [default: hooktable.yaml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of route files [default: routes.d]
    #[arg(long, global = true, value_name = "FOLDER")]
    routes: Option<PathBuf>,
    /// The folder of what route files include [default: templates]
    #[arg(long, global = true, value_name = "FOLDER")]
    templates: Option<PathBuf>,
    /// The folder of state, tables, key file and control socket [default: data]
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The state [default: sqlite://DATA/state.db]
    // not global: the deliveries have a state too
    #[arg(id = "state_url", long = "state", value_name = "URL")]
    state: Option<String>,
}

impl GlobalFlags {
    /// What they say, for more flags to be added.
    pub fn given(self) -> Given {
        Given {
            config: self.config,
            routes: self.routes,
            templates: self.templates,
            data: self.data,
            state: self.state.map(Secret::new),
            ..Given::default()
        }
    }

    /// The settings, with nothing else said on the command line.
    pub fn settings(self) -> anyhow::Result<Settings> {
        Ok(self.resolved()?.settings)
    }

    /// The settings and where they came from.
    pub fn resolved(self) -> anyhow::Result<Resolved> {
        resolve(self.given())
    }
}

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For machines
    Json,
}

/// The language of a text for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// English
    #[default]
    En,
    /// Danish
    Da,
    /// German
    De,
}

impl Language {
    /// `en`, `da`, `de`.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Da => "da",
            Self::De => "de",
        }
    }
}

/// Has an operation done by the running server, or here when none runs.
pub async fn ask(settings: &Settings, operation: Operation) -> anyhow::Result<Answer> {
    let clock = Clock::system();
    let secrets = Box::new(EnvironmentSecrets::new(clock.clone()));
    match control::ask(settings, clock, secrets, operation).await {
        Ok(answer) => Ok(answer),
        Err(error) => Err(control::explained(settings, error).await),
    }
}

/// An answer that no server of this version gives to what was asked.
pub fn unexpected() -> anyhow::Error {
    anyhow::anyhow!("the server gave another answer than was asked for\nhint: are server and command the same version?")
}
