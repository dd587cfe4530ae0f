//! From arguments to an exit code: 0 fine; 1 the user's files, tests or data have errors; 2 the command could not run.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use super::flags::GlobalFlags;
use super::{Command, output};

/// A routing table for webhooks, into your tables.
#[derive(Debug, Parser)]
#[command(name = "hooktable", version, max_term_width = 100)]
struct CommandLine {
    #[command(flatten)]
    global: GlobalFlags,
    #[command(subcommand)]
    command: Command,
}

/// How a command ended that could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Fine,
    /// The user's files, tests or data have errors.
    Problems,
}

/// Runs the command that the arguments name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&anyhow::Error::new(error).context("cannot start"));
            return ExitCode::from(2);
        }
    };
    let result = runtime.block_on(run_command(line));
    // what still runs in the background was either stopped in good order before, or is not to be waited for
    runtime.shutdown_background();
    match result {
        Ok(Exit::Fine) => ExitCode::SUCCESS,
        Ok(Exit::Problems) => ExitCode::from(1),
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}

async fn run_command(line: CommandLine) -> anyhow::Result<Exit> {
    let CommandLine { global, command } = line;
    match command {
        Command::Serve(serve) => serve.run(global).await,
        Command::Check(check) => check.run(global).await,
        Command::Schema(schema) => schema.run(),
        Command::Test(test) => test.run(global).await,
        Command::Explain(explain) => explain.run(global),
        Command::New(new) => new.run(global),
        Command::CheckSignature(check) => check.run(global),
        Command::Try(one) => one.run(global).await,
        Command::Demo(demo) => demo.run(global).await,
        Command::Send(send) => send.run(global).await,
        Command::Tenants(tenants) => tenants.run(global).await,
        Command::Keys(keys) => keys.run(global).await,
        Command::Integrations(integrations) => integrations.run(global).await,
        Command::Users(users) => users.run(global).await,
        Command::Secrets(secrets) => secrets.run(global).await,
        Command::Deliveries(deliveries) => deliveries.run(global).await,
        Command::Sources(sources) => sources.run(global).await,
        Command::Tables(tables) => tables.run(global).await,
        Command::Simulate(simulate) => simulate.run().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_well_declared() {
        CommandLine::command().debug_assert();
    }
}
