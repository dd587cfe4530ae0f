//! Bundles: the texts of every version of a source that was activated, so that the last good one survives a restart.

use sqlx::{Row, SqliteConnection};

use super::compression::unpack;
use super::error::StoreError;
use super::sqlite::rows::fixed;
use super::state::Store;
use crate::clock::Timestamp;
use crate::model::bundle::Bundle;

/// Keeps a bundle as the newest of its source; one that is known already becomes the newest again.
pub async fn save(store: &Store, bundle: &Bundle, hash: [u8; 32], admit_hash: [u8; 32]) -> Result<(), StoreError> {
    let content =
        serde_json::to_vec(bundle).map_err(|error| StoreError::Damaged(format!("a bundle cannot be written: {error}")))?;
    let (source, content) = (bundle.source.clone(), store.packer().pack(&content)?);
    store
        .writer()
        .run(move |connection, now| Box::pin(async move { insert(connection, &source, &content, hash, admit_hash, now).await }))
        .await
}

/// The newest bundle of a source with its hash; none when it is retired or was never there.
pub async fn latest(store: &Store, source: &str) -> Result<Option<([u8; 32], Bundle)>, StoreError> {
    let sql = "select hash, content, retired_at from bundle where source = ? order by epoch desc limit 1";
    let Some(row) = store.read(sqlx::query(sql).bind(source).fetch_optional(store.readers())).await? else {
        return Ok(None);
    };
    if row.try_get::<Option<i64>, _>("retired_at")?.is_some() {
        return Ok(None);
    }
    let content = unpack(row.try_get("content")?, "a bundle")?;
    let bundle =
        serde_json::from_slice(&content).map_err(|error| StoreError::Damaged(format!("a bundle cannot be read: {error}")))?;
    Ok(Some((fixed(row.try_get("hash")?, "a bundle's hash")?, bundle)))
}

/// The sources that have a bundle and are not retired, by name.
pub async fn sources(store: &Store) -> Result<Vec<String>, StoreError> {
    let sql = "select b.source from bundle b where b.retired_at is null
        and b.epoch = (select max(epoch) from bundle newest where newest.source = b.source) order by b.source";
    store.read(sqlx::query_scalar(sql).fetch_all(store.readers())).await
}

/// Retires a source: its bundles stay, but it has no newest one until one is saved again. Its open records wait until then and are
/// admitted again. False when there was none.
pub async fn retire(store: &Store, source: &str) -> Result<bool, StoreError> {
    let source = source.to_owned();
    store.writer().run(move |connection, now| Box::pin(async move { mark_retired(connection, &source, now).await })).await
}

async fn insert(
    connection: &mut SqliteConnection,
    source: &str,
    content: &[u8],
    hash: [u8; 32],
    admit_hash: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "insert into bundle (hash, source, content, admit_hash, epoch, activated_at)
        values (?1, ?2, ?3, ?4, (select coalesce(max(epoch), 0) + 1 from bundle), ?5)
        on conflict (hash) do update set epoch = excluded.epoch, activated_at = excluded.activated_at, retired_at = null";
    let query = sqlx::query(sql).bind(hash.to_vec()).bind(source).bind(content.to_vec()).bind(admit_hash.to_vec());
    query.bind(now.as_micros()).execute(connection).await?;
    Ok(())
}

async fn mark_retired(connection: &mut SqliteConnection, source: &str, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "update bundle set retired_at = ?1 where source = ?2 and retired_at is null";
    let done = sqlx::query(sql).bind(now.as_micros()).bind(source).execute(&mut *connection).await?;
    hold_pools(connection, source).await?;
    Ok(done.rows_affected() > 0)
}

async fn hold_pools(connection: &mut SqliteConnection, source: &str) -> Result<(), StoreError> {
    let sql = "update pool set admit_hash = null, readmit_after = 0 where source = ?";
    sqlx::query(sql).bind(source).execute(connection).await?;
    Ok(())
}
