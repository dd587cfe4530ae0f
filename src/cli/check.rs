//! `hooktable check`: all problems of the route files, found by the same loading and compiling that `serve` does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::explained;
use super::flags::GlobalFlags;
use super::output;
use super::run::Exit;
use crate::app::settings::{EnvironmentSecrets, Settings};
use crate::app::sources::{all_problems, surroundings};
use crate::clock::Clock;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::render;
use crate::config::render::sarif::{self, Finding};
use crate::routes::connected;
use crate::routes::expected::expected_tables;
use crate::routes::folder::Folder;
use crate::routes::load::{Loaded, load};
use crate::routes::registry::Surroundings;
use crate::target::Targets;

/// The flags of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Route files, or folders of them [default: the folder of route files]
    files: Vec<PathBuf>,
    /// How problems are told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also compare the writes with the live tables of the databases that they go to
    #[arg(long, conflicts_with = "explain")]
    connect: bool,
    /// What a code means, why it matters and how it is mended; without a code, all of them
    #[arg(long, value_name = "CODE", num_args = 0..=1, default_missing_value = "", conflicts_with = "files")]
    explain: Option<String>,
}

/// How problems are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For machines
    Json,
    /// For code hosts and editors: SARIF 2.1.0
    Sarif,
}

/// What to look at: a folder, and perhaps only one file of it. What the others lend or take counts all the same.
struct Subject {
    folder: PathBuf,
    only: Option<String>,
}

impl Check {
    /// Tells all problems; says whether there are errors.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        if let Some(code) = &self.explain {
            return explained::print(code, self.format == Format::Json);
        }
        let settings = global.settings()?;
        let subjects = if self.files.is_empty() {
            vec![Subject { folder: settings.routes.clone(), only: None }]
        } else {
            self.files.iter().map(|path| subject(path)).collect::<anyhow::Result<_>>()?
        };
        let mut report = Report { format: self.format, ..Report::default() };
        for subject in &subjects {
            let surroundings = surroundings(&settings, Box::new(EnvironmentSecrets::new(Clock::system())));
            let mut loaded = loaded(&surroundings, &settings, subject)?;
            if self.connect {
                connect(&surroundings, &settings, &mut loaded).await;
            }
            report.add(&loaded, subject)?;
        }
        report.print()
    }
}

fn subject(path: &Path) -> anyhow::Result<Subject> {
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    if metadata.is_dir() {
        return Ok(Subject { folder: path.to_owned(), only: None });
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.ends_with(".test.yaml") {
        bail!("`{}` holds tests; `hooktable test` runs them", path.display());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(Subject { folder: folder.to_owned(), only: Some(folder.join(name).to_string_lossy().into_owned()) })
}

/// Adds what the live tables say; a database that cannot be reached is a problem like others.
async fn connect(surroundings: &Surroundings, settings: &Settings, loaded: &mut Loaded) {
    let sources: Vec<_> = loaded.files.iter().filter_map(|file| file.source.as_ref().map(Arc::clone)).collect();
    let targets = Targets::open(settings.databases.clone(), Clock::system());
    for (name, tables) in expected_tables(&sources, surroundings.world()) {
        let Some(database) = targets.database(&name) else { continue };
        let named: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
        match database.tables_and(&named).await {
            Ok(live) => {
                let live = (database.dialect(), live.as_slice());
                connected::report(&sources, surroundings.world(), &name, live, &mut loaded.diagnostics);
            }
            Err(failure) => loaded.diagnostics.report(
                Diagnostic::without_place("database-unreachable", failure.reason).hint("is its `url` in `hooktable.yaml` right?"),
            ),
        }
    }
}

fn loaded(surroundings: &Surroundings, settings: &Settings, subject: &Subject) -> anyhow::Result<Loaded> {
    let folder = Folder::new(&subject.folder).with_templates(&settings.templates);
    let texts = folder.read().with_context(|| {
        format!("cannot read the folder of route files `{}`\nhint: `--routes` says where it is", subject.folder.display())
    })?;
    let named = |path: &String| {
        texts.routes.contains_key(path) || texts.misnamed.contains(path) || texts.unreadable.iter().any(|(one, _)| one == path)
    };
    if let Some(path) = subject.only.as_ref().filter(|path| !named(path)) {
        bail!("`{path}` is no route file: those end in `.yaml`");
    }
    Ok(load(&texts, surroundings.world(), &[]))
}

/// What there is to say.
#[derive(Default)]
struct Report {
    format: Format,
    files: usize,
    errors: usize,
    warnings: usize,
    texts: Vec<String>,
    objects: Vec<Json>,
    findings: Vec<Finding>,
    /// The code that is found first.
    code: Option<&'static str>,
}

impl Report {
    fn add(&mut self, loaded: &Loaded, subject: &Subject) -> anyhow::Result<()> {
        let mut shown = Diagnostics::default();
        let all = all_problems(loaded);
        let is_meant = |path: &str| subject.only.as_deref().is_none_or(|only| only == path);
        for problem in all.all() {
            let meant = match (problem.span, &subject.only) {
                (Some(span), _) => is_meant(&loaded.texts.file(span.file).path) || is_companion(loaded, problem, subject),
                (None, Some(only)) => problem.message.contains(&format!("`{only}`")),
                (None, None) => true,
            };
            if meant {
                shown.report(problem.clone());
            }
        }
        let (errors, warnings) = output::tally(&shown);
        self.errors += errors;
        self.warnings += warnings;
        self.code = self.code.or(shown.all().first().map(|one| one.code));
        self.files += loaded.files.iter().filter(|file| is_meant(&file.path)).count();
        match self.format {
            Format::Text => self.texts.push(render::text(&shown, &loaded.texts, output::colour_on_stdout())),
            Format::Json => {
                if let Json::Array(objects) = render::json(&shown, &loaded.texts) {
                    self.objects.extend(objects);
                }
            }
            Format::Sarif => self.findings.extend(sarif::findings(&shown, &loaded.texts)),
        }
        Ok(())
    }

    fn print(self) -> anyhow::Result<Exit> {
        match self.format {
            Format::Text => {
                let texts: Vec<String> = self.texts.into_iter().filter(|text| !text.is_empty()).collect();
                if !texts.is_empty() {
                    output::data(&texts.join("\n"));
                }
                output::data(&summary(self.files, self.errors, self.warnings));
                if let Some(code) = self.code {
                    output::note(&format!("more about a code: hooktable check --explain {code}"));
                }
            }
            Format::Sarif => output::json(&sarif::log(self.findings))?,
            Format::Json => output::json(&json!({
                "files": self.files,
                "errors": self.errors,
                "warnings": self.warnings,
                "diagnostics": self.objects,
            }))?,
        }
        Ok(if self.errors > 0 { Exit::Problems } else { Exit::Fine })
    }
}

/// Whether a problem of a sample is told because of the file that names it.
fn is_companion(loaded: &Loaded, problem: &crate::config::diagnostic::Diagnostic, subject: &Subject) -> bool {
    let mut related = problem.related.iter().map(|(span, _)| loaded.texts.file(span.file).path.as_str());
    related.any(|path| subject.only.as_deref() == Some(path))
}

fn summary(files: usize, errors: usize, warnings: usize) -> String {
    let files = output::counted(files, "route file");
    match (errors, warnings) {
        (0, 0) => format!("{files}, no problems"),
        _ => format!("{files}, {}, {}", output::counted(errors, "error"), output::counted(warnings, "warning")),
    }
}
