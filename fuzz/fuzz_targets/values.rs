//! Any text as a path and as a template, evaluated over a document: an error or a value, never a panic.
#![no_main]

use hooktable::expr::jsonpath::Path;
use hooktable::expr::template::{Context, Engine, Purpose, Template};
use hooktable::model::event::EventDocument;
use hooktable::payload::json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut document = EventDocument::default();
    let body = r#"{"a":{"b":[{"n":1},{"n":2.50},null]},"big":18446744073709551617,"text":"x y","none":null,"yes":true}"#;
    document.set("body", json::decode(body).unwrap_or_default());
    if let Ok(path) = Path::compile(text) {
        path.find(&document);
    }
    let engine = Engine::default();
    for purpose in [Purpose::Text, Purpose::Url] {
        if let Ok(template) = Template::compile(text, &engine, purpose) {
            let _ = template.evaluate(Context::from(&document));
        }
    }
});
