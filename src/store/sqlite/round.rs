//! One round of the writer: everything that waits, in one transaction and one commit. Callers are answered after the commit
//! and not before; what fails for one of them is undone for that one alone.

use std::collections::HashSet;

use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use super::append::append;
use super::claim::{Wanted, claim};
use super::closing::{Closing, close};
use super::message::{AppendMessage, Job, Product};
use crate::clock::Timestamp;
use crate::model::delivery::Appended;
use crate::model::lane::Claim;
use crate::store::error::{AppendError, FinishError, StoreError};
use crate::store::intake_form::PreparedDelivery;

type Asker<T, E = StoreError> = oneshot::Sender<Result<T, E>>;
type Answer<T, E = StoreError> = (Asker<T, E>, Result<T, E>);
type Ending = (Closing, Asker<(), FinishError>);
type Ended = Vec<Result<(), FinishError>>;

/// The messages of one round.
#[derive(Default)]
pub(crate) struct Round {
    pub(crate) appends: Vec<AppendMessage>,
    pub(crate) closings: Vec<Ending>,
    pub(crate) claims: Vec<(Wanted, Asker<Vec<Claim>>)>,
    pub(crate) jobs: Vec<Job>,
}

/// What the writer remembers from round to round.
pub(crate) struct Memory {
    /// The first free row number of deliveries.
    pub(crate) next_row: i64,
    /// The pool that was claimed from last.
    pub(crate) last_pool: i64,
}

/// The answers that wait for the commit.
#[derive(Default)]
struct Answers {
    appends: Vec<Answer<Appended, AppendError>>,
    closings: Vec<Answer<(), FinishError>>,
    claims: Vec<Answer<Vec<Claim>>>,
    jobs: Vec<Answer<Product>>,
    work_is_due: bool,
}

impl Round {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.closings.is_empty() && self.claims.is_empty() && self.jobs.is_empty()
    }
}

/// Does the round, commits and answers. Returns whether work is due because of it.
pub(crate) async fn perform(connection: &mut SqliteConnection, round: Round, memory: &mut Memory, now: Timestamp) -> bool {
    let mut answers = Answers::default();
    let outcome = in_one_transaction(connection, round, &mut answers, memory, now).await;
    let work_is_due = answers.work_is_due && outcome.is_ok();
    if let Err(error) = &outcome {
        tracing::error!(error = %error, "the state could not be committed; nothing of this round was acknowledged");
    }
    answers.send(outcome.err());
    work_is_due
}

async fn in_one_transaction(
    connection: &mut SqliteConnection,
    round: Round,
    answers: &mut Answers,
    memory: &mut Memory,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute(connection, "begin immediate").await?;
    let done = all_steps(connection, round, answers, memory, now).await;
    let committed = match done {
        Ok(()) => execute(connection, "commit").await,
        Err(error) => Err(error),
    };
    if committed.is_err() {
        // Fails when the engine has rolled back by itself, which is as good.
        let _ = execute(connection, "rollback").await;
    }
    committed
}

/// An error from here means that the transaction is gone; callers whose messages were not reached see theirs dropped.
async fn all_steps(
    connection: &mut SqliteConnection,
    round: Round,
    answers: &mut Answers,
    memory: &mut Memory,
    now: Timestamp,
) -> Result<(), StoreError> {
    append_all(connection, round.appends, answers, memory, now).await?;
    close_all(connection, round.closings, answers, now).await?;
    for (wanted, answer) in round.claims {
        let claimed = step(connection, async |connection| claim(connection, &wanted, &mut memory.last_pool, now).await).await?;
        answers.claims.push((answer, claimed));
    }
    for Job { run, wakes, answer } in round.jobs {
        let product = step(connection, async |connection| run(connection, now).await).await?;
        answers.work_is_due |= wakes;
        answers.jobs.push((answer, product));
    }
    Ok(())
}

/// All in one batch; if that fails, one by one, so that the faulty one fails alone.
async fn append_all(
    connection: &mut SqliteConnection,
    appends: Vec<AppendMessage>,
    answers: &mut Answers,
    memory: &mut Memory,
    now: Timestamp,
) -> Result<(), StoreError> {
    if appends.is_empty() {
        return Ok(());
    }
    let all: Vec<_> = appends.iter().map(|message| &message.delivery).collect();
    let (results, outcome) = match append_batch_or_singly(connection, &all, memory, now).await {
        Ok(results) => (results, Ok(())),
        Err(error) => (vec![Err(error.clone()); appends.len()], Err(error)),
    };
    answers.work_is_due |= results.iter().any(Result::is_ok);
    let answered = appends.into_iter().zip(results).map(|(message, result)| (message.answer, result.map_err(AppendError::from)));
    answers.appends.extend(answered);
    outcome
}

