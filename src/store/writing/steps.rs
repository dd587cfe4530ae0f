//! What a round does inside its transaction: appends, ends of claims, claims, and the statements of nouns. What fails for one caller
//! is undone for that one alone.

use std::collections::HashSet;

use super::message::Product;
use super::round::{Memory, Round};
use crate::clock::Timestamp;
use crate::model::delivery::Appended;
use crate::model::lane::Claim;
use crate::store::error::{FinishError, StoreError};
use crate::store::intake_form::PreparedDelivery;
use crate::store::queue::append::append;
use crate::store::queue::claim::claim;
use crate::store::queue::closing::{Closing, close};
use crate::store::queue::lane_rows::{hold_lanes, hold_pools};
use crate::store::sql::{Connection, query};

type Ended = Vec<Result<(), FinishError>>;

/// What is answered once it is committed, in the order of the round's messages.
#[derive(Default)]
pub(super) struct Results {
    pub(super) appends: Vec<Result<Appended, StoreError>>,
    pub(super) closings: Vec<Option<Result<(), FinishError>>>,
    pub(super) claims: Vec<Result<Vec<Claim>, StoreError>>,
    pub(super) jobs: Vec<Result<Product, StoreError>>,
    pub(super) work_is_due: bool,
}

impl Results {
    /// Nothing yet.
    pub(super) fn of(round: &Round) -> Self {
        Self { closings: round.closings.iter().map(|_| None).collect(), ..Self::default() }
    }
}

/// An error from here means that the transaction is gone.
pub(super) async fn all_steps(
    connection: &mut Connection,
    round: &Round,
    results: &mut Results,
    memory: &mut Memory,
    now: Timestamp,
) -> Result<(), StoreError> {
    if connection.is_shared() {
        // everyone locks in one order: pools that pause, senders' ids, pools that are added to, then all lanes of the round
        let pauses = round.closings.iter().filter_map(|(closing, _)| closing.pause.as_ref());
        hold_pools(connection, pauses.map(|pause| pause.pool_id)).await?;
        if round.appends.is_empty() {
            hold_lanes(connection, closing_lanes(round).into_iter()).await?;
        }
    }
    append_all(connection, round, results, memory, now).await?;
    close_all(connection, round, results, now).await?;
    for (wanted, _) in &round.claims {
        let claimed = step(connection, async |connection| claim(connection, wanted, &mut memory.turn, now).await).await?;
        results.claims.push(claimed);
    }
    for job in &round.jobs {
        let product = step(connection, async |connection| (job.run)(connection, now).await).await?;
        results.work_is_due |= job.wakes;
        results.jobs.push(product);
    }
    Ok(())
}

/// The lanes of which claims are ended, and those of the forwards that follow.
fn closing_lanes(round: &Round) -> Vec<[u8; 16]> {
    let lanes = |(closing, _): &_| {
        let closing: &Closing = closing;
        let others = closing.others.iter().map(|lane| lane.hash);
        let forwards = closing.forwards.iter().map(|forward| forward.lane.hash);
        std::iter::once(closing.lane_hash).chain(others).chain(forwards).collect::<Vec<_>>()
    };
    round.closings.iter().flat_map(lanes).collect()
}

/// All in one batch; if that fails, one by one, so that the faulty one fails alone.
async fn append_all(
    connection: &mut Connection,
    round: &Round,
    results: &mut Results,
    memory: &mut Memory,
    now: Timestamp,
) -> Result<(), StoreError> {
    let all: Vec<_> = round.appends.iter().map(|message| &message.delivery).collect();
    if all.is_empty() {
        return Ok(());
    }
    let ending = closing_lanes(round);
    let mut answers = append_some(connection, &all, &ending, memory, now).await?;
    if all.len() > 1 && answers.iter().all(Result::is_err) {
        answers.clear();
        for delivery in all {
            answers.extend(append_some(connection, &[delivery], &ending, memory, now).await?);
        }
    }
    results.work_is_due |= answers.iter().any(Result::is_ok);
    results.appends = answers;
    Ok(())
}

