//! `hooktable test`: runs the tests beside route files, through the real handler and a real database, with recorded APIs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::flags::GlobalFlags;
use super::output;
use super::run::Exit;
use super::test_report::{self, Paint};
use super::test_watch;
use crate::app::settings::Settings;
use crate::config::diagnostic::Severity;
use crate::config::render;
use crate::rehearsal::cases::Case;
use crate::rehearsal::hostile;
use crate::rehearsal::report::Outcome;
use crate::rehearsal::run::run as run_case;
use crate::rehearsal::suite::{self, Suite, Suites, route_of};
use crate::steps::map::Destination;
use crate::target::DatabaseOptions;

/// How many tests are under way at once: most of their time is waiting for a disk.
const SIDE_BY_SIDE: usize = 8;

/// Which tests are run, and how they are told of.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Route files, test files or folders [default: the folder of route files]
    files: Vec<PathBuf>,
    /// How the results are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Only tests whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Run every test that passes again under hostile conditions: delivered twice, flipped bytes, failing APIs, dying workers
    #[arg(long)]
    hostile: bool,
    /// With --hostile, a line for every variant, also for those that do not apply
    #[arg(short, long, requires = "hostile")]
    verbose: bool,
    /// Run again what a change touches, until ctrl-c
    #[arg(long, conflicts_with = "format")]
    watch: bool,
    /// Only tests whose name contains one of these
    #[arg(last = true, value_name = "NAME")]
    filter: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line per test
    Text,
    /// JUnit's XML
    Junit,
    /// One JSON object
    Json,
}

impl Test {
    /// Runs them.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        let destination = |database: &DatabaseOptions| Destination {
            name: database.name.clone(),
            tenant_column: database.tenant_column.clone(),
        };
        let destinations: Vec<Destination> = settings.databases.iter().map(destination).collect();
        if self.watch {
            return test_watch::run(&self, &settings, &destinations).await;
        }
        let found = self.find(&settings, &destinations)?;
        run_found(&self, &found).await
    }

    /// Reads what there is to run.
    pub(super) fn find(&self, settings: &Settings, destinations: &[Destination]) -> anyhow::Result<Vec<Suites>> {
        let mut found = Vec::new();
        for (folder, only) in &folders_of(&self.files, &settings.routes)? {
            let read = suite::read(folder, &settings.templates, only.as_ref(), destinations);
            found.push(read.with_context(|| format!("cannot read the folder `{}`", folder.display()))?);
        }
        Ok(found)
    }

    /// The folders of the route files that are meant.
    pub(super) fn folders(&self, settings: &Settings) -> anyhow::Result<Vec<PathBuf>> {
        Ok(folders_of(&self.files, &settings.routes)?.into_keys().collect())
    }

    /// Those that are wanted, each as its suite and its number in that.
    fn choose(&self, suites: &[&Arc<Suite>]) -> Vec<(Arc<Suite>, usize)> {
        let wanted = |suite: &Arc<Suite>| {
            let numbers = (0..suite.cases.len()).filter(|number| self.wants(&suite.cases[*number]));
            numbers.map(|number| (Arc::clone(suite), number)).collect::<Vec<_>>()
        };
        suites.iter().flat_map(|suite| wanted(suite)).collect()
    }

    fn wants(&self, case: &Case) -> bool {
        let name = case.name.to_lowercase();
        let mut wanted = self.only.iter().chain(&self.filter).peekable();
        wanted.peek().is_none() || wanted.any(|part| name.contains(&part.to_lowercase()))
    }
}

async fn run_found(arguments: &Test, found: &[Suites]) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let problems = count_problems(found);
    let all: Vec<&Arc<Suite>> = found.iter().flat_map(|suites| &suites.suites).collect();
    let chosen = arguments.choose(&all);
    if chosen.is_empty() && problems == 0 {
        bail!("{}", nothing_to_run(arguments, found));
    }
    let paint = Paint { colour: output::colour_on_stdout() };
    let outcomes = run_all(&chosen, arguments, paint).await?;
    match arguments.format {
        Format::Text => {
            print_problems(found);
            out(&format!("\n{}", test_report::summary(&outcomes, problems, started.elapsed(), paint)))?;
        }
        Format::Junit => {
            let problems: Vec<String> = found.iter().map(|suites| render::text(&suites.problems, &suites.texts, false)).collect();
            let problems: Vec<String> = problems.into_iter().filter(|text| !text.is_empty()).collect();
            out(&test_report::junit(&outcomes, &problems))?;
        }
        Format::Json => {
            let problems: Vec<_> = found.iter().map(|suites| render::json(&suites.problems, &suites.texts)).collect();
            let problems: Vec<_> = problems.iter().filter_map(|list| list.as_array()).flatten().collect();
            out(&format!("{:#}\n", json!({ "tests": test_report::json(&outcomes), "problems": problems })))?;
        }
    }
    let all_passed = outcomes.iter().all(Outcome::is_passed);
    Ok(if all_passed && problems == 0 { Exit::Fine } else { Exit::Problems })
}