async fn append_batch_or_singly(
    connection: &mut SqliteConnection,
    all: &[&PreparedDelivery],
    memory: &mut Memory,
    now: Timestamp,
) -> Result<Vec<Result<Appended, StoreError>>, StoreError> {
    let mut results = append_some(connection, all, memory, now).await?;
    if all.len() > 1 && results.iter().all(Result::is_err) {
        results.clear();
        for delivery in all {
            results.extend(append_some(connection, &[*delivery], memory, now).await?);
        }
    }
    Ok(results)
}

async fn append_some(
    connection: &mut SqliteConnection,
    deliveries: &[&PreparedDelivery],
    memory: &mut Memory,
    now: Timestamp,
) -> Result<Vec<Result<Appended, StoreError>>, StoreError> {
    let row = memory.next_row;
    let batch = step(connection, async |connection| append(connection, deliveries, row, now).await).await?;
    Ok(match batch {
        Ok(batch) => {
            memory.next_row = batch.next_row;
            batch.answers.into_iter().map(Ok).collect()
        }
        Err(error) => vec![Err(error); deliveries.len()],
    })
}

/// Ends claims in batches that hold each lane once.
async fn close_all(
    connection: &mut SqliteConnection,
    mut closings: Vec<Ending>,
    answers: &mut Answers,
    now: Timestamp,
) -> Result<(), StoreError> {
    while !closings.is_empty() {
        let mut lanes = HashSet::with_capacity(closings.len());
        let (batch, later): (Vec<Ending>, Vec<Ending>) =
            closings.into_iter().partition(|(closing, _)| lanes.insert(closing.lane_id));
        closings = later;
        let all: Vec<&Closing> = batch.iter().map(|(closing, _)| closing).collect();
        let results = match close_some(connection, &all, answers, now).await? {
            Ok(results) => results,
            Err(_) => close_one_by_one(connection, &all, answers, now).await?,
        };
        answers.closings.extend(batch.into_iter().map(|(_, answer)| answer).zip(results));
    }
    Ok(())
}

async fn close_some(
    connection: &mut SqliteConnection,
    closings: &[&Closing],
    answers: &mut Answers,
    now: Timestamp,
) -> Result<Result<Ended, StoreError>, StoreError> {
    let closed = step(connection, async |connection| close(connection, closings, now).await).await?;
    Ok(closed.map(|closed| {
        answers.work_is_due |= closed.work_is_due;
        closed.answers
    }))
}

async fn close_one_by_one(
    connection: &mut SqliteConnection,
    closings: &[&Closing],
    answers: &mut Answers,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    let mut results = Vec::with_capacity(closings.len());
    for closing in closings {
        match close_some(connection, &[closing], answers, now).await? {
            Ok(ended) => results.extend(ended),
            Err(error) => results.push(Err(error.into())),
        }
    }
    Ok(results)
}

/// Does `work` so that its failure undoes it and nothing else. The outer error means that the transaction is gone.
async fn step<T>(
    connection: &mut SqliteConnection,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
) -> Result<Result<T, StoreError>, StoreError> {
    execute(connection, "savepoint step").await?;
    let outcome = work(connection).await;
    if let Err(error) = &outcome {
        // The engine ends the whole transaction by itself when the disk is full or fails; the cause is the first error.
        execute(connection, "rollback to step").await.map_err(|_| error.clone())?;
    }
    execute(connection, "release step").await?;
    Ok(outcome)
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}

impl Answers {
    /// Answers all, with `failure` if the commit failed; a caller that has gone away is none of our business any more.
    fn send(self, failure: Option<StoreError>) {
        for (answer, result) in self.appends {
            let _ = answer.send(failure.clone().map_or(result, |error| Err(error.into())));
        }
        for (answer, result) in self.closings {
            let _ = answer.send(failure.clone().map_or(result, |error| Err(error.into())));
        }
        for (answer, result) in self.claims {
            let _ = answer.send(failure.clone().map_or(result, Err));
        }
        for (answer, result) in self.jobs {
            let _ = answer.send(failure.clone().map_or(result, Err));
        }
    }
}
