//! The pages of `docs/reference/` are made from the options' own documentation, the examples beside them and the explanations of codes.
//! `HOOKTABLE_BLESS=1` writes them anew; without it a page that tells something else than the code fails the test.

use std::fmt::Write as _;

use hooktable::app::settings_file::SettingsFile;
use hooktable::config::shape::{Block, OptionShape, Shape};
use hooktable::rehearsal::simulate_file::SimulateFile;
use hooktable::routes::file::FileOptions;
use hooktable::routes::test_file::TestFile;

use crate::diagnostics::blessing;
use crate::support::test_app::repository;

/// A block and the places where it may stand: `apis.NAME.retry`.
struct Section {
    block: Block,
    places: Vec<String>,
}

/// All blocks below one, itself first, in the order in which they are first named.
fn sections(root: Block) -> Vec<Section> {
    let mut sections = vec![Section { block: root, places: Vec::new() }];
    let mut next = 0;
    while next < sections.len() {
        let (block, place) = (sections[next].block, sections[next].places.first().cloned().unwrap_or_default());
        for option in (block.options)() {
            for (inner, place) in below(&option.shape, &join(&place, option.name)) {
                match sections.iter_mut().find(|known| known.block.id == inner.id) {
                    Some(known) if !known.places.contains(&place) => known.places.push(place),
                    Some(_) => {}
                    None => sections.push(Section { block: inner, places: vec![place] }),
                }
            }
        }
        next += 1;
    }
    sections
}

