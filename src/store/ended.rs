//! How many records came to an end in this process since it started: counted as they end, since counting what is kept takes long.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::record::RecordState;

/// By source and state.
#[derive(Default)]
pub struct EndedRecords(Mutex<BTreeMap<(String, &'static str), u64>>);

impl EndedRecords {
    /// Counts records of a source that are in a final state from now on.
    pub(super) fn count(&self, source: &str, state: RecordState, records: usize) {
        if records > 0 {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry((source.to_owned(), state.word())).or_default() += records as u64;
        }
    }

    /// Source, state and how many.
    pub fn all(&self) -> Vec<(String, &'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((source, state), count)| (source.clone(), *state, *count)).collect()
    }
}
