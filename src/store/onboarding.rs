//! Onboarding windows, and what handshakes show while one is open: anyone may have sent it, so it is bounded in number and length,
//! sealed, and deleted a week after the window closed. Whether a window is open is known in memory, so that a closed one costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sha2::Digest as _;
use sqlx::{Row, SqliteConnection};

use super::error::StoreError;
use super::pools;
use super::sqlite::rows::{fixed, moment};
use super::state::Store;
use super::vault::DataKey;
use crate::clock::Timestamp;
use crate::model::handshake::{HandshakeValue, OnboardingWindow};
use crate::secret::Secret;

/// How long a window is open.
pub const OPEN_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long values are kept after their window closed.
pub const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The most distinct values of a source.
pub const MOST_VALUES: u64 = 100;
/// The most of them that one address may bring, so that nobody keeps the one that is waited for out by being early.
pub const MOST_OF_A_PEER: u64 = 20;
/// The longest value, in bytes.
pub const LONGEST: usize = 4 << 10;

/// When the window of each source closes.
#[derive(Default)]
pub(crate) struct Windows {
    until: RwLock<HashMap<String, Timestamp>>,
    key: RwLock<Option<Arc<DataKey>>>,
}

impl Windows {
    /// Those of the state.
    pub(crate) async fn read(connection: &mut SqliteConnection) -> Result<Self, StoreError> {
        let rows = sqlx::query("select source, until from onboarding_window").fetch_all(connection).await?;
        let until = rows.iter().map(|row| Ok((row.try_get("source")?, moment(row.try_get("until")?))));
        Ok(Self { until: RwLock::new(until.collect::<Result<_, StoreError>>()?), key: RwLock::default() })
    }
}

/// Opens the window of a source, or opens it for longer.
pub async fn open(store: &Store, source: &str) -> Result<OnboardingWindow, StoreError> {
    let name = source.to_owned();
    let window = store.writer().run(move |connection, now| Box::pin(async move { insert_window(connection, &name, now).await }));
    let window = window.await?;
    store.windows().until.write().unwrap_or_else(PoisonError::into_inner).insert(source.to_owned(), window.until);
    Ok(window)
}

/// Whether what handshakes of a source show is kept now. Touches no database.
pub fn is_open(store: &Store, source: &str) -> bool {
    let until = store.windows().until.read().unwrap_or_else(PoisonError::into_inner);
    until.get(source).is_some_and(|until| store.clock().now() < *until)
}

/// The window of a source, open or not.
pub async fn window(store: &Store, source: &str) -> Result<Option<OnboardingWindow>, StoreError> {
    let sql = "select opened_at, until, dropped from onboarding_window where source = ?";
    let row = store.read(sqlx::query(sql).bind(source).fetch_optional(store.readers())).await?;
    row.map(|row| {
        Ok(OnboardingWindow {
            opened_at: moment(row.try_get("opened_at")?),
            until: moment(row.try_get("until")?),
            dropped: u64::try_from(row.try_get::<i64, _>("dropped")?).unwrap_or(0),
        })
    })
    .transpose()
}

/// Keeps a value, or notes that one known already came again; false when it is not kept.
pub async fn keep(
    store: &Store,
    source: &str,
    name: &str,
    value: &Secret<String>,
    peer: Option<String>,
) -> Result<bool, StoreError> {
    let fits = value.expose().len() <= LONGEST;
    let hash = hash_of(store.work_key(), source, name, value);
    let key = data_key(store).await?;
    let sealed = if fits { store.vault().seal_shown(&key, &hash, value.expose())? } else { Vec::new() };
    let row = NewValue { source: source.to_owned(), name: name.to_owned(), hash, key_id: key.key_id, sealed, peer };
    store
        .writer()
        .run(move |connection, now| {
            Box::pin(async move {
                if fits && keep_row(connection, &row, now).await? {
                    return Ok(true);
                }
                note_dropped(connection, &row.source).await?;
                Ok(false)
            })
        })
        .await
}

/// What was shown, the newest first.
pub async fn values(store: &Store, source: &str) -> Result<Vec<HandshakeValue>, StoreError> {
    let sql = "select name, hash, key_id, sealed, first_at, last_at, times, peer from handshake_value
        where source = ? order by last_at desc, value_id desc";
    let rows = store.read(sqlx::query(sql).bind(source).fetch_all(store.readers())).await?;
    let value = |row: &sqlx::sqlite::SqliteRow| {
        let hash: [u8; 32] = fixed(row.try_get("hash")?, "a shown value's hash")?;
        Ok(HandshakeValue {
            name: row.try_get("name")?,
            value: store.vault().open_shown(row.try_get("key_id")?, &hash, row.try_get("sealed")?)?,
            first_at: moment(row.try_get("first_at")?),
            last_at: moment(row.try_get("last_at")?),
            times: u64::try_from(row.try_get::<i64, _>("times")?).unwrap_or(0),
            peer: row.try_get("peer")?,
        })
    };
    rows.iter().map(value).collect()
}

