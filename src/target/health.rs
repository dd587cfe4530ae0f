//! Whether a database answers. One that could not be reached or fell silent is left alone for a short, growing while: units fail at
//! once, with the reason, while one at a time tries again. The first transaction that comes to an end ends that.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::config::units::format_duration;
use crate::model::failure::{Failure, Step};

/// How long a database is left alone at first; twice as long each time that the one who tries fails.
const FIRST: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
const LONGEST: Duration = Duration::from_secs(30);
/// An answer to somebody else as old as this at most says that the trouble is not the database's.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// What is known of one database, in memory.
pub(super) struct Health {
    database: String,
    silence: Duration,
    state: Mutex<State>,
    is_away: watch::Sender<bool>,
    /// How many statements were answered.
    #[cfg(test)]
    pub(super) answers: std::sync::atomic::AtomicU64,
}

#[derive(Default)]
struct State {
    answered: Option<Instant>,
    away: Option<Away>,
}

struct Away {
    reason: String,
    pause: Duration,
    again: Instant,
    is_tried: bool,
}

/// Whether a unit may try.
pub(super) enum Admission<'h> {
    /// As far as anybody knows the database answers.
    Free,
    /// It does not, and this one finds out whether it does again.
    Probe(Probe<'h>),
    /// It does not, for this reason.
    Away(Failure),
}

/// The one who tries, until it is dropped.
pub(super) struct Probe<'h>(&'h Health);

