//! How many requests to one API are under way at once, per scope.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::call::Call;

/// One semaphore per API, scope and size; gone when nobody uses it.
#[derive(Default)]
pub(super) struct Concurrency {
    semaphores: Mutex<HashMap<(String, String, usize), Weak<Semaphore>>>,
}

impl Concurrency {
    /// Waits for its turn; nothing when the API has no limit of this kind.
    pub(super) async fn permit(&self, call: &Call) -> Option<OwnedSemaphorePermit> {
        let size = call.api.concurrency?.clamp(1, Semaphore::MAX_PERMITS);
        self.semaphore(call, size).acquire_owned().await.ok()
    }

    fn semaphore(&self, call: &Call, size: usize) -> Arc<Semaphore> {
        let name = (call.api.name.clone(), call.scope.clone(), size);
        let mut semaphores = self.semaphores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = semaphores.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        semaphores.retain(|_, semaphore| semaphore.strong_count() > 0);
        let new = Arc::new(Semaphore::new(size));
        semaphores.insert(name, Arc::downgrade(&new));
        new
    }
}
