//! Runs the variants of one test, one after the other.

use std::time::Instant;

use super::base::Base;
use super::{Finding, Variant, VariantOutcome, mishaps, older, refused, repeats};
use crate::rehearsal::cases::Case;
use crate::rehearsal::project::Project;
use crate::rehearsal::run::prepare;
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

/// Runs all variants of a test that passes.
pub async fn run(suite: &Suite, case: &Case) -> Vec<VariantOutcome> {
    let started = Instant::now();
    let base = match Base::of(suite, case).await {
        Ok(base) => base,
        Err(reason) => {
            let finding = Finding::Broken(reason);
            return vec![VariantOutcome { variant: Variant::Again, took: started.elapsed(), finding }];
        }
    };
    let mut outcomes = Vec::new();
    for variant in Variant::ALL {
        let started = Instant::now();
        let finding = finding_of(variant, suite, case, &base).await.unwrap_or_else(Finding::Broken);
        outcomes.push(VariantOutcome { variant, took: started.elapsed(), finding });
    }
    outcomes
}

async fn finding_of(variant: Variant, suite: &Suite, case: &Case, base: &Base) -> Result<Finding, String> {
    if let Some(reason) = not_applicable(variant, suite, case, base) {
        return Ok(Finding::NotApplicable(reason));
    }
    match variant {
        Variant::FailingApi => mishaps::failing_calls(suite, case, base).await,
        Variant::Older => older::both_orders(suite, case, base).await,
        _ => {
            let stage = Stage::new(suite, case, base).await?;
            let finding = match variant {
                Variant::Again => repeats::again(&stage).await,
                Variant::AtOnce => repeats::at_once(&stage).await,
                Variant::FlippedByte => refused::flipped(&stage).await,
                Variant::Stale => refused::stale(&stage).await,
                Variant::StalledWorker | Variant::FailingApi | Variant::Older => mishaps::stalled(&stage).await,
            };
            stage.project.close().await;
            finding
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
        let project = Project::new(&suite.source.bundle, &suite.destinations, case.answers.clone()).await?;
        project.tools.store.waiting().close();
        prepare(suite, case, &project).await?;
        Ok(Self { suite, case, base, project })
    }
}
