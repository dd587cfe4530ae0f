//! `receive.rate`: how many requests in how long, per source and tenant. In memory: a restart forgives.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::units::Rate;

/// How many (source, tenant) pairs are kept before those that are at rest are forgotten.
const MOST: usize = 10_000;

/// The moments from which each source and tenant has its whole allowance again.
#[derive(Debug, Default)]
pub struct Rates {
    rested_at: Mutex<HashMap<(String, i64), Timestamp>>,
}

impl Rates {
    /// Takes one from the allowance, or says how long until there is one.
    pub fn admit(&self, source: &str, tenant: i64, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        let mut rested_at = self.rested_at.lock().unwrap_or_else(PoisonError::into_inner);
        if rested_at.len() >= MOST {
            rested_at.retain(|_, at| *at > now);
        }
        let each = rate.window / rate.count;
        let at = rested_at.entry((source.to_owned(), tenant)).or_insert(now);
        let after = (*at).max(now) + each;
        let ahead = after.since(now);
        if ahead > rate.window {
            return Err(ahead - rate.window);
        }
        *at = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_comes_back_with_time() {
        let rates = Rates::default();
        let rate = Rate { count: 2, window: Duration::from_secs(1) };
        let start = Timestamp::from_micros(0);
        let admit = |at: Timestamp| rates.admit("a", 1, rate, at);
        assert_eq!((admit(start), admit(start)), (Ok(()), Ok(())));
        assert_eq!(admit(start), Err(Duration::from_millis(500)));
        assert_eq!(rates.admit("a", 2, rate, start), Ok(()), "another tenant");
        assert_eq!(admit(start + Duration::from_millis(500)), Ok(()));
    }
}
