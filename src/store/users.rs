//! Users of the portal. Passwords are kept as Argon2id hashes, made and compared away from the writer's thread, since both are slow
//! on purpose.

use std::sync::OnceLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::error::StoreError;
use super::sqlite::rows::moment;
use super::state::Store;
use crate::clock::Timestamp;
use crate::model::user::{Role, User};
use crate::secret::Secret;

/// The fewest characters and the most bytes of a password.
const SHORTEST: usize = 12;
const LONGEST: usize = 1024;

/// Adds a user.
pub async fn add(store: &Store, name: &str, role: Role, password: Secret<String>) -> Result<User, StoreError> {
    if !User::is_name(name) {
        let reason = format!("`{name}` cannot name a user: 1 to 64 characters without spaces are expected");
        return Err(StoreError::Refused(reason));
    }
    let (name, hash) = (name.to_owned(), hashed(password).await?);
    store.writer().run(move |connection, now| Box::pin(insert(connection, name, role, hash, now))).await
}

/// All users, by name.
pub async fn list(store: &Store) -> Result<Vec<User>, StoreError> {
    let query =
        sqlx::query("select user_id, name, role, created_at, changed_at from user order by name").fetch_all(store.readers());
    store.read(query).await?.iter().map(user).collect()
}

/// Gives a user another password.
pub async fn set_password(store: &Store, name: &str, password: Secret<String>) -> Result<(), StoreError> {
    let (name, hash) = (name.to_owned(), hashed(password).await?);
    store.writer().run(move |connection, now| Box::pin(update_password(connection, name, hash, now))).await
}

/// Gives a user another role.
pub async fn set_role(store: &Store, name: &str, role: Role) -> Result<(), StoreError> {
    let name = name.to_owned();
    store.writer().run(move |connection, now| Box::pin(update_role(connection, name, role, now))).await
}

/// Removes a user.
pub async fn remove(store: &Store, name: &str) -> Result<(), StoreError> {
    let name = name.to_owned();
    store.writer().run(move |connection, _| Box::pin(delete(connection, name))).await
}

/// The user of this name and password. Takes as long where there is no such user.
pub async fn verify(store: &Store, name: &str, password: Secret<String>) -> Result<Option<User>, StoreError> {
    let sql = "select user_id, name, role, created_at, changed_at, password from user where name = ?";
    let row = store.read(sqlx::query(sql).bind(name).fetch_optional(store.readers())).await?;
    let stored: Option<String> = row.as_ref().map(|row| row.try_get("password")).transpose()?;
    let fits = tokio::task::spawn_blocking(move || match &stored {
        Some(stored) => fits(stored, &password),
        None => {
            fits(nobodys(), &password);
            false
        }
    });
    let fits = fits.await.map_err(|error| StoreError::Damaged(error.to_string()))?;
    row.filter(|_| fits).as_ref().map(user).transpose()
}

/// The hash of a password that nobody knows, to compare with where there is no user.
fn nobodys() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash(&Secret::from(uuid::Uuid::new_v4().to_string())).unwrap_or_default())
}

fn fits(stored: &str, password: &Secret<String>) -> bool {
    let Ok(hash) = PasswordHash::new(stored) else { return false };
    Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok()
}

async fn hashed(password: Secret<String>) -> Result<String, StoreError> {
    let length = password.expose().chars().count();
    if length < SHORTEST || password.expose().len() > LONGEST {
        let reason =
            format!("the password has {length} characters; {SHORTEST} or more, and at most {LONGEST} bytes, are expected");
        return Err(StoreError::Refused(reason));
    }
    let hashing = tokio::task::spawn_blocking(move || hash(&password));
    hashing.await.map_err(|error| StoreError::Damaged(error.to_string()))?
}

/// With the crate's defaults, which are what OWASP recommends: 19 MiB, two rounds, one lane.
fn hash(password: &Secret<String>) -> Result<String, StoreError> {
    let hash = Argon2::default().hash_password(password.expose().as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| StoreError::Damaged(format!("a password could not be hashed: {error}")))
}

fn user(row: &SqliteRow) -> Result<User, StoreError> {
    Ok(User {
        id: row.try_get("user_id")?,
        name: row.try_get("name")?,
        role: row.try_get::<&str, _>("role")?.parse().map_err(StoreError::Damaged)?,
        created_at: moment(row.try_get("created_at")?),
        changed_at: moment(row.try_get("changed_at")?),
    })
}

async fn insert(
    connection: &mut SqliteConnection,
    name: String,
    role: Role,
    hash: String,
    now: Timestamp,
) -> Result<User, StoreError> {
    let sql = "insert into user (name, role, password, created_at, changed_at) values (?1, ?2, ?3, ?4, ?4)
        on conflict (name) do nothing returning user_id";
    let query = sqlx::query_scalar(sql).bind(&name).bind(role.word()).bind(hash).bind(now.as_micros());
    match query.fetch_optional(connection).await? {
        Some(id) => Ok(User { id, name, role, created_at: now, changed_at: now }),
        None => Err(StoreError::Refused(format!("there is a user `{name}` already"))),
    }
}

async fn update_password(
    connection: &mut SqliteConnection,
    name: String,
    hash: String,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query("update user set password = ?2, changed_at = ?3 where name = ?1").bind(&name).bind(hash);
    found(query.bind(now.as_micros()).execute(connection).await?.rows_affected(), &name)
}

async fn update_role(connection: &mut SqliteConnection, name: String, role: Role, now: Timestamp) -> Result<(), StoreError> {
    let query = sqlx::query("update user set role = ?2, changed_at = ?3 where name = ?1").bind(&name).bind(role.word());
    found(query.bind(now.as_micros()).execute(connection).await?.rows_affected(), &name)
}

async fn delete(connection: &mut SqliteConnection, name: String) -> Result<(), StoreError> {
    found(sqlx::query("delete from user where name = ?").bind(&name).execute(connection).await?.rows_affected(), &name)
}

fn found(rows: u64, name: &str) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound(format!("there is no user `{name}`"))) } else { Ok(()) }
}