/// Forgets windows that closed a week ago, and what came in them.
pub(crate) async fn forget_old(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
    let before = (now - KEPT_FOR).as_micros();
    delete_old_values(connection, before).await?;
    let sql = "delete from onboarding_window where until <= ?";
    sqlx::query(sql).bind(before).execute(connection).await?;
    Ok(())
}

/// The key of what belongs to no tenant.
async fn data_key(store: &Store) -> Result<Arc<DataKey>, StoreError> {
    let known = store.windows().key.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(key) = known {
        return Ok(key);
    }
    let key = pools::data_key(store, 0).await?;
    *store.windows().key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&key));
    Ok(key)
}

/// Keyed, since a value may be short enough to be guessed.
fn hash_of(work_key: &[u8; 32], source: &str, name: &str, value: &Secret<String>) -> [u8; 32] {
    let mut hash = sha2::Sha256::new_with_prefix(work_key);
    for part in ["shown by a handshake", source, name, value.expose()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

struct NewValue {
    source: String,
    name: String,
    hash: [u8; 32],
    key_id: i64,
    sealed: Vec<u8>,
    peer: Option<String>,
}

async fn keep_row(connection: &mut SqliteConnection, row: &NewValue, now: Timestamp) -> Result<bool, StoreError> {
    if note_again(connection, row, now).await? {
        return Ok(true);
    }
    let (all, of_peer) = count(connection, row).await?;
    let has_room = all < MOST_VALUES && of_peer < MOST_OF_A_PEER;
    if has_room {
        insert(connection, row, now).await?;
    }
    Ok(has_room)
}

async fn insert_window(connection: &mut SqliteConnection, source: &str, now: Timestamp) -> Result<OnboardingWindow, StoreError> {
    let until = now + OPEN_FOR;
    let sql = "insert into onboarding_window (source, opened_at, until) values (?, ?, ?)
        on conflict (source) do update set opened_at = excluded.opened_at, until = excluded.until, dropped = 0";
    sqlx::query(sql).bind(source).bind(now.as_micros()).bind(until.as_micros()).execute(connection).await?;
    Ok(OnboardingWindow { opened_at: now, until, dropped: 0 })
}

async fn note_again(connection: &mut SqliteConnection, row: &NewValue, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "update handshake_value set last_at = ?1, times = times + 1, peer = ?2 where hash = ?3";
    let query = sqlx::query(sql).bind(now.as_micros()).bind(&row.peer).bind(row.hash.to_vec());
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

async fn count(connection: &mut SqliteConnection, row: &NewValue) -> Result<(u64, u64), StoreError> {
    let sql = "select count(*), count(case when peer is ?1 then 1 end) from handshake_value where source = ?2";
    let (all, of_peer): (i64, i64) = sqlx::query_as(sql).bind(&row.peer).bind(&row.source).fetch_one(connection).await?;
    Ok((u64::try_from(all).unwrap_or(0), u64::try_from(of_peer).unwrap_or(0)))
}

async fn insert(connection: &mut SqliteConnection, row: &NewValue, now: Timestamp) -> Result<(), StoreError> {
    let sql = "insert into handshake_value (source, name, hash, key_id, sealed, first_at, last_at, times, peer)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1, ?7)";
    let query = sqlx::query(sql).bind(&row.source).bind(&row.name).bind(row.hash.to_vec()).bind(row.key_id);
    query.bind(row.sealed.clone()).bind(now.as_micros()).bind(&row.peer).execute(connection).await?;
    Ok(())
}

async fn note_dropped(connection: &mut SqliteConnection, source: &str) -> Result<(), StoreError> {
    let sql = "update onboarding_window set dropped = dropped + 1 where source = ?";
    sqlx::query(sql).bind(source).execute(connection).await?;
    Ok(())
}

async fn delete_old_values(connection: &mut SqliteConnection, before: i64) -> Result<(), StoreError> {
    let sql = "delete from handshake_value where source in (select source from onboarding_window where until <= ?)";
    sqlx::query(sql).bind(before).execute(connection).await?;
    Ok(())
}
