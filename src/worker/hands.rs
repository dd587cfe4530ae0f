//! The hands of this process at work: each is taken for a claim and put down when its work has ended, however that ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::model::lane::Claim;
use crate::store::hands::Hands;

pub(super) struct Workbench {
    work: Mutex<Work>,
    put_down: Notify,
}

struct Work {
    hands: Hands,
    /// What is worked on, by lane.
    claims: HashMap<i64, Arc<Claim>>,
}

/// A hand that works on a claim.
pub(super) struct Hand {
    bench: Arc<Workbench>,
    pub(super) claim: Arc<Claim>,
}

impl Workbench {
    pub(super) fn with_hands(count: usize) -> Self {
        Self { work: Mutex::new(Work { hands: Hands::shared(count), claims: HashMap::new() }), put_down: Notify::new() }
    }

    /// Who holds how many now.
    pub(super) fn hands(&self) -> Hands {
        self.lock().hands.clone()
    }

    /// What is worked on now.
    pub(super) fn claims(&self) -> Vec<Arc<Claim>> {
        self.lock().claims.values().cloned().collect()
    }

    pub(super) fn take(self: &Arc<Self>, claim: Claim) -> Hand {
        let claim = Arc::new(claim);
        let mut work = self.lock();
        work.hands.take(&claim.source, claim.pool_id);
        work.claims.insert(claim.lane_id, Arc::clone(&claim));
        Hand { bench: Arc::clone(self), claim }
    }

    /// Until a hand is put down; one that was put down since somebody waited last counts.
    pub(super) fn put_down(&self) -> Notified<'_> {
        self.put_down.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let mut work = self.bench.lock();
        work.hands.put_down(&self.claim.source, self.claim.pool_id);
        // a lease that was lost may be ours again already
        if work.claims.get(&self.claim.lane_id).is_some_and(|current| current.fence == self.claim.fence) {
            work.claims.remove(&self.claim.lane_id);
        }
        drop(work);
        self.bench.put_down.notify_one();
    }
}