fn below(shape: &Shape, place: &str) -> Vec<(Block, String)> {
    match shape {
        Shape::Block(block) | Shape::LongForm(block) => vec![(*block, place.to_owned())],
        Shape::List(item) => below(item, place),
        Shape::Named(value) => below(value, &join(place, "NAME")),
        Shape::OneOf(shapes) => shapes.iter().flat_map(|shape| below(shape, place)).collect(),
        _ => Vec::new(),
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn title(block: &Block) -> String {
    block.name().replace('_', " ")
}

fn link(block: &Block) -> String {
    format!("[{}](#{})", title(block), title(block).replace(' ', "-"))
}

fn row(option: &OptionShape) -> String {
    let default = match (option.required, option.default) {
        (true, _) => "required".to_owned(),
        (false, Some(default)) => format!("`{default}`"),
        (false, None) => "–".to_owned(),
    };
    let cell = |text: &str| text.trim().replace('|', "\\|");
    format!("| `{}` | {} | {default} | {} |\n", option.name, cell(&option.shape.words(&link)), cell(option.doc))
}

fn forms(root: Block) -> String {
    let mut known: Vec<(&str, String)> = Vec::new();
    let options = sections(root).into_iter().flat_map(|section| (section.block.options)());
    for form in options.flat_map(|option| forms_of(&option.shape)) {
        let examples: Vec<String> = form.examples.iter().map(|example| format!("`{example}`")).collect();
        if !known.iter().any(|(words, _)| *words == form.words) {
            known.push((form.words, examples.join(", ")));
        }
    }
    known.into_iter().map(|(words, examples)| format!("- **{words}**: {examples}\n")).collect()
}

fn forms_of(shape: &Shape) -> Vec<hooktable::config::shape::Form> {
    match shape {
        Shape::Form(form) => vec![*form],
        Shape::List(inner) | Shape::Named(inner) => forms_of(inner),
        Shape::OneOf(shapes) => shapes.iter().flat_map(forms_of).collect(),
        _ => Vec::new(),
    }
}

fn example(block: &Block) -> String {
    let path = repository(&format!("docs/reference/examples/{}.yaml", block.name()));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("an example is missing: {}", path.display()));
    format!("```yaml\n{text}```\n")
}

fn page(heading: &str, introduction: &str, root: Block) -> String {
    let mut page = format!("# {heading}\n\n{MADE}\n\n{introduction}\n\n");
    let forms = forms(root);
    if !forms.is_empty() {
        let _ = write!(page, "What the words in the tables look like when written:\n\n{forms}\n");
    }
    for section in sections(root) {
        let block = section.block;
        let _ = write!(page, "## {}\n\n{}\n\n", title(&block), block.doc.trim());
        if !section.places.is_empty() {
            let places: Vec<String> = section.places.iter().map(|place| format!("`{place}`")).collect();
            let _ = write!(page, "Stands at {}.\n\n", places.join(", "));
        }
        page.push_str("| option | type | default | what |\n|---|---|---|---|\n");
        (block.options)().iter().for_each(|option| page.push_str(&row(option)));
        let _ = write!(page, "\n{}\n", example(&block));
    }
    page.trim_end().to_owned() + "\n"
}

const MADE: &str =
    "*Made from the options of the code by `HOOKTABLE_BLESS=1 cargo nextest run --test it reference`; a test compares.*";

fn assert_page(name: &str, made: &str) {
    let path = repository(&format!("docs/reference/{name}.md"));
    if blessing() {
        std::fs::write(&path, made).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == made, "docs/reference/{name}.md tells something else than the code; HOOKTABLE_BLESS=1 writes it anew");
}

#[test]
fn the_reference_of_the_route_file_is_that_of_the_code() {
    let introduction = "Every option of a route file, block by block. [The guide](../route-file.md) says what they mean together. A *value* is a path \
        (`$.body.id`), a template (`\"order/{{ number }}\"`) or itself; a *condition* is a bare expression (`not body.draft`). Where a type says \
        “or a list”, one item may stand without the dash. `hooktable schema` prints the same as a JSON Schema, for editors.";
    assert_page("route-file", &page("Reference: the route file", introduction, FileOptions::block()));
}

#[test]
fn the_reference_of_the_test_file_is_that_of_the_code() {
    let introduction = "Every option of `NAME.test.yaml`, the tests of `NAME.yaml`, block by block. `hooktable test` runs them, and \
        `hooktable schema --for test` prints the same as a JSON Schema.";
    assert_page("test-file", &page("Reference: the test file", introduction, TestFile::block()));
}

#[test]
fn the_reference_of_the_settings_is_that_of_the_code() {
    let introduction = "Every option of `hooktable.yaml`, block by block; the file may be left out. Flags win over `HOOKTABLE_*` variables, those over \
        the file, and the file over the defaults: `hooktable serve --print-config` shows where each value came from. `hooktable schema --for config` \
        prints the same as a JSON Schema.";
    assert_page("settings", &page("Reference: the settings", introduction, SettingsFile::block()));
}

#[test]
fn the_reference_of_simulated_apis_is_that_of_the_code() {
    let introduction = "Every option of `simulate.yaml`, which may lie in a folder that `hooktable simulate` serves. Without it, `orders/sent/7.json` \
        answers `GET /orders/sent/7`, `orders/sent/7@x=1.json` answers it with `?x=1`, at once and without end; what it says goes before the files.";
    assert_page("simulated-apis", &page("Reference: simulated APIs", introduction, SimulateFile::block()));
}

#[test]
fn every_example_belongs_to_a_block() {
    let roots = [FileOptions::block(), TestFile::block(), SettingsFile::block(), SimulateFile::block()];
    let names: Vec<String> = roots.into_iter().flat_map(sections).map(|section| section.block.name()).collect();
    for entry in std::fs::read_dir(repository("docs/reference/examples")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        assert!(names.contains(&name), "{} is no block's example", path.display());
    }
}

#[test]
fn the_reference_of_the_diagnostics_is_that_of_the_code() {
    let introduction = "Every code that `hooktable check`, `hooktable test` and the server report, with a file that has the problem and one that has not. \
        `hooktable check --explain CODE` prints the same. A line `# file: PATH` begins another file of the example.";
    let made = MADE.replace("options of the code", "explanations in `src/config/explain/`");
    let mut page = format!("# Reference: diagnostics\n\n{made}\n\n{introduction}\n");
    for group in hooktable::config::explain::all() {
        let _ = write!(page, "\n## {}\n", group.title);
        for one in &group.explanations {
            let _ =
                write!(page, "\n### {}\n\n{}\n\n*Why it matters:* {}\n\n*The fix:* {}\n", one.code, one.means, one.why, one.fix);
            if let Some((wrong, right)) = one.example {
                let _ = write!(page, "\n```yaml wrong\n{wrong}```\n\n```yaml right\n{right}```\n");
            }
        }
    }
    assert_page("diagnostics", &page);
}
