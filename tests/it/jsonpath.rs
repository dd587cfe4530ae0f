//! The public compliance suite of JSONPath, run through our paths. It is not ours, so it is not kept here: `scripts/test` fetches it,
//! or `HOOKTABLE_CTS` says where a `cts.json` is.

use std::path::PathBuf;

use hooktable::expr::jsonpath::Path;
use hooktable::model::event::EventDocument;
use serde_json::Value as Json;

use crate::support::test_app::repository;

/// What differs from the RFC, by the suite's own names.
const EXCEPTIONS: &[&str] = &[];
/// What is refused although the RFC has it, by words of the refusal: they would be answered at great cost.
const REFUSED: &[&str] = &["a filter inside a filter is not supported", "is not supported in a path: it would compile"];

#[allow(clippy::disallowed_methods, reason = "whoever runs the tests says so from outside")]
fn suite() -> Option<Json> {
    let asked = std::env::var_os("HOOKTABLE_CTS").map(PathBuf::from);
    let path = asked.clone().unwrap_or_else(|| repository("target/jsonpath-cts.json"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).expect("the suite is JSON")),
        Err(error) => {
            assert!(asked.is_none(), "HOOKTABLE_CTS names {}: {error}", path.display());
            None
        }
    }
}

/// Our paths begin with a name of the document, so the suite's `$` becomes `$.doc`, inside filters as well.
fn rooted(selector: &str) -> String {
    let mut quote = None;
    let mut rooted = String::new();
    let mut letters = selector.chars();
    while let Some(letter) = letters.next() {
        rooted.push(letter);
        match (quote, letter) {
            (Some(_), '\\') => rooted.extend(letters.next()),
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '$') => rooted.push_str(".doc"),
            _ => {}
        }
    }
    rooted
}

#[test]
fn the_compliance_suite_passes_but_for_what_is_listed() {
    let Some(suite) = suite() else {
        println!("skipped: there is no suite; `scripts/test` fetches it, or set HOOKTABLE_CTS to a cts.json");
        return;
    };
    let mut failed = Vec::new();
    let tests = suite["tests"].as_array().expect("tests");
    for test in tests {
        let name = test["name"].as_str().expect("a name");
        let selector = test["selector"].as_str().expect("a selector");
        let path = Path::compile(&rooted(selector));
        let problem = if test["invalid_selector"] == true {
            path.is_ok().then(|| "accepted".to_owned())
        } else {
            match path {
                Err(error) if REFUSED.iter().any(|words| error.message.contains(words)) => None,
                Err(error) => Some(format!("refused: {}", error.message)),
                Ok(path) => {
                    let mut document = EventDocument::default();
                    document.set("doc", test["document"].clone());
                    let found = path.find(&document);
                    let found = if path.gives_list() { found.unwrap_or_default() } else { found.into_iter().collect() };
                    let expected =
                        test.get("result").map_or_else(|| test["results"].clone(), |one| Json::Array(vec![one.clone()]));
                    let right = expected.as_array().is_some_and(|possible| possible.contains(&found));
                    (!right).then(|| format!("found {found}"))
                }
            }
        };
        if let Some(problem) = problem {
            failed.push((name, format!("{name}: {selector}: {problem}")));
        }
    }
    let surprises: Vec<&str> =
        failed.iter().filter(|(name, _)| !EXCEPTIONS.contains(name)).map(|(_, problem)| problem.as_str()).collect();
    assert!(surprises.is_empty(), "{} of {} tests:\n{}", surprises.len(), tests.len(), surprises.join("\n"));
    let mended: Vec<_> = EXCEPTIONS.iter().filter(|name| !failed.iter().any(|(failed, _)| failed == *name)).collect();
    assert!(mended.is_empty(), "these exceptions are none any more: {mended:?}");
    assert!(tests.len() > 600, "only {} tests", tests.len());
}
