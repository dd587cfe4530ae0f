//! Which parts of a request go out again as credentials: what the headers and logins of calls and forwards are made of, followed back
//! through the names that the file makes of the request.

use std::collections::BTreeSet;

use super::file::FileOptions;
use crate::config::diagnostic::Diagnostics;
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::jsonpath::Path;
use crate::expr::reads::Reads;
use crate::expr::scope::Scope;
use crate::expr::template::Engine;
use crate::expr::typed::Typed;
use crate::expr::value::{Compiler, Value};

/// Headers of calls and forwards that tell no one who calls, so that what they are made of may be seen.
const NO_CREDENTIALS: [&str; 16] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "content-language",
    "content-type",
    "date",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "prefer",
    "user-agent",
    "x-correlation-id",
    "x-request-id",
];

/// The parts of the event document that a sender writes.
const SENT: [&str; 4] = ["query", "headers", "body", "params"];

/// How many names made of names are followed.
const MOST_STEPS: usize = 32;

/// The places whose content is a credential because it goes out as one: those of the request, and the names that are made of them.
pub(super) fn places(options: &FileOptions, engine: &Engine) -> BTreeSet<Vec<String>> {
    let routes = &options.routes;
    let calls = options.enrich.entries.iter().chain(routes.iter().flat_map(|route| &route.enrich.entries));
    let forwards = options.forward.entries.iter().chain(routes.iter().flat_map(|route| &route.forward.entries));
    let headers = calls.flat_map(|(_, call)| call.headers()).chain(forwards.flat_map(|(_, forward)| &forward.headers.entries));
    let headers = headers.filter(|(name, _)| !NO_CREDENTIALS.contains(&name.value.to_ascii_lowercase().as_str()));
    let apis = options.apis.entries.iter().flat_map(|(_, api)| api.credentials());
    let mut found = BTreeSet::new();
    let names = Names { options, engine };
    for node in apis.chain(headers.map(|(_, node)| node)) {
        for place in names.reads_of(node) {
            names.follow(place, 0, &mut found);
        }
    }
    found
}

/// The names that a file makes of a request.
struct Names<'a> {
    options: &'a FileOptions,
    engine: &'a Engine,
}

impl Names<'_> {
    /// What a value looks at. What is wrong with it is reported where it belongs.
    fn reads_of(&self, node: &Node) -> Vec<Vec<String>> {
        let scope = Scope::new(SENT, "");
        let compiler = Compiler { engine: self.engine, scope: &scope };
        let mut reads = Reads::default();
        if let Some(value) = Value::compile(node, &compiler, &mut Diagnostics::default()) {
            value.add_reads(self.engine, &mut reads);
        }
        reads.places().map(<[String]>::to_vec).collect()
    }

    /// Adds a place and those that it is made of.
    fn follow(&self, place: Vec<String>, steps: usize, found: &mut BTreeSet<Vec<String>>) {
        let Some((first, rest)) = place.split_first() else { return };
        let is_sent = SENT.contains(&first.as_str());
        let sources = if is_sent { Vec::new() } else { self.sources(first, rest) };
        let is_known = is_sent || !sources.is_empty();
        if steps < MOST_STEPS && is_known && found.insert(place.clone()) {
            sources.into_iter().for_each(|source| self.follow(source, steps + 1, found));
        }
    }

    /// The places that what stands `below` a name is made of; none when the file makes no such name of the request.
    fn sources(&self, name: &str, below: &[String]) -> Vec<Vec<String>> {
        let named = |entry: &&(Spanned<String>, Node)| entry.0.value == name;
        let routes = self.options.routes.iter().flat_map(|route| &route.extract.entries);
        let extracted = self.options.extract.entries.iter().chain(routes).filter(named);
        let split = self.options.payload.iter().flat_map(|payload| &payload.split.entries).filter(named);
        let extracted = extracted.flat_map(|(_, node)| self.sources_of_extracted(node, below));
        extracted.chain(split.flat_map(|(_, node)| sources_of_item(node, below))).collect()
    }

    fn sources_of_extracted(&self, node: &Node, below: &[String]) -> Vec<Vec<String>> {
        let scope = Scope::new(SENT, "");
        let compiler = Compiler { engine: self.engine, scope: &scope };
        let Some(typed) = Typed::compile(node, &compiler, &mut Diagnostics::default()) else { return Vec::new() };
        let mut reads = Reads::default();
        typed.add_reads(self.engine, &mut reads);
        let taken = typed.value.as_path().and_then(Path::place);
        let full = |place: &[String]| match &taken {
            // the name is that place, so what is below one is below the other
            Some(taken) if taken == place => place.iter().chain(below).cloned().collect(),
            _ => place.to_vec(),
        };
        reads.places().map(full).collect()
    }
}