impl Health {
    /// Of a database that nobody has asked yet. `silence` is how long it may answer nobody while somebody waits.
    pub(super) fn new(database: &str, silence: Duration) -> Self {
        Self {
            database: database.to_owned(),
            silence,
            state: Mutex::default(),
            is_away: watch::channel(false).0,
            #[cfg(test)]
            answers: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// The database's name.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Whether rows can be written, as far as anybody knows.
    pub(super) fn is_up(&self) -> bool {
        self.state().away.is_none()
    }

    /// Whether a unit may try at this moment.
    pub(super) fn admit(&self, now: Instant) -> Admission<'_> {
        match &mut self.state().away {
            None => Admission::Free,
            Some(away) if away.is_tried || now < away.again => Admission::Away(failure(&away.reason)),
            Some(away) => {
                away.is_tried = true;
                Admission::Probe(Probe(self))
            }
        }
    }

    /// It answered a statement.
    pub(super) fn answered(&self, now: Instant) {
        #[cfg(test)]
        self.answers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.state().answered = Some(now);
    }

    /// A transaction came to its end.
    pub(super) fn works(&self) {
        if self.state().away.take().is_some() {
            self.is_away.send_replace(false);
            tracing::info!(database = self.database, "the database answers again");
        }
    }

    /// No connection could be made, which was begun at `began`. Where others are answered it is not the database that is away.
    pub(super) fn unreachable(&self, began: Instant, now: Instant, reason: &str) {
        let state = self.state();
        if state.answered.is_none_or(|answered| answered + ELSEWHERE <= began) {
            self.leave_alone(state, began, now, reason);
        }
    }

    /// A statement that was sent at `began` got no answer. If others got one meanwhile, that is its own affair.
    pub(super) fn silent(&self, began: Instant, now: Instant, reason: &str) {
        let state = self.state();
        if state.answered.is_none_or(|answered| answered <= began) {
            self.leave_alone(state, began, now, reason);
        }
    }

    fn leave_alone(&self, mut state: MutexGuard<'_, State>, began: Instant, now: Instant, reason: &str) {
        match &mut state.away {
            // it was under way when this was found out
            Some(away) if began < away.again => {}
            Some(away) => {
                away.pause = (away.pause * 2).min(LONGEST);
                away.again = now + away.pause;
                reason.clone_into(&mut away.reason);
            }
            None => {
                state.away = Some(Away { reason: reason.to_owned(), pause: FIRST, again: now + FIRST, is_tried: false });
                drop(state);
                self.is_away.send_replace(true);
                tracing::warn!(
                    database = self.database,
                    reason,
                    "the database is away: what would write to it fails at once, and one at a time tries again"
                );
            }
        }
    }

    /// Waits until the database is known to be away, which it is too when it has answered nobody for too long.
    pub(super) async fn goes_away(&self) -> Failure {
        let began = Instant::now();
        let mut told = self.is_away.subscribe();
        loop {
            if let Some(away) = &self.state().away {
                return failure(&away.reason);
            }
            let answered = self.state().answered.unwrap_or(began).max(began);
            let now = Instant::now();
            if answered + self.silence <= now {
                let reason = format!("database `{}`: it has not answered for {}", self.database, format_duration(self.silence));
                self.silent(answered, now, &reason);
                continue;
            }
            tokio::select! {
                () = sleep_until(answered + self.silence) => {}
                _ = told.wait_for(|is_away| *is_away) => {}
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let Some(away) = &mut self.0.state().away {
            away.is_tried = false;
        }
    }
}

fn failure(reason: &str) -> Failure {
    Failure::passing(Step::Write, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(10);

    fn new() -> (Health, Instant) {
        (Health::new("main", SILENCE), Instant::now())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn reason(admission: &Admission<'_>) -> Option<String> {
        match admission {
            Admission::Away(failure) => Some(failure.reason.clone()),
            Admission::Free | Admission::Probe(_) => None,
        }
    }

    #[test]
    fn after_a_failure_one_at_a_time_tries_and_the_others_hear_why_not() {
        let (health, now) = new();
        assert!(matches!(health.admit(now), Admission::Free));
        health.unreachable(now, now, "refused");
        assert!(!health.is_up());
        assert_eq!(reason(&health.admit(now + FIRST / 2)).as_deref(), Some("refused"));
        let probe = health.admit(now + FIRST);
        assert!(matches!(probe, Admission::Probe(_)));
        assert_eq!(reason(&health.admit(now + FIRST)).as_deref(), Some("refused"));
        drop(probe);
        assert!(matches!(health.admit(now + FIRST), Admission::Probe(_)), "one that was cut off says nothing");
        health.works();
        assert!(health.is_up());
        assert!(matches!(health.admit(now + FIRST), Admission::Free));
    }

    #[test]
    fn the_pause_doubles_with_each_one_that_tries_in_vain_and_begins_anew_after_a_success() {
        let (health, mut now) = new();
        health.unreachable(now, now, "refused");
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let early = health.admit(now + seconds(pause) - Duration::from_millis(1));
            assert!(reason(&early).is_some(), "{pause}");
            now += seconds(pause);
            assert!(matches!(health.admit(now), Admission::Probe(_)), "{pause}");
            health.unreachable(now, now, "still refused");
        }
        assert_eq!(reason(&health.admit(now)).as_deref(), Some("still refused"));
        health.works();
        health.unreachable(now, now, "refused");
        assert!(matches!(health.admit(now + FIRST), Admission::Probe(_)));
    }

    #[test]
    fn those_that_were_under_way_do_not_make_the_pause_longer() {
        let (health, now) = new();
        health.silent(now, now + seconds(5), "silent");
        health.silent(now, now + seconds(35), "silent");
        assert!(matches!(health.admit(now + seconds(6)), Admission::Probe(_)));
    }

    #[test]
    fn a_statement_without_answer_is_its_own_affair_while_others_are_answered() {
        let (health, now) = new();
        health.answered(now + seconds(3));
        health.silent(now, now + seconds(5), "silent");
        health.unreachable(now + seconds(3), now + seconds(5), "too many connections");
        assert!(health.is_up());
        health.silent(now + seconds(3), now + seconds(8), "silent");
        assert!(!health.is_up(), "the last answer was before");
    }

    #[tokio::test]
    async fn those_who_wait_for_a_connection_hear_of_silence_and_of_trouble() {
        let health = Health::new("main", Duration::from_millis(100));
        let began = Instant::now();
        let answers = async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            health.answered(Instant::now());
        };
        let (failure, ()) = tokio::join!(health.goes_away(), answers);
        assert_eq!(failure.reason, "database `main`: it has not answered for 100ms");
        assert!(began.elapsed() >= Duration::from_millis(160), "an answer is a sign of life");
        assert!(!health.is_up());
        health.works();
        let (health, now) = new();
        let (failure, ()) = tokio::join!(health.goes_away(), async { health.unreachable(now, now, "refused") });
        assert_eq!(failure.reason, "refused");
    }
}
