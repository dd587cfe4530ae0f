//! What the processes that share a state tell each other of: a counter for each kind of thing that is kept in memory goes up with
//! the commit that changed it. Where one process has the state to itself there is nothing to tell.

use super::error::StoreError;
use super::sql::{Connection, query};

/// What is kept in memory of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// API keys.
    ApiKeys,
    /// Integrations.
    Integrations,
    /// Onboarding windows.
    Onboarding,
    /// Which bundle of each source is the newest.
    Bundles,
}

impl Topic {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::ApiKeys, Self::Integrations, Self::Onboarding, Self::Bundles];

    /// As its row is called.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ApiKeys => "api_keys",
            Self::Integrations => "integrations",
            Self::Onboarding => "onboarding",
            Self::Bundles => "bundles",
        }
    }
}

/// Says that something of `topic` changes with this transaction. Changes of one topic wait for each other from here on.
pub(crate) async fn announce(connection: &mut Connection, topic: Topic) -> Result<(), StoreError> {
    if !connection.is_shared() {
        return Ok(());
    }
    let sql = "update control set version = version + 1 where topic = $1";
    query(sql).bind(topic.word()).execute(connection).await?;
    connection.note_news();
    Ok(())
}