/// Runs the tests of some test files and prints what they came to: one round of `--watch`.
pub(super) async fn run_some(arguments: &Test, found: &[Suites], suites: &[&Arc<Suite>]) -> anyhow::Result<()> {
    let started = Instant::now();
    let chosen = arguments.choose(suites);
    let paint = Paint { colour: output::colour_on_stdout() };
    let outcomes = run_all(&chosen, arguments, paint).await?;
    print_problems(found);
    out(&format!("\n{}", test_report::summary(&outcomes, count_problems(found), started.elapsed(), paint)))
}

fn count_problems(found: &[Suites]) -> usize {
    let all = found.iter().flat_map(|suites| suites.problems.all());
    all.filter(|problem| problem.severity == Severity::Error).count()
}

/// The folders to look into, each with the route files that are meant when not all are.
fn folders_of(files: &[PathBuf], routes: &Path) -> anyhow::Result<BTreeMap<PathBuf, Option<BTreeSet<String>>>> {
    let mut folders: BTreeMap<PathBuf, Option<BTreeSet<String>>> = BTreeMap::new();
    if files.is_empty() {
        folders.insert(routes.to_owned(), None);
    }
    for file in files {
        if file.is_dir() {
            folders.insert(file.clone(), None);
            continue;
        }
        if !file.exists() {
            bail!("there is no file or folder `{}`", file.display());
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = file.file_name().unwrap_or_default();
        let path = route_of(&folder.join(name).to_string_lossy());
        if let Some(only) = folders.entry(folder.to_owned()).or_insert_with(|| Some(BTreeSet::new())) {
            only.insert(path);
        }
    }
    Ok(folders)
}

async fn run_all(chosen: &[(Arc<Suite>, usize)], arguments: &Test, paint: Paint) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(chosen.len());
    // tasks of their own use all processors
    let start = |(suite, number): &(Arc<Suite>, usize)| tokio::spawn(outcome_of(Arc::clone(suite), *number, arguments.hostile));
    let mut running = std::pin::pin!(stream::iter(chosen).map(start).buffered(SIDE_BY_SIDE));
    let mut path = String::new();
    while let Some(outcome) = running.next().await {
        let outcome = outcome.context("a test was cut off")?;
        if arguments.format == Format::Text {
            if outcome.path != path {
                let gap = if path.is_empty() { "" } else { "\n" };
                path.clone_from(&outcome.path);
                out(&format!("{gap}{path}\n"))?;
            }
            out(&test_report::text(&outcome, paint, arguments.verbose))?;
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// One test, and where it passes the same under hostile conditions.
async fn outcome_of(suite: Arc<Suite>, number: usize, hostile: bool) -> Outcome {
    let case = &suite.cases[number];
    if hostile { hostile::run(&suite, case).await } else { run_case(&suite, case).await }
}

fn nothing_to_run(arguments: &Test, found: &[Suites]) -> String {
    let names: Vec<&str> =
        found.iter().flat_map(|suites| &suites.suites).flat_map(|suite| &suite.cases).map(|case| case.name.as_str()).collect();
    match names.as_slice() {
        [] => "there are no tests\nhint: tests stand beside what they test: `NAME.test.yaml` beside `NAME.yaml`".to_owned(),
        [first, ..] => {
            let wanted: Vec<String> = arguments.only.iter().chain(&arguments.filter).map(|part| format!("`{part}`")).collect();
            format!("no test's name contains {}\nhint: there are {}, the first is `{first}`", wanted.join(" or "), names.len())
        }
    }
}

fn print_problems(found: &[Suites]) {
    found.iter().for_each(|suites| output::problems(&suites.problems, &suites.texts));
}

/// Writes to standard output; nobody reading it is no fault of ours.
pub(super) fn out(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}
