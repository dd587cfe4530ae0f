//! `hooktable try`: one request through the steps of a route file, step by step, without writing anything.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value as Json;

use super::flags::GlobalFlags;
use super::output;
use super::run::Exit;
use crate::app::settings::{EnvironmentSecrets, Settings};
use crate::app::sources::surroundings;
use crate::auth::secret::SecretReader;
use crate::clock::Clock;
use crate::config::diagnostic::Diagnostics;
use crate::model::attempt::{CallTrace, StepTrace};
use crate::rehearsal::trial::{self, Answers, End, StandIns, Trial, TriedRecord};
use crate::rehearsal::tried_change::TriedChange;
use crate::rehearsal::tried_forward::TriedForward;
use crate::rehearsal::tried_reply::TriedReply;
use crate::routes::folder::{Folder, read_companion};
use crate::routes::load::{Loaded, load};
use crate::routes::saved;
use crate::routes::source::Source;
use crate::routes::test_file::beside;

/// The flags of `try`.
#[derive(Debug, Args)]
pub struct Try {
    /// The route file
    file: PathBuf,
    /// The request: an `.http` file, a file with a body, the name of one of the file's samples, or `-`
    #[arg(long, value_name = "REQUEST")]
    request: Option<String>,
    /// The tenant that sends [default: that of the tests]
    #[arg(long)]
    tenant: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Really call the provider's APIs, with the real secrets
    #[arg(long)]
    live: bool,
}

impl Try {
    /// Tries it; says whether it would fail.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        let secrets: Box<dyn SecretReader + Send + Sync> = match self.live {
            true => Box::new(EnvironmentSecrets::new(Clock::system())),
            false => Box::new(StandIns),
        };
        let surroundings = surroundings(&settings, secrets);
        let world = surroundings.world();
        let loaded = load(&texts_around(&self.file, &settings)?, world, &[]);
        let Some(source) = source_of(&self.file, &loaded)? else { return Ok(Exit::Problems) };
        let text = request_text(self.request.as_deref(), &source)?;
        let request = saved::read(&text, &source.receive).map_err(|reason| anyhow::anyhow!("the request: {reason}"))?;
        let answers = if self.live { Answers::Live } else { Answers::Recorded };
        let trial = match trial::run(&source, &request, self.tenant.clone(), answers, world).await {
            Ok(trial) => trial,
            Err(reason) => {
                output::data(&format!("failed at receive: {reason}"));
                return Ok(Exit::Problems);
            }
        };
        if self.json {
            output::json(&trial)?;
        } else {
            output::data(text_of(&trial, self.live).trim_end());
        }
        Ok(if trial.fails() { Exit::Problems } else { Exit::Fine })
    }
}

/// The text of a saved request: a sample of the file by its name, a file, or standard input; without a name the first sample.
pub(super) fn request_text(name: Option<&str>, source: &Source) -> anyhow::Result<String> {
    let samples: Vec<&str> = source.samples.iter().map(|sample| sample.value.as_str()).collect();
    let sample = |path: &str| {
        let path = beside(&source.path, path);
        read_companion(&path).map_err(|reason| anyhow::anyhow!("the sample `{path}` {reason}"))
    };
    let Some(name) = name else {
        return match samples.as_slice() {
            [first, ..] => sample(first),
            [] => {
                bail!("which request? the file has no samples\nhint: `--request FILE`, or `--request -` for standard input")
            }
        };
    };
    if name == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    let stem = |path: &str| Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    match samples.iter().find(|path| ***path == *name || stem(path).as_deref() == Some(name)) {
        Some(path) if !Path::new(name).exists() => sample(path),
        _ => std::fs::read_to_string(name).with_context(|| match samples.as_slice() {
            [] => format!("cannot read the request `{name}`"),
            samples => format!("cannot read the request `{name}`; the file's samples are {}", samples.join(", ")),
        }),
    }
}

