//! How long one connection waits for answers. What gets none in time is given up with its connection: nobody knows what else would
//! come out of it.

use std::future::Future;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::config::units::format_duration;

use super::health::Health;
use super::limits::Limits;

/// The patience of one connection, and what it tells of its database.
pub(super) struct Patience {
    limits: Limits,
    health: Arc<Health>,
    /// When the transaction has to be done.
    until: Option<Instant>,
    is_over: bool,
}

impl Patience {
    /// Of a new connection.
    pub(super) fn new(limits: Limits, health: Arc<Health>) -> Self {
        Self { limits, health, until: None, is_over: false }
    }

    /// What it goes by.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// A transaction begins.
    pub(super) fn begins(&mut self) {
        self.until = Some(Instant::now() + self.limits.transaction);
    }

    /// The transaction has come to its end: the database works.
    pub(super) fn ended(&mut self) {
        self.until = None;
        self.health.works();
    }

    /// The answer to a statement, or an error when it does not come in time; then there will not be another one.
    pub(super) async fn wait<T>(&mut self, statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        self.wait_at_most(self.limits.answer, statement).await
    }

    /// As [`Patience::wait`], for one that takes no time: a connection that was idle may lead nowhere.
    pub(super) async fn wait_briefly<T>(&mut self, statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        self.wait_at_most(self.limits.connect, statement).await
    }

    async fn wait_at_most<T>(&mut self, most: Duration, statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        if self.is_over {
            return Err(sqlx::Error::Io(Error::new(ErrorKind::NotConnected, "the connection was given up")));
        }
        let began = Instant::now();
        let left = self.until.map_or(most, |until| until.saturating_duration_since(began));
        let answer = timeout(left.min(most), statement).await;
        let now = Instant::now();
        let reason = match answer {
            Ok(answer) => {
                if !is_cut_off(&answer) {
                    self.health.answered(now);
                }
                return answer;
            }
            Err(_) if left < most => {
                format!("its transaction was not done within {}", format_duration(self.limits.transaction))
            }
            Err(_) => {
                let reason = format!("it did not answer within {}", format_duration(most));
                self.health.silent(began, now, &format!("database `{}`: {reason}", self.health.database()));
                reason
            }
        };
        self.is_over = true;
        Err(sqlx::Error::Io(Error::new(ErrorKind::TimedOut, format!("{reason}, so its connection was given up"))))
    }
}

/// Whether this is not an answer but the end of the connection.
fn is_cut_off<T>(answer: &sqlx::Result<T>) -> bool {
    matches!(answer, Err(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed))
}
