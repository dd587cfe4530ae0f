//! Hearing of what other instances changed: told by the server, and by looking every two seconds in case that does not come through.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::store::control::Topic;
use crate::store::error::StoreError;
use crate::store::sql::{Readers, query};
use crate::store::state::{Store, WeakStore};
use crate::store::{api_keys, bundles, integrations, onboarding};

/// How often it is looked whatever is told.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long after listening failed it is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The counters of a moment.
pub(crate) type Versions = HashMap<String, i64>;

/// Keeps what is in memory of the state as it is there, until the store is gone. `seen` are the counters of the moment before it
/// was read for the first time.
pub(crate) fn follow(store: &Store, mut seen: Versions) -> Vec<JoinHandle<()>> {
    let Readers::Postgres(pool) = store.readers() else { return Vec::new() };
    let told = Arc::new(Notify::new());
    let listening = tokio::spawn(listen(pool.clone(), Arc::clone(&told)));
    let weak = store.downgrade();
    let looking = tokio::spawn(async move {
        while let Some(()) = look_once(&weak, &mut seen).await {
            tokio::select! {
                () = told.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    });
    vec![listening, looking]
}

async fn listen(pool: PgPool, told: Arc<Notify>) {
    loop {
        if let Err(error) = listen_until_cut_off(&pool, &told).await {
            tracing::debug!(%error, "nothing is heard of the other instances; this one looks by itself");
        }
        tokio::time::sleep(AFTER_FAILURE).await;
    }
}

async fn listen_until_cut_off(pool: &PgPool, told: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("hooktable").await?;
    loop {
        // what was missed while it was cut off is looked for as well
        listener.try_recv().await?;
        told.notify_one();
    }
}

/// Nothing when the store is gone.
async fn look_once(store: &WeakStore, seen: &mut Versions) -> Option<()> {
    let store = store.upgrade()?;
    if let Err(error) = look(&store, seen).await {
        tracing::warn!(%error, "what other instances changed cannot be read; it is tried again");
    }
    Some(())
}

async fn look(store: &Store, seen: &mut Versions) -> Result<(), StoreError> {
    let rows = store.read(query("select topic, version from control")).await?;
    for row in rows {
        let (topic, version): (String, i64) = (row.get("topic")?, row.get("version")?);
        if seen.get(&topic) == Some(&version) {
            continue;
        }
        match Topic::ALL.into_iter().find(|known| known.word() == topic) {
            Some(Topic::ApiKeys) => api_keys::read_again(store).await?,
            Some(Topic::Integrations) => integrations::read_again(store).await?,
            Some(Topic::Onboarding) => onboarding::read_again(store).await?,
            Some(Topic::Bundles) => bundles::read_again(store).await?,
            // of a newer version than this one
            None => {}
        }
        seen.insert(topic, version);
    }
    Ok(())
}