/// All route files beside one, as what they lend counts, and the templates.
pub(super) fn texts_around(file: &Path, settings: &Settings) -> anyhow::Result<crate::routes::load::Texts> {
    std::fs::metadata(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let folder = folder_of(file);
    let read = Folder::new(folder).with_templates(&settings.templates).read();
    read.with_context(|| format!("cannot read the folder `{}`", folder.display()))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The source that a file describes; when it has errors, they are printed and there is none.
pub(super) fn source_of(file: &Path, loaded: &Loaded) -> anyhow::Result<Option<Arc<Source>>> {
    let path = folder_of(file).join(file.file_name().unwrap_or_default()).to_string_lossy().into_owned();
    let Some(found) = loaded.files.iter().find(|one| one.path == path) else {
        bail!("`{path}` describes no source: a route file ends in `.yaml` and has more than `apis` and `secrets`");
    };
    if found.source.is_none() {
        let mut problems = Diagnostics::default();
        problems.append(found.diagnostics.clone());
        output::problems(&problems, &loaded.texts);
    }
    Ok(found.source.clone())
}

fn text_of(trial: &Trial, live: bool) -> String {
    let tenant = trial.tenant.as_ref().map(|tenant| format!(", tenant `{tenant}`")).unwrap_or_default();
    let secrets = if live { "calls are real" } else { "secrets are stand-ins" };
    let mut text =
        format!("source `{}`{tenant}; auth `{}` is not checked, {secrets}, nothing is written\n", trial.source, trial.auth);
    for record in &trial.records {
        if trial.records.len() > 1 {
            text.push_str(&format!("\nrecord {}\n", record.number));
        }
        text.push_str(&record_text(record));
    }
    text
}

fn record_text(record: &TriedRecord) -> String {
    let mut text = String::new();
    for StepTrace { step, added } in &record.steps {
        text.push_str(&format!("\n{step}\n"));
        for (name, value) in added.as_object().into_iter().flatten() {
            text.push_str(&format!("  {name}: {}\n", pretty(value)));
        }
    }
    if let Some(route) = &record.route {
        let route = if route.is_empty() { "the file" } else { route };
        let lane = record.lane.as_deref().filter(|lane| !lane.is_empty());
        text.push_str(&format!("\nroute: {route}\nlane: {}\n", lane.unwrap_or("one for the tenant and source")));
    }
    if !record.calls.is_empty() {
        text.push_str("\ncalls\n");
        record.calls.iter().for_each(|call| text.push_str(&call_text(call)));
    }
    text.push('\n');
    text.push_str(&end_text(&record.end));
    if !record.forwards.is_empty() {
        text.push_str("\nforwards\n");
        record.forwards.iter().for_each(|forward| text.push_str(&forward_text(forward)));
    }
    record.reply.iter().for_each(|reply| text.push_str(&reply_text(reply)));
    text
}

fn reply_text(reply: &TriedReply) -> String {
    let Some(status) = reply.status else {
        let reason = reply.reason.as_deref().unwrap_or_default();
        return format!("\nreply: cannot be made, so the sender is told the delivery's id: {reason}\n");
    };
    let mut text = match &reply.wait {
        Some(wait) => format!("\nreply: {status} once all records have ended, 202 after {wait}\n"),
        None => format!("\nreply: {status}\n"),
    };
    reply.headers.iter().for_each(|(name, value)| text.push_str(&format!("  {name}: {value}\n")));
    reply.body.iter().for_each(|body| text.push_str(&format!("  {body}\n")));
    text
}

fn forward_text(forward: &TriedForward) -> String {
    let mut text = match (&forward.method, &forward.url) {
        (Some(method), Some(url)) => format!("  {}: {method} {url}\n", forward.name),
        _ => format!("  {}: cannot be sent\n", forward.name),
    };
    // its id and time are made up here
    let ours = |name: &str| name.starts_with("webhook-") || name == "hooktable-hop";
    for (name, value) in forward.headers.iter().filter(|(name, _)| !ours(name)) {
        text.push_str(&format!("    {name}: {value}\n"));
    }
    forward.body.iter().for_each(|body| text.push_str(&format!("    {body}\n")));
    forward.reason.iter().for_each(|reason| text.push_str(&format!("    not sent: {reason}\n")));
    text
}

/// JSON on one line where it is short.
fn pretty(value: &Json) -> String {
    let short = value.to_string();
    if short.len() <= 100 {
        return short;
    }
    serde_json::to_string_pretty(value).unwrap_or(short).replace('\n', "\n  ")
}

fn call_text(call: &CallTrace) -> String {
    let CallTrace { name, method, url, status, .. } = call;
    match (status, &call.error) {
        (Some(status), _) => format!("  {name}: {method} {url} → {status}\n"),
        (None, Some(error)) if !error.contains("no recorded answer") => format!("  {name}: {method} {url}: {error}\n"),
        (None, _) => format!("  {name}: would call {method} {url}\n"),
    }
}

fn end_text(end: &End) -> String {
    match end {
        End::Changes { changes } if changes.is_empty() => "no rows would change\n".to_owned(),
        End::Changes { changes } => {
            let changes: String = changes.iter().map(change_text).collect();
            format!("changes\n{changes}")
        }
        End::Ignored { reason } => format!("ignored: {reason}\n"),
        End::WouldCall => {
            "what follows depends on an answer that no test beside the file records\nhint: record it under `apis:` of a test, or use `--live`\n"
                .to_owned()
        }
        End::Failed { failure } => {
            let step = serde_json::to_value(failure.step).ok().and_then(|step| step.as_str().map(str::to_owned));
            format!("failed at {}: {}\n", step.unwrap_or_default(), failure.reason)
        }
    }
}

fn change_text(change: &TriedChange) -> String {
    let mut text = format!("  {} {} in `{}`\n", change.verb, change.table, change.database);
    for statement in &change.statements {
        if let Some(when) = statement.when {
            text.push_str(&format!("    -- {when}\n"));
        }
        text.push_str(&format!("    {};\n", statement.sql));
        for run in &statement.runs {
            let values = run.iter().map(|(column, value)| format!("{column} = {value}"));
            text.push_str(&format!("    --   {}\n", values.collect::<Vec<_>>().join(", ")));
        }
    }
    text
}
