//! Retiring a source: saying of one whose file is gone that it is not meant to come back.

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::operation::{no_source, source_views};
use super::sources::Sources;
use crate::store::{Store, bundles, records};

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retired {
    /// The source's name.
    pub source: String,
    /// How many of its records and forwards stay open; they run when a file of that name comes.
    pub open: u64,
}

/// Forgets a source that has no file: its senders get 404 from now on. Open records are not given up, so they keep it from being
/// retired unless it is forced.
pub(super) async fn retire(store: &Store, sources: &Sources, source: &str, force: bool) -> anyhow::Result<Retired> {
    if let Some(view) = source_views(sources).into_iter().find(|view| view.source == source)
        && !sources.registry().has_vanished(source)
    {
        bail!(
            "the source `{source}` has its file `{}`\nhint: remove the file first; until the source is retired its senders are told to come again",
            view.path
        );
    }
    if !sources.registry().has_vanished(source) && bundles::latest(store, source).await?.is_none() {
        bail!("{}", no_source(sources, source));
    }
    let open = records::count_open(store, source).await?;
    if open > 0 && !force {
        bail!(
            "{open} records and forwards of `{source}` are not done\nhint: they run when a file of that name returns, and `hooktable deliveries discard` gives one up; `--force` retires the source and keeps them waiting"
        );
    }
    bundles::retire(store, source).await?;
    sources.forget(source);
    Ok(Retired { source: source.to_owned(), open })
}
