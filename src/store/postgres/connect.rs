//! Connections to the server, each with the settings that durability rests on, checked after they are set.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor as _, PgConnection, Row as _};

use crate::secret::Secret;
use crate::store::engine::masked_url;
use crate::store::error::StoreError;
use crate::store::sql::READ_LIMIT;

/// The readers, and the one that listens.
const READERS: u32 = 5;
/// A server that does not answer within this is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The oldest server whose statements are ours.
const OLDEST: i32 = 130_000;

/// Whatever the server, the database or the user has been configured to: these are ours. What writes goes by its indexes from the first
/// statement on: plans that were made while the tables were empty must not outlive that.
const WRITING: &str = "set synchronous_commit = on; set default_transaction_isolation = 'read committed';
    set default_transaction_read_only = off; set statement_timeout = '15s'; set lock_timeout = 0;
    set idle_in_transaction_session_timeout = '30s'; set client_min_messages = warning; set jit = off;
    set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off";
const READING: &str = "set default_transaction_isolation = 'read committed'; set default_transaction_read_only = on;
    set statement_timeout = '5s'; set idle_in_transaction_session_timeout = '30s'; set jit = off";

/// The server that a URL names.
#[derive(Clone)]
pub(super) struct Address {
    options: PgConnectOptions,
    /// The URL without what is secret.
    pub(super) shown: String,
}

impl Address {
    /// Reads a URL such as `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full`.
    pub(super) fn parse(url: &Secret<String>) -> Result<Self, StoreError> {
        let shown = masked_url(url.expose());
        let options: Result<PgConnectOptions, sqlx::Error> = url.expose().parse();
        // what the driver says of a URL may quote it
        let options = options.map_err(|_| StoreError::Unsuitable {
            place: shown.clone(),
            reason: "it is no URL of a database\nhint: `postgres://USER@HOST/DATABASE?sslmode=verify-full`".to_owned(),
        })?;
        let options = options.application_name("hooktable").statement_cache_capacity(256).disable_statement_logging();
        Ok(Self { options, shown })
    }

    /// A connection that may write.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let connecting = tokio::time::timeout(CONNECT_LIMIT, self.options.connect());
        let connected = connecting.await.map_err(|_| self.cut_off("it does not answer"))?;
        let mut connection = connected.map_err(|error| self.cut_off(&error.to_string()))?;
        sqlx::raw_sql(WRITING).execute(&mut connection).await?;
        Ok(connection)
    }

    /// The readers: they cannot write, and none stays busy for long.
    pub(super) fn readers(&self) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(READERS).acquire_timeout(READ_LIMIT);
        let pool =
            pool.after_connect(|connection, _| Box::pin(async { connection.execute(sqlx::raw_sql(READING)).await.map(drop) }));
        pool.connect_lazy_with(self.options.clone())
    }

    /// That a server can hold a state: new enough, writable, and it keeps what it has confirmed.
    pub(super) async fn check(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let sql = "select current_setting('server_version_num')::int as version, pg_is_in_recovery() as is_standby,
            current_setting('server_encoding') as encoding, current_setting('synchronous_commit') as synchronous_commit,
            current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes";
        let row = connection.fetch_one(sql).await?;
        let unsuitable = |reason: String| StoreError::Unsuitable { place: self.shown.clone(), reason };
        let version: i32 = row.try_get("version")?;
        if version < OLDEST {
            return Err(unsuitable(format!("the server has version {}, expected 13 or newer", version / 10_000)));
        }
        if row.try_get("is_standby")? {
            return Err(unsuitable("the server is a standby\nhint: name the primary".to_owned()));
        }
        let encoding: String = row.try_get("encoding")?;
        if encoding != "UTF8" {
            return Err(unsuitable(format!("the database has the encoding `{encoding}`, expected `UTF8`")));
        }
        let synchronous: String = row.try_get("synchronous_commit")?;
        if synchronous != "on" {
            let reason = format!("`synchronous_commit` is `{synchronous}` though it was set to `on`");
            return Err(unsuitable(format!(
                "{reason}\nhint: a pool of connections that are handed out by transaction cannot be used; connect to the server"
            )));
        }
        for name in ["fsync", "full_page_writes"] {
            if row.try_get::<String, _>(name)? != "on" {
                tracing::warn!(setting = name, "the server may lose what it has confirmed when its machine fails");
            }
        }
        Ok(())
    }

    fn cut_off(&self, reason: &str) -> StoreError {
        StoreError::CutOff { reason: format!("`{}`: {reason}", self.shown) }
    }
}
