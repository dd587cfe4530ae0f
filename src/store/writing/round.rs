//! One round of the writer: everything that waits, in one transaction and one commit. Callers are answered after the commit
//! and not before. Where instances were in each other's way, the round is done again at once.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::message::{AppendMessage, Job, Product};
use super::steps::{Results, all_steps};
use crate::clock::{Clock, Timestamp};
use crate::failpoint::reach;
use crate::model::lane::Claim;
use crate::store::clock_back::{self, Pace};
use crate::store::error::{AppendError, FinishError, StoreError};
use crate::store::queue::claim::{Turn, Wanted};
use crate::store::queue::closing::Closing;
use crate::store::sql::Connection;

/// How often a round is tried in which instances were in each other's way.
const MOST_TRIES: u32 = 8;
/// A round that takes longer is given up: the connection is dead and does not say so.
const ROUND_LIMIT: Duration = Duration::from_secs(20);
/// The same for moving everything that waits, which the server itself ends a little earlier.
const MOVE_LIMIT: Duration = Duration::from_secs(6 * 60);

/// How often it is said that rounds fail.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);

/// The boundaries of each kind of message.
const BEFORE_COMMIT: [&str; 5] = [
    "append.before-commit",
    "claim.before-commit",
    "finish.before-commit",
    "forward-claim.before-commit",
    "forward-finish.before-commit",
];
const AFTER_COMMIT: [&str; 5] = [
    "append.after-commit",
    "claim.after-commit",
    "finish.after-commit",
    "forward-claim.after-commit",
    "forward-finish.after-commit",
];

type Asker<T, E = StoreError> = oneshot::Sender<Result<T, E>>;

/// The end of a claim and the one who waits for it.
pub(crate) type Ending = (Closing, Asker<(), FinishError>);

/// The messages of one round.
#[derive(Default)]
pub(crate) struct Round {
    pub(crate) appends: Vec<AppendMessage>,
    pub(crate) closings: Vec<Ending>,
    pub(crate) claims: Vec<(Wanted, Asker<Vec<Claim>>)>,
    pub(crate) jobs: Vec<Job>,
}

/// What the writer remembers from round to round.
#[derive(Default)]
pub(crate) struct Memory {
    /// The first free row number of deliveries, and the first that is not ours to give.
    pub(crate) next_row: i64,
    pub(crate) rows_end: i64,
    /// Whose turn it is to be claimed from.
    pub(crate) turn: Turn,
    /// How far the clock has come.
    pub(crate) pace: Pace,
    /// When it was said last that a round failed.
    pub(crate) complained: Option<Instant>,
}

/// How a round went.
pub(crate) struct Performed {
    /// Whether work is due because of it.
    pub(crate) work_is_due: bool,
    /// The moment that counted in it, if it got that far.
    pub(crate) now: Option<Timestamp>,
    /// Why nothing of it was acknowledged.
    pub(crate) error: Option<StoreError>,
    /// Ends of claims that may or may not be stored, because the connection was cut off or the disk is full. They can be tried again:
    /// the fence tells.
    pub(crate) open: Vec<Ending>,
}

impl Round {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.closings.is_empty() && self.claims.is_empty() && self.jobs.is_empty()
    }

    /// Passes the boundary of each kind of message that is in it.
    fn reach(&self, results: &Results, [append, claim, finish, forward_claim, forward_finish]: [&'static str; 5]) {
        let claims = || results.claims.iter().flatten().flatten();
        let closings = || self.closings.iter().map(|(closing, _)| closing);
        let passed = [
            (append, !self.appends.is_empty()),
            (claim, claims().any(|claim| claim.forward.is_none())),
            (finish, closings().any(|closing| closing.forward.is_none())),
            (forward_claim, claims().any(|claim| claim.forward.is_some())),
            (forward_finish, closings().any(|closing| closing.forward.is_some())),
        ];
        passed.into_iter().filter(|(_, is_passed)| *is_passed).for_each(|(boundary, _)| reach(boundary));
    }

    /// Tells everyone that it failed, but for those who wait for the end of a claim if these are `kept`.
    pub(crate) fn fail(self, error: &StoreError, kept: &mut Vec<Ending>) {
        for message in self.appends {
            let _ = message.answer.send(Err(AppendError::from(error.clone())));
        }
        kept.extend(self.closings);
        for (_, answer) in self.claims {
            let _ = answer.send(Err(error.clone()));
        }
        for job in self.jobs {
            let _ = job.answer.send(Err(error.clone()));
        }
    }

    /// Answers all; a caller that has gone away is none of our business any more.
    fn answer(self, results: Results) {
        for (message, result) in self.appends.into_iter().zip(results.appends) {
            let _ = message.answer.send(result.map_err(AppendError::from));
        }
        for ((_, answer), result) in self.closings.into_iter().zip(results.closings) {
            let _ = answer.send(result.unwrap_or(Err(FinishError::Store(StoreError::Closed))));
        }
        for ((_, answer), result) in self.claims.into_iter().zip(results.claims) {
            let _ = answer.send(result);
        }
        for (job, result) in self.jobs.into_iter().zip(results.jobs) {
            let _: Result<(), Result<Product, StoreError>> = job.answer.send(result);
        }
    }
}

