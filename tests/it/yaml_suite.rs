//! The public YAML test suite, read as if each case were a route file. It is not ours, so it is not kept here: `scripts/test`
//! fetches it, or `HOOKTABLE_YAML_SUITE` says where its JSON is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hooktable::config::diagnostic::Diagnostics;
use hooktable::config::source::Sources;
use hooktable::config::yaml::parse;
use serde_json::Value as Json;

use crate::support::test_app::repository;

/// Broken YAML that is taken all the same, by the suite's own ids: a list in brackets that goes on without an indent.
const TAKEN_ALTHOUGH_BROKEN: &[&str] = &["9C9N"];

#[allow(clippy::disallowed_methods, reason = "whoever runs the tests says so from outside")]
fn suite() -> Option<Json> {
    let asked = std::env::var_os("HOOKTABLE_YAML_SUITE").map(PathBuf::from);
    let path = asked.clone().unwrap_or_else(|| repository("target/yaml-test-suite.json"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).expect("the suite is JSON")),
        Err(error) => {
            assert!(asked.is_none(), "HOOKTABLE_YAML_SUITE names {}: {error}", path.display());
            None
        }
    }
}

/// Numbers as values: `0.278` is `0.2780`.
fn equal(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.as_f64() == right.as_f64(),
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len() && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| equal(left, right)))
        }
        _ => left == right,
    }
}

#[test]
fn the_yaml_test_suite_ends_in_a_tree_or_in_diagnostics() {
    let Some(suite) = suite() else {
        println!("skipped: there is no suite; `scripts/test` fetches it, or set HOOKTABLE_YAML_SUITE to its JSON");
        return;
    };
    let (mut cases, mut compared, mut failed) = (0, 0, Vec::new());
    for entry in suite.as_array().expect("entries") {
        let id = entry["id"].as_str().expect("an id");
        for case in entry["cases"].as_array().expect("cases") {
            let text = case["yaml"].as_str().unwrap_or_default();
            let mut sources = Sources::default();
            let file = sources.add("suite.yaml", text);
            let mut diagnostics = Diagnostics::default();
            let start = Instant::now();
            let tree = parse(&sources, file, &mut diagnostics);
            assert!(start.elapsed() < Duration::from_secs(5), "{id} takes too long");
            assert!(tree.is_some() || !diagnostics.is_empty(), "{id} ends in nothing");
            cases += 1;
            if case["fail"] == true {
                if diagnostics.is_empty() && !TAKEN_ALTHOUGH_BROKEN.contains(&id) {
                    failed.push(format!("{id} is broken, and was taken"));
                }
                continue;
            }
            let expected = case["json"].as_str().and_then(|json| serde_json::from_str::<Json>(json).ok());
            if let (Some(tree), Some(expected), true) = (tree, expected, diagnostics.is_empty()) {
                compared += 1;
                if !equal(&tree.to_json(), &expected) {
                    failed.push(format!("{id} reads as {} and not as {expected}", tree.to_json()));
                }
            }
        }
    }
    assert!(failed.is_empty(), "of {cases} cases, {compared} compared:\n{}", failed.join("\n"));
    assert!(cases > 300 && compared > 150, "{cases} cases, {compared} compared");
}
