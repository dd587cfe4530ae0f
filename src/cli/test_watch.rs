//! `hooktable test --watch`: runs again what a change touches, until it is told to stop.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::future::select_all;
use tokio::sync::Notify;

use super::output;
use super::run::Exit;
use super::test::{Test, out, run_some};
use crate::app::settings::Settings;
use crate::app::shutdown::StopSignals;
use crate::rehearsal::suite::{Suite, Suites};
use crate::routes::folder::Folder;
use crate::routes::reload;
use crate::steps::map::Destination;

/// Moves the cursor home and clears the screen and what was scrolled off it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// What each test file was made of when it was run, by its path.
type Run = BTreeMap<String, [u8; 32]>;

/// Runs all, then what changes touch.
pub(super) async fn run(arguments: &Test, settings: &Settings, destinations: &[Destination]) -> anyhow::Result<Exit> {
    let mut signals = StopSignals::listen().context("cannot listen for signals")?;
    let mut was_run = Run::new();
    let mut problems = None;
    loop {
        let folders = arguments.folders(settings)?;
        let found = arguments.find(settings, destinations);
        let companions = found.iter().flatten().flat_map(|suites| suites.companions.iter().cloned()).collect();
        let running = async {
            match &found {
                Ok(found) => round(arguments, found, &mut was_run, &mut problems).await,
                // a folder that is being replaced comes back
                Err(error) => {
                    output::error(error);
                    Ok(())
                }
            }
        };
        // what changes while tests run counts too
        let changing = async {
            changed(&folders, settings, companions).await;
            Ok(())
        };
        let both = async { tokio::try_join!(running, changing) };
        tokio::select! {
            done = both => drop(done?),
            _ = signals.next() => return Ok(Exit::Fine),
        }
    }
}

/// Runs what differs from what was run last; says nothing when nothing does.
async fn round(arguments: &Test, found: &[Suites], was_run: &mut Run, told: &mut Option<Vec<String>>) -> anyhow::Result<()> {
    let all = || found.iter().flat_map(|suites| &suites.suites);
    let chosen: Vec<&Arc<Suite>> = all().filter(|suite| was_run.get(&suite.path) != Some(&suite.digest)).collect();
    let problems: Vec<String> = found.iter().flat_map(|suites| suites.problems.all()).map(|one| format!("{one:?}")).collect();
    *was_run = all().map(|suite| (suite.path.clone(), suite.digest)).collect();
    if chosen.is_empty() && told.as_ref() == Some(&problems) {
        return Ok(());
    }
    *told = Some(problems);
    if std::io::stdout().is_terminal() {
        out(CLEAR)?;
    }
    run_some(arguments, found, &chosen).await?;
    out("waiting for changes; ctrl-c ends it\n")
}

/// Until something in one of the folders, or beside their files, looks different.
async fn changed(folders: &[PathBuf], settings: &Settings, companions: Vec<PathBuf>) {
    let change = Arc::new(Notify::new());
    let watching = folders.iter().map(|folder| {
        let folder = Folder::new(folder).with_templates(&settings.templates).with_companions(companions.iter().cloned());
        let change = Arc::clone(&change);
        Box::pin(reload::watch(folder, move |_| {
            change.notify_one();
            std::future::ready(())
        }))
    });
    tokio::select! {
        () = change.notified() => {}
        _ = select_all(watching) => {}
    }
}
