//! What logins gave: a token or a session, kept until it ends or is refused, one for each set of credentials. Whoever needs one
//! while it is being had waits for it, so that a hundred records log in once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use super::call::{Call, Identity};
use crate::clock::Timestamp;
use crate::model::failure::Failure;

/// Sessions beyond which those that ended are dropped before another is added.
const MANY: usize = 1000;

/// A session. Its `Debug` shows nothing: what it holds is secret.
#[derive(Clone)]
pub struct Session {
    /// What the login gave.
    pub values: Arc<Json>,
    /// From when on it is no longer used.
    pub until: Timestamp,
    /// Tells one login from the next.
    pub number: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Session({}, until {})", self.number, self.until)
    }
}

/// What is known of one set of credentials.
#[derive(Default)]
pub struct Place {
    /// The session that is used.
    pub session: Option<Session>,
    /// How the last login failed, and when, if it did.
    failed: Option<(Instant, Failure)>,
    last_number: u64,
}

impl Place {
    /// How a login failed that ended after `asked`: whoever waited for it need not log in himself, so that credentials that are
    /// wrong are sent once and a provider that is slow is waited for once.
    pub fn failed_since(&self, asked: Instant) -> Option<Failure> {
        self.failed.as_ref().filter(|(at, _)| *at > asked).map(|(_, failure)| failure.clone())
    }

    /// Notes that a login failed.
    pub fn fail(&mut self, failure: Failure) {
        self.failed = Some((Instant::now(), failure));
    }

    /// The session that a login gave, to be used from now on.
    pub fn renew(&mut self, values: Arc<Json>, until: Timestamp) -> Session {
        self.last_number += 1;
        let session = Session { values, until, number: self.last_number };
        self.session = Some(session.clone());
        session
    }
}

/// The place of one session; whoever holds its lock may log in.
pub type Slot = Arc<Turn<Place>>;

/// All sessions.
#[derive(Default)]
pub struct Sessions {
    slots: Mutex<HashMap<Identity, Slot>>,
}

impl Sessions {
    /// The place for what `login` gives: logins that send the same to the same provider for the same scope have one.
    pub fn slot(&self, login: &Call, now: Timestamp) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MANY {
            let in_use = |slot: &Slot| match slot.try_lock() {
                Ok(place) => Arc::strong_count(slot) > 1 || place.session.as_ref().is_some_and(|session| session.until > now),
                Err(_) => true,
            };
            slots.retain(|_, slot| in_use(slot));
        }
        Arc::clone(slots.entry(login.identity()).or_default())
    }
}
