//! A value as a database keeps it, in the one form in which the engines agree: what is bound and what is read back are equal
//! when the column holds the same.

use std::hash::{Hash, Hasher};

use base64::Engine as _;
use serde_json::Value as Json;

/// A value as the database keeps it.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    /// NULL.
    Null,
    /// A whole number; false and true are 0 and 1.
    Integer(i64),
    /// A float.
    Real(f64),
    /// Text, and all that has a spelling of its own: decimals, dates, times, moments, UUIDs, JSON.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Stored {
    /// As it is printed: numbers exact, bytes as base64 text.
    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Integer(number) => Json::from(*number),
            Self::Real(number) => {
                serde_json::Number::from_f64(*number).map_or_else(|| Json::String(number.to_string()), Json::Number)
            }
            Self::Text(text) => Json::String(text.clone()),
            Self::Bytes(bytes) => Json::String(base64::engine::general_purpose::STANDARD.encode(bytes)),
        }
    }

    /// The text that it is or that it is written as; none for NULL.
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Integer(number) => Some(number.to_string()),
            Self::Real(number) => Some(number.to_string()),
            Self::Text(text) => Some(text),
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Integer(one), Self::Integer(other)) => one == other,
            (Self::Real(one), Self::Real(other)) => one.to_bits() == other.to_bits(),
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Bytes(one), Self::Bytes(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Stored {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Integer(number) => number.hash(state),
            Self::Real(number) => number.to_bits().hash(state),
            Self::Text(text) => text.hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
        }
    }
}
