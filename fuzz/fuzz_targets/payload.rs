//! Any bytes as a body in every format: a value or a reason, never a panic.
#![no_main]

use hooktable::config::diagnostic::Diagnostics;
use hooktable::config::options::FromYaml;
use hooktable::config::source::Sources;
use hooktable::config::yaml::parse;
use hooktable::model::delivery::Request;
use hooktable::payload::options::{PayloadOptions, compile};
use libfuzzer_sys::fuzz_target;

const BLOCKS: [&str; 10] = [
    "{ format: json }",
    "{ format: json-lenient }",
    "{ format: form }",
    "{ format: positional, fields: [old, new] }",
    "{ format: xml }",
    "{ format: csv }",
    "{ format: ndjson }",
    "{ format: multipart }",
    "{ format: text, charset: iso-8859-1 }",
    "{ format: jwt }",
];

fuzz_target!(|bytes: &[u8]| {
    for block in BLOCKS {
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let file = sources.add("fuzz.yaml", block);
        let root = parse(&sources, file, &mut diagnostics);
        let options = root.and_then(|root| PayloadOptions::from_yaml(&root, &mut diagnostics));
        let Some(payload) = compile(options.as_ref(), 1 << 20, &mut diagnostics) else { continue };
        let request = Request {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers: Vec::new(),
            body: bytes.to_vec().into(),
            peer: None,
        };
        if let Ok(body) = payload.open(&request) {
            let _ = body.decode();
        }
    }
});
