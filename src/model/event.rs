//! The event document: the JSON document a record becomes. Each step adds a key to it; `$` always means this document.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

/// The document of one record: first names in the order in which steps added them. Values are shared, so that an expression
/// can look into them without a copy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventDocument(Vec<(String, Arc<Json>)>);

impl EventDocument {
    /// What stands under a first name.
    pub fn get(&self, name: &str) -> Option<&Arc<Json>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Adds a step's key, or replaces it when the step runs again for another item.
    pub fn set(&mut self, name: &str, value: impl Into<Arc<Json>>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Takes a key away again, once an item's turn is over.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// The first names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// All of it as one JSON value.
    pub fn to_json(&self) -> Json {
        Json::Object(self.0.iter().map(|(name, value)| (name.clone(), Json::clone(value))).collect::<Map<_, _>>())
    }
}
