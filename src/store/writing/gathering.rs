//! What waits for the writer, taken a round's worth at a time.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::message::{AppendMessage, Mailbox, Work};
use super::round::{Ending, Round};
use crate::store::error::AppendError;

/// The most deliveries and bytes in one batch, and the most other messages in one round.
const BATCH_APPENDS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
const BATCH_WORK: usize = 256;
/// The shortest time between two tries of what could not be written.
pub(crate) const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// Takes what waits out of the mailbox, a round's worth at a time.
pub(crate) struct Gathering {
    mailbox: Mailbox,
    held_back: VecDeque<AppendMessage>,
}

impl Gathering {
    /// Begins with nothing taken.
    pub(crate) fn new(mailbox: Mailbox) -> Self {
        Self { mailbox, held_back: VecDeque::new() }
    }

    /// The next round, or none when there will be no more. Nothing is lost when this is dropped while it waits.
    pub(crate) async fn next(&mut self) -> Option<Round> {
        let mut round = Round::default();
        let mut bytes = 0;
        if self.held_back.is_empty() {
            tokio::select! {
                biased;
                Some(message) = self.mailbox.appends.recv() => self.held_back.push_back(message),
                Some(work) = self.mailbox.work.recv() => self.sort(work, &mut round),
                else => return None,
            }
        }
        while round.appends.len() < BATCH_APPENDS && bytes < BATCH_BYTES {
            let Some(message) = self.held_back.pop_front().or_else(|| self.mailbox.appends.try_recv().ok()) else { break };
            if bytes > 0 && bytes + message.weight > BATCH_BYTES {
                self.held_back.push_front(message);
                break;
            }
            self.mailbox.queued_bytes.fetch_sub(message.weight, Ordering::Relaxed);
            bytes += message.weight;
            if !message.answer.is_closed() {
                round.appends.push(message);
            }
        }
        for _ in 0..BATCH_WORK {
            let Ok(work) = self.mailbox.work.try_recv() else { break };
            self.sort(work, &mut round);
        }
        Some(round)
    }

    fn sort(&mut self, work: Work, round: &mut Round) {
        match work {
            Work::Close(closing, answer) => round.closings.push((*closing, answer)),
            Work::Claim(wanted, answer) => {
                // Lanes must not be leased to someone who has gone away.
                if !answer.is_closed() {
                    round.claims.push((wanted, answer));
                }
            }
            Work::Job(job) => round.jobs.push(job),
            Work::Stop => {
                self.mailbox.appends.close();
                self.mailbox.work.close();
            }
        }
    }
}

/// What waits; the kept ends of claims before all others, and alone when nothing else comes.
pub(crate) async fn next_round(gathering: &mut Gathering, kept: &mut Vec<Ending>) -> Option<Round> {
    let mut round = if kept.is_empty() {
        gathering.next().await?
    } else {
        match tokio::time::timeout(BETWEEN_TRIES, gathering.next()).await {
            Ok(round) => round?,
            Err(_) => Round::default(),
        }
    };
    round.closings.splice(0..0, kept.drain(..));
    Some(round)
}

/// Tells all whose deliveries wait in this round that they cannot be stored.
pub(crate) fn refuse_appends(round: &mut Round, reason: &str) {
    for message in round.appends.drain(..) {
        let _ = message.answer.send(Err(AppendError::Unavailable { reason: reason.to_owned() }));
    }
}