/// Does the round, commits and answers.
pub(crate) async fn perform(connection: &mut Connection, round: Round, memory: &mut Memory, clock: &Clock) -> Performed {
    let mut performed = Performed { work_is_due: false, now: None, error: None, open: Vec::new() };
    let is_shared = connection.is_shared();
    let mut tries = 0;
    let error = loop {
        tries += 1;
        let mut results = Results::of(&round);
        let once = in_one_transaction(connection, &round, &mut results, memory, clock);
        let outcome = if is_shared { in_time(ROUND_LIMIT, once).await } else { once.await };
        match outcome {
            Ok(now) => {
                performed.now = Some(now);
                performed.work_is_due = results.work_is_due;
                // one may have found no room while there was enough for the others
                performed.error =
                    results.appends.iter().filter_map(|one| one.as_ref().err()).find(|error| error.is_full()).cloned();
                round.answer(results);
                return performed;
            }
            Err(error) if error.is_conflict() && tries < MOST_TRIES => {
                tracing::debug!(%error, tries, "instances were in each other's way; the round is done again");
            }
            Err(StoreError::ClockWentBack) if tries < MOST_TRIES => {
                let followed = in_time(MOVE_LIMIT, clock_back::follow(connection, clock, &mut memory.pace)).await;
                if let Err(error) = followed {
                    break error;
                }
            }
            Err(error) => break error,
        }
    };
    complain(memory, &error);
    round.fail(&error, &mut performed.open);
    if !(is_shared && error.is_cut_off() || error.is_full()) {
        for (_, answer) in performed.open.drain(..) {
            let _ = answer.send(Err(error.clone().into()));
        }
    }
    performed.error = Some(error);
    performed
}

/// Says that a round failed, but not thousands of times a second.
fn complain(memory: &mut Memory, error: &StoreError) {
    if memory.complained.is_none_or(|last| last.elapsed() > COMPLAIN_EVERY) {
        memory.complained = Some(Instant::now());
        tracing::error!(%error, "the state could not be committed; nothing of this round was acknowledged");
    } else {
        tracing::debug!(%error, "the state could not be committed");
    }
}

/// A server that does not answer is as good as gone.
async fn in_time<T>(limit: Duration, once: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let too_slow = |_| StoreError::CutOff { reason: format!("no answer within {} s", limit.as_secs()) };
    tokio::time::timeout(limit, once).await.map_err(too_slow)?
}

async fn in_one_transaction(
    connection: &mut Connection,
    round: &Round,
    results: &mut Results,
    memory: &mut Memory,
    clock: &Clock,
) -> Result<Timestamp, StoreError> {
    let outcome = commit_all_steps(connection, round, results, memory, clock).await;
    if let Err(error) = &outcome
        && !(connection.is_shared() && error.is_cut_off())
    {
        // Fails when the engine has rolled back by itself, which is as good.
        let _ = connection.rollback().await;
    }
    outcome
}

async fn commit_all_steps(
    connection: &mut Connection,
    round: &Round,
    results: &mut Results,
    memory: &mut Memory,
    clock: &Clock,
) -> Result<Timestamp, StoreError> {
    let asked = Instant::now();
    let begun = connection.begin(clock).await?;
    if memory.pace.lag(begun, asked).is_some() {
        return Err(StoreError::ClockWentBack);
    }
    memory.pace.note(begun);
    all_steps(connection, round, results, memory, begun.now).await?;
    round.reach(results, BEFORE_COMMIT);
    let committed = connection.commit().await;
    round.reach(results, AFTER_COMMIT);
    committed.map(|()| begun.now)
}
