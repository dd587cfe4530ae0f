//! The command line: one file per command; the only place that prints.

mod demo;
mod demo_text;
mod test;
mod test_report;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::steps::map::Destination;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Test(test::Arguments),
    Demo(demo::Arguments),
}

/// Runs the command that the program was started with; 2 when it could not run.
pub async fn run() -> ExitCode {
    run_command().await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

async fn run_command() -> anyhow::Result<ExitCode> {
    crate::app::telemetry::start(crate::app::telemetry::LogFormat::Text, Some("warn"))?;
    match Line::parse().command {
        Command::Test(arguments) => {
            let destinations = [Destination { name: "main".to_owned(), tenant_column: "tenant".to_owned() }];
            test::run(&arguments, Path::new("routes.d"), &destinations).await
        }
        Command::Demo(arguments) => demo::run(&arguments).await,
    }
}
