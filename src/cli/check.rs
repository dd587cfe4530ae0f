//! `hooktable check`: all problems of the route files, found by the same loading and compiling that `serve` does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value as Json, json};

use super::flags::{Format, GlobalFlags};
use super::output;
use super::run::Exit;
use crate::app::settings::{EnvironmentSecrets, Settings};
use crate::app::sources::{all_problems, surroundings};
use crate::clock::Clock;
use crate::config::diagnostic::Diagnostics;
use crate::config::render;
use crate::routes::folder::Folder;
use crate::routes::load::{Loaded, load};

/// The flags of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Route files, or folders of them [default: the folder of route files]
    files: Vec<PathBuf>,
    /// How problems are told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What to look at: a folder, and perhaps only one file of it. What the others lend or take counts all the same.
struct Subject {
    folder: PathBuf,
    only: Option<String>,
}

impl Check {
    /// Tells all problems; says whether there are errors.
    pub fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        let subjects = if self.files.is_empty() {
            vec![Subject { folder: settings.routes.clone(), only: None }]
        } else {
            self.files.iter().map(|path| subject(path)).collect::<anyhow::Result<_>>()?
        };
        let mut report = Report { format: self.format, ..Report::default() };
        for subject in &subjects {
            report.add(&loaded(&settings, subject)?, subject)?;
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

fn loaded(settings: &Settings, subject: &Subject) -> anyhow::Result<Loaded> {
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
    let surroundings = surroundings(settings, Box::new(EnvironmentSecrets::new(Clock::system())));
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
        self.files += loaded.files.iter().filter(|file| is_meant(&file.path)).count();
        match self.format {
            Format::Text => self.texts.push(render::text(&shown, &loaded.texts, output::colour_on_stdout())),
            Format::Json => {
                if let Json::Array(objects) = render::json(&shown, &loaded.texts) {
                    self.objects.extend(objects);
                }
            }
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
            }
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
