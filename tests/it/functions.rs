//! The page of functions: every example is run, and every function is on it.

use hooktable::expr::template::{Context, Engine, Purpose, Template};
use hooktable::model::event::EventDocument;

use crate::support::test_app::repository;

/// The body that the page shows, as the document of its examples.
fn document(page: &str) -> EventDocument {
    let (_, behind) = page.split_once("```json\n").expect("a body");
    let (body, _) = behind.split_once("```").expect("its end");
    let mut document = EventDocument::default();
    document.set("body", serde_json::from_str::<serde_json::Value>(body).expect("json"));
    document
}

/// The cells of a row of a table; a `\|` is no border.
fn cells(line: &str) -> Option<Vec<String>> {
    let line = line.strip_prefix("| ")?.strip_suffix(" |")?.replace("\\|", "\u{0}");
    Some(line.split('|').map(|cell| cell.replace('\u{0}', "|").trim().to_owned()).collect())
}

fn code(cell: &str) -> &str {
    cell.trim_matches('`').trim()
}

#[test]
fn every_example_gives_what_the_page_says() {
    let page = std::fs::read_to_string(repository("docs/functions.md")).expect("the page");
    let document = document(&page);
    let engine = Engine::default();
    let mut run = 0;
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells = cells(line).expect(line);
        let [_, _, example, expected] = cells.as_slice() else { panic!("{line}") };
        let text = format!("{{{{ {} }}}}", code(example));
        let template = Template::compile(&text, &engine, Purpose::Text).expect(&text);
        match (template.evaluate(Context::from(&document)), expected.strip_prefix("error: ")) {
            (Err(error), Some(expected)) => assert!(error.message.contains(code(expected)), "{text}: {}", error.message),
            (Ok(None), None) if expected == "missing" => {}
            (Ok(Some(value)), None) => assert_eq!(value.to_string(), code(expected), "{text}"),
            (found, _) => panic!("{text}: expected {expected}, got {found:?}"),
        }
        run += 1;
    }
    assert!(run >= 35, "only {run} examples were found");
}

#[test]
fn every_function_is_on_the_page() {
    let page = std::fs::read_to_string(repository("docs/functions.md")).expect("the page");
    let minijinjas = ["dict", "namespace", "range"];
    let engine = Engine::default();
    let absent: Vec<&str> =
        engine.functions().filter(|name| !minijinjas.contains(name) && !page.contains(&format!("\n| `{name}` |"))).collect();
    assert!(absent.is_empty(), "{absent:?} are not in docs/functions.md");
}
