//! Bundles: the texts of every version of a source that was activated, so that the last good one survives a restart.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use tokio::sync::Notify;

use super::compression::unpack;
use super::control::{Topic, announce};
use super::error::StoreError;
use super::sql::{Connection, Row, fixed, query};
use super::state::Store;
use crate::clock::Timestamp;
use crate::model::bundle::Bundle;

/// Keeps a bundle as the newest of its source; one that is known already becomes the newest again.
pub async fn save(store: &Store, bundle: &Bundle, hash: [u8; 32], admit_hash: [u8; 32]) -> Result<(), StoreError> {
    let content =
        serde_json::to_vec(bundle).map_err(|error| StoreError::Damaged(format!("a bundle cannot be written: {error}")))?;
    let (source, content) = (bundle.source.clone(), store.packer().pack(&content)?);
    let name = source.clone();
    let job = store
        .writer()
        .run(move |connection, now| Box::pin(async move { insert(connection, &source, &content, hash, admit_hash, now).await }));
    job.await?;
    if store.is_shared() {
        store.newest().by_source.write().unwrap_or_else(PoisonError::into_inner).insert(name, hash);
    }
    Ok(())
}

/// Which version of each source is the newest, as far as this process knows. Nothing where it has the state to itself: then it is
/// always the one that runs.
#[derive(Default)]
pub(crate) struct Newest {
    by_source: RwLock<HashMap<String, [u8; 32]>>,
    changed: Notify,
}

/// Reads which versions are the newest.
pub(crate) async fn newest(connection: &mut Connection) -> Result<Newest, StoreError> {
    if !connection.is_shared() {
        return Ok(Newest::default());
    }
    let by_source = by_source(&query(NEWEST).fetch_all(connection).await?)?;
    Ok(Newest { by_source: RwLock::new(by_source), changed: Notify::new() })
}

/// Reads them again, since another instance activated or retired one.
pub(crate) async fn read_again(store: &Store) -> Result<(), StoreError> {
    let by_source = by_source(&store.read(query(NEWEST)).await?)?;
    *store.newest().by_source.write().unwrap_or_else(PoisonError::into_inner) = by_source;
    store.newest().changed.notify_one();
    store.work_arrived().notify_waiters();
    Ok(())
}

/// Whether this version of a source is the newest that any process activated: only that one is worked by. The others' route files
/// still say what is accepted.
pub fn is_newest(store: &Store, source: &str, hash: [u8; 32]) -> bool {
    let by_source = store.newest().by_source.read().unwrap_or_else(PoisonError::into_inner);
    by_source.get(source).is_none_or(|newest| *newest == hash)
}

/// Waits until another process activates or retires a version.
pub async fn changed(store: &Store) {
    store.newest().changed.notified().await;
}

const NEWEST: &str = "select b.source, b.hash from bundle b where b.retired_at is null
    and b.epoch = (select max(epoch) from bundle newest where newest.source = b.source)";

fn by_source(rows: &[Row]) -> Result<HashMap<String, [u8; 32]>, StoreError> {
    rows.iter().map(|row| Ok((row.get("source")?, fixed(row.get("hash")?, "a bundle's hash")?))).collect()
}

/// The newest bundle of a source with its hash; none when it is retired or was never there.
pub async fn latest(store: &Store, source: &str) -> Result<Option<([u8; 32], Bundle)>, StoreError> {
    let sql = "select hash, content, retired_at from bundle where source = $1 order by epoch desc limit 1";
    let Some(row) = store.read_first(query(sql).bind(source)).await? else {
        return Ok(None);
    };
    if row.get::<Option<i64>>("retired_at")?.is_some() {
        return Ok(None);
    }
    let content = unpack(row.get("content")?, "a bundle")?;
    let bundle =
        serde_json::from_slice(&content).map_err(|error| StoreError::Damaged(format!("a bundle cannot be read: {error}")))?;
    Ok(Some((fixed(row.get("hash")?, "a bundle's hash")?, bundle)))
}

/// The sources that have a bundle and are not retired, by name.
pub async fn sources(store: &Store) -> Result<Vec<String>, StoreError> {
    let sql = "select b.source from bundle b where b.retired_at is null
        and b.epoch = (select max(epoch) from bundle newest where newest.source = b.source) order by b.source";
    store.read(query(sql)).await?.iter().map(|row| row.get("source")).collect()
}

/// Retires a source: its bundles stay, but it has no newest one until one is saved again. Its open records wait until then and are
/// admitted again. False when there was none.
pub async fn retire(store: &Store, source: &str) -> Result<bool, StoreError> {
    let source = source.to_owned();
    store.writer().run(move |connection, now| Box::pin(async move { mark_retired(connection, &source, now).await })).await
}

async fn insert(
    connection: &mut Connection,
    source: &str,
    content: &[u8],
    hash: [u8; 32],
    admit_hash: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    if connection.is_shared() && is_newest_row(connection, source, hash).await? {
        // one of several that start with the same files
        return Ok(());
    }
    announce(connection, Topic::Bundles).await?;
    let sql = "insert into bundle (hash, source, content, admit_hash, epoch, activated_at)
        values ($1, $2, $3, $4, (select coalesce(max(epoch), 0) + 1 from bundle), $5)
        on conflict (hash) do update set epoch = excluded.epoch, activated_at = excluded.activated_at, retired_at = null";
    query(sql).bind(hash).bind(source).bind(content).bind(admit_hash).bind(now).execute(connection).await?;
    Ok(())
}

async fn is_newest_row(connection: &mut Connection, source: &str, hash: [u8; 32]) -> Result<bool, StoreError> {
    let sql = "select hash, retired_at from bundle where source = $1 order by epoch desc limit 1";
    let Some(row) = query(sql).bind(source).fetch_optional(connection).await? else { return Ok(false) };
    Ok(row.get::<&[u8]>("hash")? == hash && row.get::<Option<i64>>("retired_at")?.is_none())
}

async fn mark_retired(connection: &mut Connection, source: &str, now: Timestamp) -> Result<bool, StoreError> {
    announce(connection, Topic::Bundles).await?;
    let sql = "update bundle set retired_at = $1 where source = $2 and retired_at is null";
    let retired = query(sql).bind(now).bind(source).execute(connection).await?;
    hold_pools(connection, source).await?;
    Ok(retired > 0)
}

async fn hold_pools(connection: &mut Connection, source: &str) -> Result<(), StoreError> {
    let sql = "update pool set admit_hash = null, readmit_after = 0 where source = $1";
    query(sql).bind(source).execute(connection).await?;
    Ok(())
}
