//! The one thread of this process that writes the state, over one connection: rounds, one after the other. While the server is away
//! all are refused, but for the ends of claims, which are kept until it is back.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::connect::Address;
use super::days;
use crate::clock::{Clock, Timestamp};
use crate::store::error::StoreError;
use crate::store::onboarding;
use crate::store::sql::Connection;
use crate::store::writing::gathering::{BETWEEN_TRIES, Gathering, next_round, refuse_appends};
use crate::store::writing::message::Mailbox;
use crate::store::writing::round::{Ending, Memory, perform};
use crate::store::writing::thread::{self, End};

/// Upkeep is done this often.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// What the writer's thread is made of.
pub(super) struct WriterParts {
    pub(super) address: Address,
    pub(super) state_id: Uuid,
    pub(super) mailbox: Mailbox,
    pub(super) max_bytes: Option<u64>,
    pub(super) clock: Clock,
    pub(super) work_arrived: Arc<Notify>,
}

/// Starts the thread.
pub(super) fn start(parts: WriterParts) -> Result<End, StoreError> {
    let place = parts.address.shown.clone();
    thread::start(|| run(parts)).map_err(|error| StoreError::Unsuitable { place, reason: error.to_string() })
}

async fn run(parts: WriterParts) -> Result<(), String> {
    let WriterParts { address, state_id, mailbox, max_bytes, clock, work_arrived } = parts;
    let mut link = Link { address, state_id, connection: None, tried: None };
    let mut memory = Memory::default();
    let mut gathering = Gathering::new(mailbox);
    let mut kept: Vec<Ending> = Vec::new();
    let mut upkeep = Upkeep { at: clock.now(), max_bytes, fullness: None };
    while let Some(mut round) = next_round(&mut gathering, &mut kept).await {
        if let Some(reason) = &upkeep.fullness {
            refuse_appends(&mut round, reason);
        }
        let mut connection = match link.connection().await {
            Ok(connection) => connection,
            Err(error) => {
                round.fail(&error, &mut kept);
                continue;
            }
        };
        if !round.is_empty() {
            let performed = perform(&mut connection, round, &mut memory, &clock).await;
            if performed.work_is_due {
                // The first wakes all that wait now, the second leaves a permit for one that is about to.
                work_arrived.notify_waiters();
                work_arrived.notify_one();
            }
            kept = performed.open;
            if performed.error.is_some_and(|error| error.is_cut_off()) {
                continue;
            }
        }
        tell_news(&mut connection).await;
        upkeep.when_due(&mut connection, clock.now()).await;
        link.connection = Some(connection);
    }
    let gone = StoreError::Closed;
    for (_, answer) in kept {
        let _ = answer.send(Err(gone.clone().into()));
    }
    if let Some(Connection::Postgres(connection)) = link.connection {
        let _ = connection.inner.close().await;
    }
    Ok(())
}

/// The connection, made again when it broke.
struct Link {
    address: Address,
    state_id: Uuid,
    connection: Option<Connection>,
    /// When the last try failed, and why.
    tried: Option<(Instant, StoreError)>,
}

impl Link {
    async fn connection(&mut self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        if let Some((at, error)) = &self.tried
            && at.elapsed() < BETWEEN_TRIES
        {
            return Err(error.clone());
        }
        match self.connect().await {
            Ok(connection) => {
                if self.tried.take().is_some() {
                    tracing::info!("the state database is back");
                }
                Ok(connection.into())
            }
            Err(error) => {
                if self.tried.is_none() {
                    tracing::error!(%error, "the state database is away; deliveries are refused until it is back");
                }
                self.tried = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// A connection to the same state as before.
    async fn connect(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.address.connect().await?;
        self.address.check(&mut connection).await?;
        let found: Vec<u8> = connection.fetch_one("select state_id from meta").await?.try_get("state_id")?;
        if found != self.state_id.as_bytes() {
            let reason = "another state is there now\nhint: start again to use that one".to_owned();
            return Err(StoreError::Unsuitable { place: self.address.shown.clone(), reason });
        }
        Ok(connection)
    }
}

/// Tells the other instances, apart from the round: what is committed is not held up by it, and they look by themselves anyway.
async fn tell_news(connection: &mut Connection) {
    let Connection::Postgres(connection) = connection else { return };
    if std::mem::take(&mut connection.has_news)
        && let Err(error) = connection.inner.execute("notify hooktable").await
    {
        tracing::debug!(%error, "the other instances were not told; they will look by themselves");
    }
}

struct Upkeep {
    at: Timestamp,
    max_bytes: Option<u64>,
    /// Why nothing more may be appended.
    fullness: Option<String>,
}

impl Upkeep {
    async fn when_due(&mut self, connection: &mut Connection, now: Timestamp) {
        // one that is due later than that is from before the clock went back
        if self.at > now && self.at <= now + UPKEEP_EVERY {
            return;
        }
        self.at = now + UPKEEP_EVERY;
        if let Err(error) = self.run(connection, now).await {
            tracing::warn!(error = %error, "upkeep of the state failed; it is tried again");
        }
    }

    async fn run(&mut self, connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
        onboarding::forget_old(connection, now).await?;
        let Connection::Postgres(connection) = connection else { return Ok(()) };
        days::make(&mut connection.inner, now).await?;
        let Some(bound) = self.max_bytes else { return Ok(()) };
        let row = connection.inner.fetch_one("select pg_database_size(current_database()) as used").await?;
        let used = u64::try_from(row.try_get::<i64, _>("used")?).unwrap_or(0);
        self.fullness = (used >= bound / 100 * 95).then(|| format!("the state holds {used} of at most {bound} bytes"));
        Ok(())
    }
}
