//! Handshakes: tried before anything else is done with a request, answered at once, never stored. What they show is kept only while
//! an onboarding window of their source is open.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::authenticate::Arrived;
use super::receive::Intake;
use super::rejection::Rejection;
use crate::clock::Timestamp;
use crate::config::units::Rate;
use crate::model::answered::Answered;
use crate::model::event::EventDocument;
use crate::routes::handshake::Handshake;
use crate::store::{StoreError, onboarding};

/// How often the log says that nobody waits for what is shown, at most.
const REMINDED_EVERY: Duration = Duration::from_secs(60);
/// How many requests may show something, per source: each is a write, and anyone may send one.
const SHOWN: Rate = Rate { count: 10, window: Duration::from_secs(1) };
/// Whose allowance of `receive.rate` handshakes use up: nobody's who delivers.
const OF_HANDSHAKES: i64 = -1;
const OF_SHOWN: i64 = -2;

/// When the log last said of which source that nobody waits for what its handshakes show.
#[derive(Debug, Default)]
pub(super) struct Reminders {
    said: Mutex<HashMap<String, Timestamp>>,
}

/// The answer to a request that is a handshake; none to one that is not.
pub(super) async fn answered(intake: &Intake, arrived: Arrived<'_>) -> Result<Option<Answered>, Rejection> {
    let source = arrived.source;
    let Some((number, handshake, document)) = source.handshakes.find(arrived.request, arrived.params) else { return Ok(None) };
    let (auth, reads_body) = match &handshake.auth {
        Some((auth, reads_body)) => (auth, *reads_body),
        None => (&source.auth, source.auth_reads_body),
    };
    let integration = intake.gate.verify(arrived, auth, reads_body).await?.integration;
    let now = intake.store.clock().now();
    if let Some(rate) = source.receive.rate {
        intake.rates.admit(&source.name, OF_HANDSHAKES, rate, now).map_err(Rejection::TooMany)?;
    }
    keep_shown(intake, arrived, handshake, &document).await?;
    let mut secrets = source.operator_secrets(now.date());
    secrets.extend(integration.iter().flat_map(|integration| integration.secrets.clone()));
    let answered = handshake.answer(&document, &secrets);
    let answered = answered.map_err(|error| {
        // a reason may repeat what was computed with a secret
        tracing::debug!(
            source = source.name,
            handshake = number,
            reason = source.mask_for(&document, integration.as_deref()).text(&error.0),
            "unanswered"
        );
        Rejection::Broken("this looks like a handshake, but what its answer needs is not in it".to_owned())
    })?;
    tracing::info!(source = source.name, handshake = number, "handshake answered");
    Ok(Some(answered))
}

async fn keep_shown(
    intake: &Intake,
    arrived: Arrived<'_>,
    handshake: &Handshake,
    document: &EventDocument,
) -> Result<(), Rejection> {
    if !handshake.shows() {
        return Ok(());
    }
    let source = &arrived.source.name;
    let now = intake.store.clock().now();
    if !onboarding::is_open(&intake.store, source) {
        if intake.reminders.is_time(source, now) {
            tracing::warn!(
                source,
                "a handshake came and nobody waits for what it shows, so it is dropped; `hooktable sources onboard {source}` opens a window of 24 hours for it"
            );
        }
        return Ok(());
    }
    intake.rates.admit(source, OF_SHOWN, SHOWN, now).map_err(Rejection::TooMany)?;
    let unavailable = |error: StoreError| Rejection::Unavailable(error.to_string());
    let peer = arrived.request.peer.map(|peer| peer.to_string());
    for (name, value) in handshake.shown(document) {
        let kept = onboarding::keep(&intake.store, source, &name, &value, peer.clone()).await.map_err(unavailable)?;
        if !kept && intake.reminders.is_time(source, now) {
            tracing::warn!(source, "what a handshake shows was not kept: there is too much of it, or it is too long");
        }
    }
    Ok(())
}

impl Reminders {
    /// Whether the log may say it again; then it counts as said. Only names of sources come here, so there are few.
    fn is_time(&self, source: &str, now: Timestamp) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let again = said.get(source).is_none_or(|last| now.since(*last) >= REMINDED_EVERY);
        if again {
            said.insert(source.to_owned(), now);
        }
        again
    }
}
