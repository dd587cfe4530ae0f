//! Budgets that survive a restart: kept in the state.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::budget::{Budget, Taken, Window};
use crate::clock::Timestamp;
use crate::store::Store;
use crate::store::budgets;

/// How soon to ask again when the state cannot answer.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The budgets of a state.
pub struct StoreBudget(Store);

impl StoreBudget {
    /// Budgets kept in this state.
    pub fn new(store: Store) -> Self {
        Self(store)
    }
}

impl Budget for StoreBudget {
    fn take<'a>(&'a self, name: &'a str, windows: &'a [Window], want: u32) -> BoxFuture<'a, Taken> {
        Box::pin(async move {
            match budgets::take(&self.0, name, windows, want).await {
                Ok(budgets::Taken::Granted(granted)) => Taken::Granted(granted),
                Ok(budgets::Taken::NotBefore(at)) => Taken::NotBefore(at),
                Err(error) => {
                    tracing::warn!(budget = name, %error, "the budget cannot be read; no call is made for now");
                    Taken::NotBefore(self.0.clock().now() + ASK_AGAIN_AFTER)
                }
            }
        })
    }

    fn pause<'a>(&'a self, name: &'a str, until: Timestamp) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = budgets::pause(&self.0, name, until).await {
                tracing::warn!(budget = name, %error, "the budget's pause cannot be kept");
            }
        })
    }
}
