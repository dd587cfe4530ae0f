//! The JSON Schema that editors get says what the reader of the files does: what `check` takes it takes, and what is misspelt or of
//! another type it refuses.

use hooktable::cli::schema::{Kind, schema_of};
use hooktable::config::diagnostic::Diagnostics;
use hooktable::config::source::Sources;
use hooktable::config::yaml::parse;
use serde_json::Value as Json;

use crate::documentation::{blocks, pages};
use crate::support::json_schema::problems;
use crate::support::test_app::repository;

fn yaml(text: &str) -> Option<Json> {
    let mut sources = Sources::default();
    let file = sources.add("a.yaml", text);
    let mut diagnostics = Diagnostics::default();
    let node = parse(&sources, file, &mut diagnostics)?;
    (!diagnostics.has_errors()).then(|| node.to_json())
}

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml_files(folder: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(repository(folder)).expect("a folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

#[test]
fn the_shipped_files_fit_their_schemas() {
    let (route, test) = (schema_of(Kind::Route), schema_of(Kind::Test));
    for path in yaml_files("routes.d") {
        let is_test = path.to_string_lossy().ends_with(".test.yaml");
        let value = yaml(&read(&path)).expect("YAML");
        assert_eq!(problems(if is_test { &test } else { &route }, &value), [] as [String; 0], "{}", path.display());
    }
}

#[test]
fn every_yaml_block_of_the_documentation_fits_its_schema() {
    for page in pages() {
        for (line, block) in blocks(&read(&page)) {
            let first = block.lines().next().unwrap_or_default();
            let kind = match first {
                first if first.ends_with(".test.yaml") => Kind::Test,
                first if first.ends_with("hooktable.yaml") => Kind::Config,
                // no editor asks for its schema
                first if first.ends_with("simulate.yaml") => continue,
                _ => Kind::Route,
            };
            let value = yaml(&block).expect("YAML");
            assert_eq!(problems(&schema_of(kind), &value), [] as [String; 0], "{}:{line}", page.display());
        }
    }
}

/// What is of the wrong type only for those who know more than the file: a path that leads to no list, say.
const SEEN_LATER: &[&str] = &["each-without-a-list", "secret-field-in-two-places", "slip-in-a-long-form", "split-of-nothing"];

#[test]
fn what_is_misspelt_or_of_another_type_does_not_fit() {
    let schema = schema_of(Kind::Route);
    let mut refused = 0;
    for path in yaml_files("tests/diagnostics") {
        let message = read(&path.with_extension("txt"));
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let wanted = message.contains("error[unknown-option]") || message.contains("error[wrong-type]");
        let Some(value) = yaml(&read(&path)).filter(|_| wanted && !SEEN_LATER.contains(&name.as_str())) else { continue };
        assert_ne!(problems(&schema, &value), [] as [String; 0], "{name} fits:\n{message}");
        refused += 1;
    }
    assert!(refused >= 10, "only {refused} files were refused");
}

#[test]
fn the_settings_have_a_schema_too() {
    let schema = schema_of(Kind::Config);
    let fits = |text: &str| problems(&schema, &yaml(text).expect("YAML")).is_empty();
    assert!(fits("workers: 4\nstate: { url: { env: URL }, max_bytes: 20GiB }\ndatabases: { erp: { url: sqlite://erp.db } }\n"));
    assert!(!fits("wrokers: 4\n"));
    assert!(!fits("state: { max_bytes: many }\n"));
}

#[test]
fn options_tell_their_defaults_and_examples() {
    let schema = schema_of(Kind::Route);
    assert_eq!(schema["properties"]["remember"]["default"], "7d");
    assert_eq!(schema["definitions"]["receive"]["properties"]["methods"]["default"], serde_json::json!(["POST"]));
    assert_eq!(schema["definitions"]["call_retry"]["properties"]["times"]["default"], 2);
    assert!(schema["properties"]["coalesce"].to_string().contains("\"24h\""));
}

#[test]
fn every_default_fits_its_own_option() {
    for kind in [Kind::Route, Kind::Test, Kind::Config] {
        let schema = schema_of(kind);
        let blocks = schema["definitions"].as_object().expect("definitions").values().chain([&schema]);
        for (name, option) in blocks.flat_map(|block| block["properties"].as_object().expect("options")) {
            if let Some(default) = option.get("default") {
                let mut alone = option.clone();
                alone["definitions"] = schema["definitions"].clone();
                assert_eq!(problems(&alone, default), [] as [String; 0], "{name}");
            }
        }
    }
}
