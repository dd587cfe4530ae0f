//! What an attempt was made with. Where others are there by the time these are refused, nothing waits: the new ones have not been
//! tried yet.

use std::sync::Arc;

use super::deliver::Tools;
use super::retry::Verdict;
use super::trace::Trace;
use crate::clock::Timestamp;
use crate::model::failure::{Failure, Retry};
use crate::model::integration::Integration;
use crate::routes::registry::is_renewed;
use crate::routes::source::Source;
use crate::store::integrations;

/// Where an attempt has its credentials from.
pub(super) struct Credentials {
    source: Arc<Source>,
    integration: Option<Arc<Integration>>,
}

impl Credentials {
    /// Those of a source and of the integration whose record it is.
    pub(super) fn of(source: &Arc<Source>, integration: Option<&Arc<Integration>>) -> Self {
        Self { source: Arc::clone(source), integration: integration.cloned() }
    }

    /// Whether there are others now.
    async fn are_renewed(&self, tools: &Tools) -> bool {
        if tools.registry.table().source(&self.source.name).is_some_and(|now| is_renewed(&self.source, now)) {
            return true;
        }
        let Some(tried) = &self.integration else { return false };
        if let Err(error) = integrations::read_again(&tools.store).await {
            tracing::debug!(%error, "whether an integration was changed elsewhere is not known yet");
        }
        let now = tools.store.integrations().by_id(tried.id);
        now.is_some_and(|now| now.secrets != tried.secrets || now.fields != tried.fields)
    }
}

/// What was decided, or another attempt at once where the credentials that were refused are not the ones that count now.
pub(super) async fn with_those_of_now(
    tools: &Tools,
    verdict: Verdict,
    failure: &Failure,
    trace: &Trace,
    now: Timestamp,
) -> Verdict {
    match (&verdict, &trace.credentials) {
        (Verdict::Hold(_), Some(tried)) if failure.retry == Retry::Credentials && tried.are_renewed(tools).await => {
            Verdict::Again(now)
        }
        _ => verdict,
    }
}
