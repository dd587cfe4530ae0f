//! The command line: one file per command; the only place that prints.

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
}

/// Runs the command that the program was started with.
pub async fn run() -> anyhow::Result<ExitCode> {
    match Line::parse().command {
        Command::Test(arguments) => {
            let destinations = [Destination { name: "main".to_owned(), tenant_column: "tenant".to_owned() }];
            test::run(&arguments, Path::new("routes.d"), &destinations).await
        }
    }
}
