//! What logins gave: a token or a session, kept until it ends or is refused, one for each set of credentials. Whoever needs one
//! while it is being had waits for it, so that a hundred records log in once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;
use tokio::sync::Mutex as Turn;

use super::call::{Call, Identity};
use crate::clock::Timestamp;

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

/// The place of one session; whoever holds its lock may log in.
pub type Slot = Arc<Turn<Option<Session>>>;

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
                Ok(session) => Arc::strong_count(slot) > 1 || session.as_ref().is_some_and(|session| session.until > now),
                Err(_) => true,
            };
            slots.retain(|_, slot| in_use(slot));
        }
        Arc::clone(slots.entry(login.identity()).or_default())
    }
}