async fn append_some(
    connection: &mut Connection,
    deliveries: &[&PreparedDelivery],
    ending: &[[u8; 16]],
    memory: &mut Memory,
    now: Timestamp,
) -> Result<Vec<Result<Appended, StoreError>>, StoreError> {
    take_row_numbers(connection, deliveries.len(), memory).await?;
    let row = memory.next_row;
    let batch = step(connection, async |connection| append(connection, deliveries, ending, row, now).await).await?;
    Ok(match batch {
        Ok(batch) => {
            memory.next_row = batch.next_row;
            batch.answers.into_iter().map(Ok).collect()
        }
        Err(error) => vec![Err(error); deliveries.len()],
    })
}

/// Where others share the state, each takes a block of row numbers at a time; the sequence moves on by the length of a block.
async fn take_row_numbers(connection: &mut Connection, count: usize, memory: &mut Memory) -> Result<(), StoreError> {
    const BLOCK: i64 = 4096;
    if memory.next_row + i64::try_from(count).expect("a batch is small") <= memory.rows_end {
        return Ok(());
    }
    memory.next_row = query("select nextval('delivery_row') as row").fetch_one(connection).await?.get("row")?;
    memory.rows_end = memory.next_row + BLOCK;
    Ok(())
}

/// Ends claims in batches that hold each lane once.
async fn close_all(connection: &mut Connection, round: &Round, results: &mut Results, now: Timestamp) -> Result<(), StoreError> {
    let mut left: Vec<(usize, &Closing)> = round.closings.iter().map(|(closing, _)| closing).enumerate().collect();
    while !left.is_empty() {
        let mut lanes = HashSet::with_capacity(left.len());
        let (batch, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, closing)| lanes.insert(closing.lane_id));
        left = later;
        let all: Vec<&Closing> = batch.iter().map(|(_, closing)| *closing).collect();
        let ended = match close_some(connection, &all, results, now).await? {
            Ok(ended) => ended,
            Err(_) => close_one_by_one(connection, &all, results, now).await?,
        };
        for ((number, _), ended) in batch.into_iter().zip(ended) {
            results.closings[number] = Some(ended);
        }
    }
    Ok(())
}

async fn close_some(
    connection: &mut Connection,
    closings: &[&Closing],
    results: &mut Results,
    now: Timestamp,
) -> Result<Result<Ended, StoreError>, StoreError> {
    let closed = step(connection, async |connection| close(connection, closings, now).await).await?;
    Ok(closed.map(|closed| {
        results.work_is_due |= closed.work_is_due;
        closed.answers
    }))
}

async fn close_one_by_one(
    connection: &mut Connection,
    closings: &[&Closing],
    results: &mut Results,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    let mut ended = Vec::with_capacity(closings.len());
    for closing in closings {
        match close_some(connection, &[closing], results, now).await? {
            Ok(one) => ended.extend(one),
            Err(error) => ended.push(Err(error.into())),
        }
    }
    Ok(ended)
}

/// Does `work` so that its failure undoes it and nothing else. The outer error means that the transaction is gone: the engine has
/// ended it, the connection is cut off, or another instance was in the way and all of it is to be done again.
async fn step<T>(
    connection: &mut Connection,
    work: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>,
) -> Result<Result<T, StoreError>, StoreError> {
    connection.run("savepoint step").await?;
    let outcome = work(connection).await;
    if let Err(error) = &outcome {
        if error.is_conflict() || error.is_cut_off() {
            return Err(error.clone());
        }
        // The engine ends the whole transaction by itself when the disk is full or fails; the cause is the first error.
        connection.run("rollback to step").await.map_err(|_| error.clone())?;
    }
    connection.run("release step").await?;
    Ok(outcome)
}
