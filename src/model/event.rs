//! The event document: the JSON document a record becomes. Each step adds a key to it; `$` always means this document.

use serde_json::{Map, Value as Json};

/// The document of one record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventDocument(Map<String, Json>);

impl EventDocument {
    /// What stands under a first name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// Adds a step's key, or replaces it when the step runs again for another item.
    pub fn set(&mut self, name: impl Into<String>, value: Json) {
        self.0.insert(name.into(), value);
    }

    /// Takes a key away again, once an item's turn is over.
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        self.0.remove(name)
    }

    /// All of it.
    pub fn fields(&self) -> &Map<String, Json> {
        &self.0
    }

    /// All of it as one JSON value.
    pub fn to_json(&self) -> Json {
        Json::Object(self.0.clone())
    }
}

impl From<Map<String, Json>> for EventDocument {
    fn from(fields: Map<String, Json>) -> Self {
        Self(fields)
    }
}
