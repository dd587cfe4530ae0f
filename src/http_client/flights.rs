//! Single flight: identical calls that are under way at the same time are one call, led by the first of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::call::Identity;
use crate::clock::Timestamp;

/// The calls under way; `T` is how one ends.
pub(super) struct Flights<T> {
    open: Mutex<Open<T>>,
}

struct Open<T> {
    last_number: u64,
    newest: HashMap<Identity, Flight<T>>,
}

/// One call under way.
struct Flight<T> {
    number: u64,
    began_at: Timestamp,
    landed: watch::Receiver<Option<T>>,
}

/// What a call is to do.
pub(super) enum Boarding<'a, T: Clone> {
    /// Make the request and tell the others.
    Lead(Leader<'a, T>),
    /// Wait for the one who does.
    Join(Passenger<T>),
}

impl<T: Clone> Flights<T> {
    pub(super) fn new() -> Self {
        Self { open: Mutex::new(Open { last_number: 0, newest: HashMap::new() }) }
    }

    /// Joins the newest identical call that began at a moment which `serves`, or begins another.
    pub(super) fn board(&self, identity: Identity, now: Timestamp, serves: impl FnOnce(Timestamp) -> bool) -> Boarding<'_, T> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = open.newest.get(&identity)
            && serves(flight.began_at)
        {
            return Boarding::Join(Passenger { began_at: flight.began_at, landed: flight.landed.clone() });
        }
        open.last_number += 1;
        let number = open.last_number;
        let (tell, landed) = watch::channel(None);
        open.newest.insert(identity, Flight { number, began_at: now, landed });
        Boarding::Lead(Leader { flights: self, identity, number, tell })
    }

    fn close(&self, identity: Identity, number: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.newest.get(&identity).is_some_and(|flight| flight.number == number) {
            open.newest.remove(&identity);
        }
    }
}

/// The call that makes the request. Dropped without landing, its passengers are told and board anew.
pub(super) struct Leader<'a, T: Clone> {
    flights: &'a Flights<T>,
    identity: Identity,
    number: u64,
    tell: watch::Sender<Option<T>>,
}

impl<T: Clone> Leader<'_, T> {
    /// Gives `end` to all who wait. Closes first, so that whoever comes now begins another.
    pub(super) fn land(self, end: T) {
        self.flights.close(self.identity, self.number);
        self.tell.send_replace(Some(end));
    }
}

impl<T: Clone> Drop for Leader<'_, T> {
    fn drop(&mut self) {
        self.flights.close(self.identity, self.number);
    }
}

/// A call that waits for an identical one.
pub(super) struct Passenger<T> {
    /// No request of the joined call began earlier.
    pub(super) began_at: Timestamp,
    landed: watch::Receiver<Option<T>>,
}

impl<T: Clone> Passenger<T> {
    /// How the joined call ended; nothing when it was given up.
    pub(super) async fn landed(mut self) -> Option<T> {
        let end = self.landed.wait_for(Option::is_some).await.ok()?;
        end.clone()
    }
}
