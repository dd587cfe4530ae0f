//! A value that cannot be shown by mistake, and the mask that takes known secrets out of text and JSON before either is
//! stored, logged or shown. What is secret is decided elsewhere; this file only keeps it covered.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use serde_json::Value as Json;
use zeroize::{Zeroize, Zeroizing};

/// What stands where a secret was.
pub const MASK: &str = "•••";

/// The shortest secret that is looked for inside other text. Shorter ones are still covered where their place is known;
/// replacing every `1` of a page because a customer chose `1` as a token would hide everything else.
const SHORTEST_SEARCHED: usize = 4;

/// A value that prints as `•••`, has no `Display` and no `Serialize`, and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself. Every call is a place to look at when asking where a secret goes.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl From<String> for Secret<String> {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

/// Takes secrets out of whatever is about to be seen: by value (also percent-encoded, JSON-escaped, hex and base64) and by
/// place (paths of the event document whose content is secret whatever it is).
#[derive(Clone, Default)]
pub struct Mask {
    needles: Vec<Zeroizing<String>>,
    places: Vec<Vec<String>>,
}

impl Mask {
    /// Covers `secret` wherever it occurs.
    pub fn cover_value(&mut self, secret: &str) {
        if secret.len() < SHORTEST_SEARCHED {
            return;
        }
        let json = Json::String(secret.to_owned()).to_string();
        let forms = [
            secret.to_owned(),
            percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
            form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            json[1..json.len() - 1].to_owned(),
            hex::encode(secret),
            base64::engine::general_purpose::STANDARD.encode(secret),
        ];
        for form in forms {
            if !self.needles.iter().any(|known| **known == form) {
                self.needles.push(Zeroizing::new(form));
            }
        }
        self.needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
    }

    /// Covers whatever stands at `place` of an event document, for example `["body", "token"]`.
    pub fn cover_place(&mut self, place: Vec<String>) {
        if !place.is_empty() && !self.places.contains(&place) {
            self.places.push(place);
        }
    }

    /// The places covered so far.
    pub fn places(&self) -> &[Vec<String>] {
        &self.places
    }

    /// Covers everything that `other` covers too.
    pub fn extend(&mut self, other: &Mask) {
        for needle in &other.needles {
            if !self.needles.contains(needle) {
                self.needles.push(needle.clone());
            }
        }
        self.needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        for place in &other.places {
            self.cover_place(place.clone());
        }
    }

    /// `text` without any known secret.
    pub fn text(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for needle in &self.needles {
            if masked.contains(needle.as_str()) {
                masked = masked.replace(needle.as_str(), MASK);
            }
        }
        masked
    }

    /// `value` with every known secret in its texts and names covered; places are not looked at.
    pub fn json(&self, value: &Json) -> Json {
        match value {
            Json::String(text) => Json::String(self.text(text)),
            Json::Number(number) => {
                let text = number.to_string();
                if self.text(&text) == text { value.clone() } else { Json::String(MASK.to_owned()) }
            }
            Json::Array(items) => Json::Array(items.iter().map(|item| self.json(item)).collect()),
            Json::Object(fields) => {
                Json::Object(fields.iter().map(|(name, field)| (self.text(name), self.json(field))).collect())
            }
            Json::Null | Json::Bool(_) => value.clone(),
        }
    }

    /// `document` (or one step's part of it) with the covered places replaced and every known secret taken out.
    pub fn document(&self, document: &Json) -> Json {
        let mut masked = self.json(document);
        for place in &self.places {
            cover(&mut masked, place);
        }
        masked
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Mask({} values, {} places)", self.needles.len() / 6, self.places.len())
    }
}

/// A mask that learns secrets on the way, such as the token that a login gives. Whoever has taken it knows those that were known
/// by then.
pub struct GrowingMask(Mutex<Arc<Mask>>);

impl GrowingMask {
    /// One that knows what `mask` knows.
    pub fn new(mask: Mask) -> Self {
        Self(Mutex::new(Arc::new(mask)))
    }

    /// As it is now.
    pub fn now(&self) -> Arc<Mask> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Covers every text and number of `secrets` from now on.
    pub fn cover_all(&self, secrets: &Json) {
        let mut found = Vec::new();
        scalars(secrets, &mut found);
        let mut mask = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.iter().any(|text| text.len() >= SHORTEST_SEARCHED && !mask.needles.contains(text)) {
            let mut grown = Mask::clone(&mask);
            found.iter().for_each(|text| grown.cover_value(text));
            *mask = Arc::new(grown);
        }
    }
}

fn scalars(value: &Json, found: &mut Vec<Zeroizing<String>>) {
    match value {
        Json::String(text) => found.push(Zeroizing::new(text.clone())),
        Json::Number(number) => found.push(Zeroizing::new(number.to_string())),
        Json::Array(items) => items.iter().for_each(|item| scalars(item, found)),
        Json::Object(fields) => fields.values().for_each(|field| scalars(field, found)),
        Json::Null | Json::Bool(_) => {}
    }
}

fn cover(value: &mut Json, place: &[String]) {
    match (value, place) {
        (Json::Null, []) => {}
        (target, []) => *target = Json::String(MASK.to_owned()),
        (Json::Object(fields), [first, rest @ ..]) => {
            if let Some(field) = fields.get_mut(first) {
                cover(field, rest);
            }
        }
        (Json::Array(items), [first, rest @ ..]) => match first.parse::<usize>() {
            Ok(index) => {
                if let Some(item) = items.get_mut(index) {
                    cover(item, rest);
                }
            }
            Err(_) => items.iter_mut().for_each(|item| cover(item, place)),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask_of(secret: &str) -> Mask {
        let mut mask = Mask::default();
        mask.cover_value(secret);
        mask
    }

    #[test]
    fn a_secret_is_covered_in_every_form_it_travels_in() {
        let mask = mask_of("s3cr&t/\"x");
        for text in ["?k=s3cr%26t%2F%22x&b=1", "{\"a\":\"s3cr&t/\\\"x\"}", "s3cr&t/\"x", "czNjciZ0LyJ4"] {
            assert!(mask.text(text).contains(MASK), "{text}");
        }
    }

    #[test]
    fn a_place_is_covered_whatever_stands_there() {
        let mut mask = Mask::default();
        mask.cover_place(vec!["body".into(), "token".into()]);
        let masked = mask.document(&serde_json::json!({ "body": { "token": 7, "n": 7 } }));
        assert_eq!(masked, serde_json::json!({ "body": { "token": MASK, "n": 7 } }));
    }

    #[test]
    fn a_secret_has_no_telling_debug() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), MASK);
    }
}
