//! Several units in one transaction, a savepoint each: one that fails takes nothing of its neighbours back. Where the whole
//! transaction is lost each is tried by itself, and its mark tells whether it was there after all.

use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::alone::{Again, again};
use super::connection::Connection;
use super::database::Database;
use super::failures::{self, Trouble};
use super::gathering::{Answer, Waiting};
use super::health::Admission;
use super::marks::is_marked;
use super::write::{Applied, Unit, WriteError, write_unit};

/// How long a transaction goes on taking the next unit; those behind go by themselves, long before a lease ends.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// The whole transaction is lost, and perhaps because of another one that it met.
struct Lost {
    collided: bool,
}

impl Database {
    /// Applies a unit once: alone when a connection is free, else with all that wait when one becomes free. While the database is away
    /// it fails at once, unless it is its turn to try.
    pub async fn apply(&self, unit: Unit<'_>) -> Result<Applied, WriteError> {
        match self.health.admit(Instant::now()) {
            Admission::Free => self.apply_in_turn(unit).await,
            Admission::Away(failure) => Err(failure.into()),
            Admission::Probe(_probe) => {
                self.forget_idle();
                match self.seats.try_acquire() {
                    Ok(seat) => self.apply_alone(&unit, Some(seat)).await,
                    // those who have the connections are trying
                    Err(_) => Err(self.health.goes_away().await.into()),
                }
            }
        }
    }

    async fn apply_in_turn(&self, unit: Unit<'_>) -> Result<Applied, WriteError> {
        if self.gathering.is_empty()
            && let Ok(seat) = self.seats.try_acquire()
        {
            return self.apply_alone(&unit, Some(seat)).await;
        }
        let mut place = self.gathering.enter(unit);
        tokio::select! {
            biased;
            answer = &mut place.answer => return self.heard(&unit, answer.ok()).await,
            failure = self.health.goes_away() => return Err(failure.into()),
            seat = self.seats.acquire() => if let Ok(seat) = seat {
                let mut batch = self.gathering.take(&place);
                match batch.len() {
                    // somebody took it along a moment ago
                    0 => drop(seat),
                    1 => return self.apply_alone(&unit, Some(seat)).await,
                    _ => self.apply_together(seat, &mut batch).await,
                }
            },
        }
        let answer = (&mut place.answer).await;
        self.heard(&unit, answer.ok()).await
    }

    async fn heard(&self, unit: &Unit<'_>, answer: Option<Answer>) -> Result<Applied, WriteError> {
        match answer {
            Some(Answer::Ended(result)) => result,
            // whoever took it along may have been cut off at any point
            Some(Answer::Alone) | None => self.apply_alone(unit, None).await,
        }
    }

    /// Writes all of them in one transaction and tells each what became of it.
    async fn apply_together(&self, seat: SemaphorePermit<'_>, batch: &mut Vec<Waiting>) {
        batch.sort_by_cached_key(Waiting::lock_order);
        let count = batch.len();
        let answers = match self.write_together(seat, batch).await {
            Ok(answers) => {
                self.gathering.succeeded(count);
                answers
            }
            Err(Lost { collided }) => {
                if collided {
                    self.gathering.collided(count);
                }
                batch.iter().map(|_| Answer::Alone).collect()
            }
        };
        for (waiting, answer) in batch.drain(..).zip(answers) {
            // whoever does not listen any more has lost the lease; the mark tells the next one
            drop(waiting.answer.send(answer));
        }
    }

    async fn write_together(&self, seat: SemaphorePermit<'_>, batch: &[Waiting]) -> Result<Vec<Answer>, Lost> {
        let mut seated = match self.begin_on(seat, Connection::begin_together).await {
            Ok(seated) => seated,
            Err(failure) => return Ok(batch.iter().map(|_| Answer::Ended(Err(failure.clone().into()))).collect()),
        };
        let mut answers = Vec::with_capacity(batch.len());
        let (begun, mut is_first) = (Instant::now(), true);
        for waiting in batch {
            if !waiting.is_wanted() || begun.elapsed() > LONG_ENOUGH {
                answers.push(Answer::Alone);
                continue;
            }
            match self.write_one(&mut seated.connection, &waiting.unit(), std::mem::take(&mut is_first)).await {
                Ok(answer) => answers.push(answer),
                Err(lost) => {
                    self.roll_back(seated).await;
                    return Err(lost);
                }
            }
        }
        if let Err(error) = seated.connection.commit().await {
            let lost = Lost { collided: failures::trouble(&error) == Trouble::Collision };
            self.roll_back(seated).await;
            return if self.is_there_after_all(batch, &answers).await { Ok(answers) } else { Err(lost) };
        }
        self.put_back(seated);
        Ok(answers)
    }

    /// One of several units, within its savepoint.
    async fn write_one(&self, connection: &mut Connection, unit: &Unit<'_>, is_first: bool) -> Result<Answer, Lost> {
        let lost = |error: sqlx::Error| Lost { collided: failures::trouble(&error) == Trouble::Collision };
        let started = self.now();
        connection.next_savepoint(is_first).await.map_err(lost)?;
        let applied = |already, changes| Applied { already, changes, took: self.now().since(started) };
        let error = match write_unit(connection, self.name(), unit, started).await {
            Ok(Some(changes)) => return Ok(Answer::Ended(Ok(applied(false, changes)))),
            Ok(None) => return Ok(Answer::Ended(Ok(applied(true, Vec::new())))),
            Err(error) => error,
        };
        let trouble = connection.trouble();
        if error != WriteError::LeaseLost && matches!(trouble, Some(Trouble::Collision | Trouble::Disconnected)) {
            return Err(Lost { collided: trouble == Some(Trouble::Collision) });
        }
        let tries_again =
            error != WriteError::LeaseLost && (trouble == Some(Trouble::Locked) || !matches!(again(connection), Again::No));
        // an engine that has rolled everything back by itself has no savepoint any more
        connection.back_to_savepoint().await.map_err(lost)?;
        Ok(if tries_again { Answer::Alone } else { Answer::Ended(Err(error)) })
    }

    /// Whether a transaction whose commit nobody confirmed is there: any of its units tells it for all.
    async fn is_there_after_all(&self, batch: &[Waiting], answers: &[Answer]) -> bool {
        let is_new = |answer: &Answer| matches!(answer, Answer::Ended(Ok(applied)) if !applied.already);
        let Some((waiting, _)) = batch.iter().zip(answers).find(|(_, answer)| is_new(answer)) else { return false };
        let Ok(mut seated) = self.begin_for_unit(Connection::begin_reading).await else { return false };
        let there = is_marked(&mut seated.connection, waiting.unit().mark).await.unwrap_or(false);
        self.roll_back(seated).await;
        there
    }
}
