//! The event document: the JSON document a record becomes. Each step adds a key to it; `$` always means this document.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::clock::Timestamp;

/// The document of one record: first names in the order in which steps added them. Values are shared, so that an expression
/// can look into them without a copy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventDocument {
    values: Vec<(String, Arc<Json>)>,
    /// When the first request of each call began whose answer is among the values.
    fetched: Vec<(String, Timestamp)>,
    /// What its steps did that is worth telling whoever looks at the record.
    notes: Vec<String>,
}

impl EventDocument {
    /// What stands under a first name.
    pub fn get(&self, name: &str) -> Option<&Arc<Json>> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Adds a step's key, or replaces it when the step runs again for another item.
    pub fn set(&mut self, name: &str, value: impl Into<Arc<Json>>) {
        let value = value.into();
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => self.values.push((name.to_owned(), value)),
        }
    }

    /// Takes a key away again, once an item's turn is over.
    pub fn remove(&mut self, name: &str) {
        self.values.retain(|(known, _)| known != name);
    }

    /// Notes when the first request of a call began.
    pub fn set_fetched(&mut self, call: &str, began_at: Timestamp) {
        self.fetched.push((call.to_owned(), began_at));
    }

    /// Adds what is worth telling of a step.
    pub fn add_notes(&mut self, notes: Vec<String>) {
        self.notes.extend(notes);
    }

    /// What is worth telling of its steps.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// When the first of these calls began, or of all when none of these was made; none when none was made at all.
    pub fn fetched_at(&self, calls: &[String]) -> Option<Timestamp> {
        let own = self.fetched.iter().filter(|(call, _)| calls.contains(call)).map(|(_, at)| *at).min();
        own.or_else(|| self.fetched.iter().map(|(_, at)| *at).min())
    }

    /// The same without everything that has no name among these.
    #[must_use]
    pub fn only(&self, names: &BTreeSet<&str>) -> Self {
        let values = self.values.iter().filter(|(name, _)| names.contains(name.as_str())).cloned().collect();
        Self { values, fetched: Vec::new(), notes: Vec::new() }
    }

    /// The first names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name.as_str())
    }

    /// All of it as one JSON value.
    pub fn to_json(&self) -> Json {
        Json::Object(self.values.iter().map(|(name, value)| (name.clone(), Json::clone(value))).collect::<Map<_, _>>())
    }
}
