//! The work hash: two records of a lane with equal work hashes are one piece of work. It covers everything that the route reads of
//! a delivery, so merging loses nothing.

use std::hash::Hasher;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::expr::reads::{Reads, feed, value_at};
use crate::model::event::EventDocument;

/// What differs between any two records and says nothing about their work.
const APART: [&str; 3] = ["received_at", "delivery", "attempt"];

/// The hash, keyed: what a delivery brings along may be secret and short.
pub fn hash(key: &[u8; 32], route: &str, gone: bool, document: &EventDocument, reads: &Reads) -> [u8; 32] {
    let mut hasher = Keyed(Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length"));
    hasher.write(route.as_bytes());
    hasher.write_u8(u8::from(gone));
    let places = reads.places().filter(|place| place.first().is_some_and(|first| !APART.contains(&first.as_str())));
    for place in places {
        place.iter().for_each(|name| {
            hasher.write_u64(name.len() as u64);
            hasher.write(name.as_bytes());
        });
        match value_at(document, place) {
            Some(value) => feed(value, &mut hasher),
            None => hasher.write_u8(255),
        }
    }
    for name in ["tenant", "integration"] {
        document.get(name).inspect(|value| feed(value, &mut hasher));
    }
    hasher.0.finalize().into_bytes().into()
}

/// SHA-256 of a record's own part of its delivery.
pub fn item_sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    Sha256::digest(bytes).into()
}

struct Keyed(Hmac<Sha256>);

impl Hasher for Keyed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Never asked for: the whole digest is taken instead.
    fn finish(&self) -> u64 {
        0
    }
}
