//! Setting a source up: its onboarding window, what its handshakes show in it, and the requests that were refused.

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::onboarding::{Address, Credentials, addresses};
use super::operation::{Context, no_source, sources_of};
use crate::intake::rejected::RejectedRequest;
use crate::model::handshake::OnboardingWindow;
use crate::store::onboarding;

/// How far the onboarding of a source is. Holds what its provider told: shown, never logged.
#[derive(Serialize, Deserialize)]
pub struct Onboarding {
    /// The source's name.
    pub source: String,
    /// Until when values are kept, when they are now; RFC 3339.
    pub open_until: Option<String>,
    /// How many values were not kept.
    pub dropped: u64,
    /// Whether a handshake of the source shows anything.
    pub shows: bool,
    /// Where its provider sends to.
    pub addresses: Vec<Address>,
    /// What handshakes have shown, the newest first.
    pub values: Vec<Shown>,
}

/// A value that a handshake has shown: whatever anyone sent.
#[derive(Clone, Serialize, Deserialize)]
pub struct Shown {
    /// Its name in the route file.
    pub name: String,
    /// The value.
    pub value: String,
    /// When it first came; RFC 3339.
    pub first_at: String,
    /// When it last came; RFC 3339.
    pub last_at: String,
    /// How often it came.
    pub times: u64,
    /// The address that it last came from.
    pub peer: Option<String>,
}

/// Opens the onboarding window of a source.
pub(super) async fn open_window(context: &Context, source: &str) -> anyhow::Result<Onboarding> {
    if !is_known(context, source)? {
        bail!("{}", no_source(sources_of(context)?, source));
    }
    onboarding::open(&context.store, source).await?;
    show_handshakes(context, source).await
}

/// What handshakes of a source have shown.
pub(super) async fn show_handshakes(context: &Context, source: &str) -> anyhow::Result<Onboarding> {
    let sources = sources_of(context)?;
    let table = sources.registry().table();
    let Some(compiled) = table.source(source) else { bail!("{}", no_source(sources, source)) };
    let window: Option<OnboardingWindow> = onboarding::window(&context.store, source).await?;
    let open = window.filter(|window| context.store.clock().now() < window.until);
    let values = onboarding::values(&context.store, source).await?.into_iter().map(|shown| Shown {
        name: shown.name,
        value: shown.value.expose().clone(),
        first_at: shown.first_at.to_string(),
        last_at: shown.last_at.to_string(),
        times: shown.times,
        peer: shown.peer,
    });
    Ok(Onboarding {
        source: source.to_owned(),
        open_until: open.map(|window| window.until.to_string()),
        dropped: window.map_or(0, |window| window.dropped),
        shows: compiled.handshakes.show_something(),
        addresses: addresses(compiled, &context.public_url, Credentials::default()),
        values: values.collect(),
    })
}

/// The requests of a source that were refused lately, the newest first.
pub(super) fn rejected(context: &Context, source: &str) -> anyhow::Result<Vec<RejectedRequest>> {
    let Some(rejected) = &context.rejected else {
        bail!(
            "no server runs, so nothing is known of refused requests\nhint: only the running server keeps them, in its memory; its log has a line for each"
        );
    };
    if !is_known(context, source)? {
        bail!("{}", no_source(sources_of(context)?, source));
    }
    Ok(rejected.of(source))
}

fn is_known(context: &Context, source: &str) -> anyhow::Result<bool> {
    Ok(sources_of(context)?.registry().table().source(source).is_some())
}
