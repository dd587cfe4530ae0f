//! Units that wait for a connection of their database. Whoever gets one next takes those that came meanwhile along, so that a
//! backlog needs few commits, and a unit without company loses no time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::model::change::Change;

use super::write::{Applied, Unit, WriteError};

/// The most units in one transaction.
pub(super) const MOST_TOGETHER: usize = 32;

/// Those who wait, in the order in which they came.
pub(super) struct Gathering {
    waiting: Mutex<VecDeque<Waiting>>,
    tickets: AtomicU64,
    /// How many may go together: fewer after they met another transaction, more again with each time that they did not.
    most: AtomicUsize,
}

/// One who waits.
pub(super) struct Waiting {
    ticket: u64,
    unit: OwnUnit,
    /// Where it is told what became of it.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// A unit that outlives whoever brought it.
struct OwnUnit {
    mark: [u8; 32],
    lane: [u8; 16],
    others: Vec<[u8; 16]>,
    fence: i64,
    is_late: bool,
    changes: Vec<Change>,
}

/// What became of a unit that somebody took along.
pub(super) enum Answer {
    /// It was tried, and this is how it ended.
    Ended(Result<Applied, WriteError>),
    /// Nothing is known; it has to be tried by itself.
    Alone,
}

/// A place among those who wait, until it is dropped.
pub(super) struct Place<'g> {
    gathering: &'g Gathering,
    ticket: u64,
    /// Brings what became of the unit, or ends without a word when whoever took it along was cut off.
    pub(super) answer: oneshot::Receiver<Answer>,
}

impl Gathering {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), tickets: AtomicU64::new(0), most: AtomicUsize::new(MOST_TOGETHER) }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Takes a place at the end.
    pub(super) fn enter(&self, unit: Unit<'_>) -> Place<'_> {
        let Unit { mark, lane, others, fence, is_late, changes } = unit;
        let unit = OwnUnit { mark, lane, others: others.to_vec(), fence, is_late, changes: changes.to_vec() };
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        self.waiting().push_back(Waiting { ticket, unit, answer });
        Place { gathering: self, ticket, answer: receiver }
    }

    /// The one with this place and as many others as may go along, the longest waiting first; nobody when it was taken along.
    pub(super) fn take(&self, place: &Place<'_>) -> Vec<Waiting> {
        let most = self.most.load(Ordering::Relaxed);
        let mut waiting = self.waiting();
        let Some(own) = waiting.iter().position(|one| one.ticket == place.ticket).and_then(|index| waiting.remove(index)) else {
            return Vec::new();
        };
        let others = waiting.len().min(most - 1);
        [own].into_iter().chain(waiting.drain(..others)).collect()
    }

    /// So many went together and met another transaction.
    pub(super) fn collided(&self, together: usize) {
        self.most.store((together / 2).clamp(1, MOST_TOGETHER), Ordering::Relaxed);
    }

    /// So many went together, and nothing stood in the way.
    pub(super) fn succeeded(&self, together: usize) {
        let most = self.most.load(Ordering::Relaxed);
        if together >= most && most < MOST_TOGETHER {
            self.most.store(most + 1, Ordering::Relaxed);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gathering.waiting().retain(|one| one.ticket != self.ticket);
    }
}

impl Waiting {
    /// What is to be written.
    pub(super) fn unit(&self) -> Unit<'_> {
        let OwnUnit { mark, lane, others, fence, is_late, changes } = &self.unit;
        Unit { mark: *mark, lane: *lane, others, fence: *fence, is_late: *is_late, changes }
    }

    /// Whether somebody still wants to know what becomes of it: its worker may have lost the lease since.
    pub(super) fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    /// Rows that other lanes may write too first: transactions that take them in one order do not wait for each other in a circle.
    pub(super) fn lock_order(&self) -> String {
        let changes = &self.unit.changes;
        let shared = changes.iter().filter(|change| change.version.is_some());
        let places = shared.map(place).min().or_else(|| changes.first().map(place));
        places.unwrap_or_default()
    }
}

fn place(change: &Change) -> String {
    let key: Vec<String> = change.operation.found_by().iter().map(|cell| cell.value.to_string()).collect();
    format!("{}\0{}", change.table.to_ascii_lowercase(), key.join("\0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(number: u8) -> Unit<'static> {
        Unit { mark: [number; 32], lane: [number; 16], others: &[], fence: 1, is_late: false, changes: &[] }
    }

    #[test]
    fn whoever_gets_a_connection_takes_the_longest_waiting_along() {
        let gathering = Gathering::new();
        let places: Vec<_> = (0..40).map(|number| gathering.enter(unit(number))).collect();
        let first = gathering.take(&places[39]);
        assert_eq!(first.len(), MOST_TOGETHER);
        assert_eq!((first[0].unit.mark[0], first[1].unit.mark[0], first[31].unit.mark[0]), (39, 0, 30));
        assert!(gathering.take(&places[5]).is_empty(), "it was taken along");
        drop(places);
        assert!(gathering.is_empty(), "nobody waits who has left");
    }

    #[test]
    fn fewer_go_together_after_they_met_another_transaction_and_more_again_later() {
        let gathering = Gathering::new();
        gathering.collided(32);
        let places: Vec<_> = (0..40).map(|number| gathering.enter(unit(number))).collect();
        assert_eq!(gathering.take(&places[0]).len(), 16);
        gathering.succeeded(3);
        gathering.succeeded(16);
        assert_eq!(gathering.take(&places[16]).len(), 17);
        gathering.collided(1);
        assert_eq!(gathering.take(&places[33]).len(), 1);
    }
}
