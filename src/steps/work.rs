//! The work hash: two records of a lane with equal work hashes are one piece of work. It covers everything that the route reads of
//! a delivery, so merging loses nothing.

use std::hash::Hasher;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::expr::reads::{Reads, feed, reached_at};
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
        match reached_at(document, place) {
            Some((depth, value)) => {
                hasher.write_u64(depth as u64);
                feed(value, &mut hasher);
            }
            None => hasher.write_u64(u64::MAX),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;
    use crate::config::diagnostic::Diagnostics;
    use crate::config::source::Sources;
    use crate::config::yaml::parse;
    use crate::expr::scope::Scope;
    use crate::expr::template::{Context, Engine};
    use crate::expr::value::{Compiler, Value};

    /// Values that look at the document in all the ways there are.
    const VALUES: [&str; 16] = [
        "$.a",
        "$.a.b",
        "$.a[0].b",
        "$.a[*].b",
        "$.a[?@.b].c",
        "$.a['b'].c",
        "\"{{ a.b }}\"",
        "\"{{ a[b] }}\"",
        "\"{{ a[c].b }}\"",
        "\"{{ (a or b).c }}\"",
        "\"{{ [a, b][0].c }}\"",
        "\"{{ a.b if c else b.c }}\"",
        "\"{% for x in a %}{{ x.b or '-' }}{% endfor %}\"",
        "\"{% set x = a %}{{ x.b or '-' }}\"",
        "\"{% if a is defined and b %}{{ c.a or '-' }}{% endif %}\"",
        "[$.a.b, { c: \"{{ b | tojson }}\" }]",
    ];

    fn compiled(text: &str, engine: &Engine) -> Value {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", text);
        let mut diagnostics = Diagnostics::default();
        let node = parse(&sources, file, &mut diagnostics).expect("yaml");
        let scope = Scope::new(["a", "b", "c"], "");
        let value = Value::compile(&node, &Compiler { engine, scope: &scope }, &mut diagnostics);
        assert_eq!(diagnostics.all(), [], "{text}");
        value.expect(text)
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![Just(Json::Null), Just(Json::from(0)), Just(Json::from(1)), "[abc]?".prop_map(Json::from)];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
                prop::collection::vec(("[abc]", inner), 0..3).prop_map(|fields| Json::Object(fields.into_iter().collect()))
            ]
        })
    }

    fn any_document() -> impl Strategy<Value = EventDocument> {
        prop::collection::vec(prop::option::of(any_json()), 3).prop_map(|values| {
            let mut document = EventDocument::default();
            for (name, value) in ["a", "b", "c"].into_iter().zip(values) {
                if let Some(value) = value {
                    document.set(name, value);
                }
            }
            document
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn two_pieces_of_work_that_come_out_differently_have_different_hashes(
            text in prop::sample::select(VALUES.to_vec()),
            one in any_document(),
            other in any_document(),
        ) {
            let engine = Engine::default();
            let value = compiled(text, &engine);
            let mut reads = Reads::default();
            value.add_reads(&engine, &mut reads);
            let hash = |document| hash(&[7; 32], "routes[0]", false, document, &reads);
            let evaluate = |document| value.evaluate(Context::from(document)).map_err(|error| error.0);
            if evaluate(&one) != evaluate(&other) {
                prop_assert_ne!(hash(&one), hash(&other), "{}", text);
            }
            let same = |place: &[String]| reached_at(&one, place) == reached_at(&other, place);
            prop_assert_eq!(hash(&one) == hash(&other), reads.places().all(same), "{}", text);
        }
    }

    #[test]
    fn null_and_what_cannot_be_looked_into_are_two_things() {
        let mut reads = Reads::default();
        reads.add(vec!["a".to_owned(), "b".to_owned()]);
        let hash_of = |a: Json| {
            let mut document = EventDocument::default();
            document.set("a", a);
            hash(&[7; 32], "routes[0]", false, &document, &reads)
        };
        let hashes = [Json::Null, serde_json::json!({ "b": null }), serde_json::json!({})].map(hash_of);
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    }

    #[test]
    fn route_tenant_and_whether_it_is_gone_are_part_of_the_work() {
        let mut document = EventDocument::default();
        document.set("a", Json::from(1));
        let reads = Reads::default();
        let base = hash(&[7; 32], "routes[0]", false, &document, &reads);
        assert_ne!(base, hash(&[7; 32], "routes[1]", false, &document, &reads));
        assert_ne!(base, hash(&[7; 32], "routes[0]", true, &document, &reads));
        assert_ne!(base, hash(&[8; 32], "routes[0]", false, &document, &reads));
        document.set("tenant", Json::from("acme"));
        assert_ne!(base, hash(&[7; 32], "routes[0]", false, &document, &reads));
        document.set("received_at", Json::from("now"));
        let mut late = Reads::default();
        late.add(vec!["received_at".to_owned()]);
        let first = hash(&[7; 32], "routes[0]", false, &document, &late);
        document.set("received_at", Json::from("later"));
        assert_eq!(first, hash(&[7; 32], "routes[0]", false, &document, &late));
    }
}