/// The place of something in an item of a list, told of the list: it is that place in each item.
fn sources_of_item(node: &Node, below: &[String]) -> Option<Vec<String>> {
    let text = node.text()?;
    let path = Path::compile(&text.replace("[*]", "")).or_else(|_| Path::compile(text)).ok()?;
    match path.place() {
        Some(list) => Some(list.into_iter().chain(below.iter().cloned()).collect()),
        None => {
            let mut reads = Reads::default();
            path.add_reads(&mut reads);
            reads.places().next().map(<[String]>::to_vec)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::{texts, with_world};
    use super::*;
    use crate::config::options::FromYaml;
    use crate::config::source::Sources;
    use crate::config::yaml::parse;

    fn found(text: &str) -> Vec<String> {
        let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
        let file = sources.add("a.yaml", text);
        let root = parse(&sources, file, &mut diagnostics).expect(text);
        let options = FileOptions::from_yaml(&root, &mut diagnostics).expect(text);
        assert_eq!(diagnostics.all(), [], "{text}");
        places(&options, &Engine::default()).into_iter().map(|place| place.join(".")).collect()
    }

    #[test]
    fn what_goes_out_as_a_credential_is_followed_back_to_the_request() {
        let api = "apis: { a: { headers: { X-Key: \"{{ key }}\" } } }\n";
        for (rest, expected) in [
            ("apis: { a: { headers: { X-Key: $.body.key } } }", vec!["body.key"]),
            ("extract: { key: $.body.apiKey }", vec!["body.apiKey", "key"]),
            ("extract: { key: { from: $.query.key, as: text, default: $.body.key } }", vec!["body.key", "key", "query.key"]),
            ("extract: { all: $.body.auth, key: \"{{ all.key | trim }}\" }", vec!["all.key", "body.auth.key", "key"]),
            ("routes: [{ extract: { key: $.body.k } }]", vec!["body.k", "key"]),
            ("extract: { key: $.key.more }", vec!["key"]),
            ("extract: { id: $.body.id }", vec![]),
        ] {
            let api = if rest.starts_with("apis") { "" } else { api };
            let found = found(&format!("{api}{rest}\n"));
            let found: Vec<&str> = found.iter().map(String::as_str).filter(|place| !place.ends_with("more")).collect();
            assert_eq!(found, expected, "{rest}");
        }
        let split = "payload: { split: { item: $.body.items } }\napis: { a: { headers: { X-Key: $.item.key } } }\n";
        assert_eq!(found(split), ["body.items.key", "item.key"]);
        let within = "payload: { split: { item: \"$.body[*].items\" } }\napis: { a: { headers: { X-Key: $.item.key } } }\n";
        assert_eq!(found(within), ["body.items.key", "item.key"]);
    }

    #[test]
    fn headers_of_calls_and_forwards_count_unless_they_tell_no_one_who_calls() {
        let call = |header: &str| format!("enrich: {{ x: {{ get: /x, headers: {{ {header} }} }} }}\n");
        assert_eq!(found(&call("Authorization: \"Bearer {{ body.token }}\"")), ["body.token"]);
        assert_eq!(found(&call("Idempotency-Key: $.body.id")), Vec::<String>::new());
        let forward = "routes: [{ forward: { x: { post: \"https://example.com\", headers: { X-Key: $.query.key } } } }]\n";
        assert_eq!(found(forward), ["query.key"]);
    }

    #[test]
    fn an_extracted_credential_is_covered_where_it_stands_and_where_it_goes() {
        let text = "auth: { none: a test }\nextract: { key: $.body.apiKey }\n\
                    apis: { a: { base: \"https://example.com\", headers: { X-Key: \"{{ key }}\" } } }\n\
                    enrich: { x: /x }\nwrite: { insert: t, set: { x: $.x } }\n";
        let source = with_world(&|_| Err("is not there".to_owned()), |world| {
            super::super::load::load(&texts(&[("routes.d/a.yaml", text)]), world, &[]).files.remove(0).source
        });
        let mut document = crate::model::event::EventDocument::default();
        document.set("body", serde_json::json!({ "apiKey": "hunter22" }));
        document.set("key", serde_json::json!("hunter22"));
        let mask = source.expect("compiles").mask_for(&document, None);
        let shown =
            mask.document(&serde_json::json!({ "body": { "apiKey": "hunter22" }, "key": "hunter22", "note": "hunter22" }));
        assert!(!shown.to_string().contains("hunter22"), "{shown}");
    }
}
