//! Which parts of the event document an expression looks at. Coalescing, freshness, masking and the checker build on it, so it
//! may name too much but never too little.

use std::collections::BTreeSet;
use std::hash::Hasher;

use serde_json::Value as Json;

use crate::model::event::EventDocument;

/// Places in the event document, first name first: `["order", "customer", "number"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads(BTreeSet<Vec<String>>);

impl Reads {
    /// Adds a place.
    pub fn add(&mut self, place: Vec<String>) {
        if !place.is_empty() {
            self.0.insert(place);
        }
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: &Reads) {
        self.0.extend(other.0.iter().cloned());
    }

    /// All places.
    pub fn places(&self) -> impl Iterator<Item = &[String]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// The first names.
    pub fn first_names(&self) -> BTreeSet<&str> {
        self.0.iter().filter_map(|place| place.first()).map(String::as_str).collect()
    }

    /// Whether something under this first name is read.
    pub fn reads_name(&self, name: &str) -> bool {
        self.0.iter().any(|place| place.first().is_some_and(|first| first == name))
    }
}

/// The value at a place, or the last value on the way to it when that is no object: an expression may do more with a text or a
/// list than name its fields. `None` when an object on the way has no such field.
pub fn value_at<'d>(document: &'d EventDocument, place: &[String]) -> Option<&'d Json> {
    reached_at(document, place).map(|(_, value)| value)
}

/// The same, with how many names led to it: `null` where `b` of `a` should be is another thing than an `a` that is null.
pub fn reached_at<'d>(document: &'d EventDocument, place: &[String]) -> Option<(usize, &'d Json)> {
    let (first, rest) = place.split_first()?;
    let mut value: &Json = document.get(first)?;
    for (depth, name) in rest.iter().enumerate() {
        let Json::Object(fields) = value else { return Some((depth, value)) };
        value = fields.get(name)?;
    }
    Some((rest.len(), value))
}

/// Feeds a value to a hasher so that equal JSON feeds equally, whatever the order of its fields.
pub fn feed(value: &Json, hasher: &mut impl Hasher) {
    match value {
        Json::Null => hasher.write_u8(0),
        Json::Bool(value) => hasher.write(&[1, u8::from(*value)]),
        Json::Number(number) => feed_text(2, &number.to_string(), hasher),
        Json::String(text) => feed_text(3, text, hasher),
        Json::Array(items) => {
            hasher.write_u8(4);
            hasher.write_u64(items.len() as u64);
            items.iter().for_each(|item| feed(item, hasher));
        }
        Json::Object(fields) => {
            hasher.write_u8(5);
            hasher.write_u64(fields.len() as u64);
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_str());
            for (name, field) in sorted {
                feed_text(6, name, hasher);
                feed(field, hasher);
            }
        }
    }
}

fn feed_text(kind: u8, text: &str, hasher: &mut impl Hasher) {
    hasher.write_u8(kind);
    hasher.write_u64(text.len() as u64);
    hasher.write(text.as_bytes());
}
