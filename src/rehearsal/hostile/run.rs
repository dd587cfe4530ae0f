//! Runs a test and then its variants, one after the other.

use std::time::Instant;

use super::base::Base;
use super::{Finding, Variant, VariantOutcome, mishaps, older, refused, repeats};
use crate::rehearsal::cases::Case;
use crate::rehearsal::project::Project;
use crate::rehearsal::report::{Outcome, Verdict};
use crate::rehearsal::run::{outcome, prepare, run as run_once};
use crate::rehearsal::suite::Suite;

/// One variant's stage: the test, what it comes to when nothing goes wrong, and a project in which it has not run yet.
pub(super) struct Stage<'a> {
    /// Where the test stands.
    pub(super) suite: &'a Suite,
    /// The test.
    pub(super) case: &'a Case,
    /// What it comes to.
    pub(super) base: &'a Base,
    /// Its own project.
    pub(super) project: Project,
}

/// Runs a test, and where it passes all its variants.
pub async fn run(suite: &Suite, case: &Case) -> Outcome {
    if suite.source.admission.routes.iter().any(|route| route.reply.as_ref().is_some_and(|reply| reply.wait.is_some())) {
        return run_with_base_of_its_own(suite, case).await;
    }
    let started = Instant::now();
    let base = match Base::of(suite, case).await {
        Ok(base) => base,
        Err(reason) => return outcome(suite, case, Verdict::Broken(reason), started),
    };
    if !base.mismatches.is_empty() {
        let verdict = Verdict::Failed { mismatches: base.mismatches, seen: base.seen };
        return outcome(suite, case, verdict, started);
    }
    let passed = outcome(suite, case, Verdict::Passed, started);
    Outcome { variants: variants(suite, case, &base).await, ..passed }
}

/// The same where senders wait for their rows, which the variants let nobody do.
async fn run_with_base_of_its_own(suite: &Suite, case: &Case) -> Outcome {
    let ordinary = run_once(suite, case).await;
    if !ordinary.verdict.is_passed() {
        return ordinary;
    }
    let started = Instant::now();
    let variants = match Base::of(suite, case).await {
        Ok(base) => variants(suite, case, &base).await,
        Err(reason) => {
            vec![VariantOutcome { variant: Variant::Again, took: started.elapsed(), finding: Finding::Broken(reason) }]
        }
    };
    Outcome { variants, ..ordinary }
}

async fn variants(suite: &Suite, case: &Case, base: &Base) -> Vec<VariantOutcome> {
    let mut outcomes = Vec::new();
    let mut quiet = None;
    for variant in Variant::ALL {
        let started = Instant::now();
        let finding = match not_applicable(variant, suite, case, base) {
            Some(reason) => Finding::NotApplicable(reason),
            None => finding_of(variant, suite, case, base, &mut quiet).await.unwrap_or_else(Finding::Broken),
        };
        outcomes.push(VariantOutcome { variant, took: started.elapsed(), finding });
    }
    if let Some(stage) = quiet {
        stage.project.close().await;
    }
    outcomes
}

/// Runs one. What must be refused needs no stage of its own: it comes to the one in which the delivery was repeated, `quiet` since.
async fn finding_of<'a>(
    variant: Variant,
    suite: &'a Suite,
    case: &'a Case,
    base: &'a Base,
    quiet: &mut Option<Stage<'a>>,
) -> Result<Finding, String> {
    match variant {
        Variant::FailingApi => mishaps::failing_calls(suite, case, base).await,
        Variant::Older => older::both_orders(suite, case, base).await,
        Variant::AtOnce | Variant::StalledWorker => {
            let stage = Stage::new(suite, case, base).await?;
            let finding = match variant {
                Variant::AtOnce => repeats::at_once(&stage).await,
                _ => mishaps::stalled(&stage).await,
            };
            stage.project.close().await;
            finding
        }
        Variant::Again | Variant::FlippedByte | Variant::Stale => {
            let stage = match quiet {
                Some(stage) => stage,
                None => quiet.insert(Stage::new(suite, case, base).await?),
            };
            match variant {
                Variant::Again => repeats::again(stage).await,
                Variant::FlippedByte => refused::flipped(stage).await,
                _ => refused::stale(stage).await,
            }
        }
    }
}

/// Why a variant says nothing about a test, where it does not.
fn not_applicable(variant: Variant, suite: &Suite, case: &Case, base: &Base) -> Option<String> {
    let is_repeat = matches!(variant, Variant::Again | Variant::AtOnce);
    if !(200..300).contains(&base.seen.status) {
        return Some("the request is refused".to_owned());
    }
    match variant {
        Variant::FlippedByte | Variant::Stale if case.broken.is_some() => {
            Some("the test brings its own credentials (`auth: none`)".to_owned())
        }
        Variant::FlippedByte if base.placed.is_empty() => {
            Some(format!("`{}` declares that nothing of a request proves its sender", suite.source.name))
        }
        Variant::Stale if case.stale.is_none() && !case.has_token_with_an_end() => {
            Some("no request is too old: there is no `tolerance`".to_owned())
        }
        _ if is_repeat || matches!(variant, Variant::FlippedByte | Variant::Stale) => None,
        _ if base.seen.worst.is_none() => Some("a handshake stores nothing".to_owned()),
        Variant::FailingApi if base.calls_at_work == 0 => Some("no API is called".to_owned()),
        Variant::StalledWorker if base.attempts == 0 => Some("nothing is left to a worker".to_owned()),
        _ => None,
    }
}

impl<'a> Stage<'a> {
    /// A fresh one.
    pub(super) async fn new(suite: &'a Suite, case: &'a Case, base: &'a Base) -> Result<Self, String> {
        let blank = suite.blank().await?;
        let project = Project::new(blank, case.answers.clone()).await?;
        project.tools.store.waiting().close();
        prepare(suite, blank, case, &project).await?;
        Ok(Self { suite, case, base, project })
    }
}
