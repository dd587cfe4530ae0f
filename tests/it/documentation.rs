//! Every YAML block of the documentation is what it says it is.

use std::path::Path;

use hooktable::app::settings_file::SettingsFile;
use hooktable::auth::secret::SecretReader;
use hooktable::config::diagnostic::Diagnostics;
use hooktable::config::options::FromYaml;
use hooktable::config::render;
use hooktable::config::source::Sources;
use hooktable::config::yaml::parse;
use hooktable::expr::template::Engine;
use hooktable::rehearsal::simulate_file::SimulateFile;
use hooktable::routes::compile::World;
use hooktable::routes::load::{Texts, load};
use hooktable::routes::test_file::TestFile;
use hooktable::steps::map::Destination;

use crate::support::test_app::repository;

pub(crate) struct AllSet;

impl SecretReader for AllSet {
    fn environment(&self, _: &str) -> Option<String> {
        // both hex and base64
        Some("5e7a5e7a".into())
    }
    fn file(&self, path: &str) -> Option<String> {
        let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        Some(if path.ends_with(".pem") { key.into() } else { "5e7a5e7a".into() })
    }
    fn today(&self) -> jiff::civil::Date {
        jiff::civil::date(2026, 11, 21)
    }
    fn stand_in(&self, _: &str) -> Option<String> {
        None
    }
}

/// The blocks of a page, each with the line it begins at.
pub(crate) fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match &mut open {
            None if line.trim() == "```yaml" => open = Some((number + 2, String::new())),
            Some(_) if line.trim() == "```" => blocks.extend(open.take()),
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

fn problems_of_route(name: &str, text: &str) -> String {
    let world = World {
        destinations: &[Destination { name: "main".into(), tenant_column: "tenant".into() }],
        secrets: &AllSet,
        engine: &Engine::default(),
        files: &|_| Err("is not read here".into()),
    };
    let texts = Texts { routes: [(name.to_owned(), text.to_owned())].into(), ..Texts::default() };
    let loaded = load(&texts, world, &[]);
    render::text(&loaded.diagnostics, &loaded.texts, false)
}

/// Of a block that says which shipped file it shows; `scripts/test` checks and tests those.
fn difference_to(file: &str, block: &str) -> String {
    let shown = block.split_once('\n').map_or("", |(_, rest)| rest);
    let text = std::fs::read_to_string(repository(file)).unwrap_or_else(|error| panic!("`{file}`: {error}"));
    if text == shown { String::new() } else { format!("it is not what `{file}` holds") }
}

fn problems_of<T: FromYaml>(name: &str, text: &str) -> String {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let file = sources.add(name, text);
    if let Some(root) = parse(&sources, file, &mut diagnostics) {
        T::from_yaml(&root, &mut diagnostics);
    }
    render::text(&diagnostics, &sources, false)
}

pub(crate) fn pages() -> Vec<std::path::PathBuf> {
    let mut pages = vec![repository("README.md")];
    let mut folders = vec![repository("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of pages") {
            let path = entry.expect("a page").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

#[test]
fn every_yaml_block_of_the_documentation_passes_check() {
    let mut checked = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        for (line, block) in blocks(&text) {
            let name = format!("{}:{line}", page.strip_prefix(repository("")).unwrap_or(Path::new("page")).display());
            let first = block.lines().next().unwrap_or_default();
            let file = format!("{}-line-{line}.yaml", page.file_stem().and_then(|stem| stem.to_str()).unwrap_or("page"));
            let problems = match first {
                first if first.starts_with("# examples/") => difference_to(first.trim_start_matches("# "), &block),
                first if first.ends_with(".test.yaml") => problems_of::<TestFile>(&file, &block),
                first if first.ends_with("hooktable.yaml") => problems_of::<SettingsFile>(&file, &block),
                first if first.ends_with("simulate.yaml") => problems_of::<SimulateFile>(&file, &block),
                _ => problems_of_route(&file, &block),
            };
            assert!(problems.is_empty(), "the block at {name} has problems:\n{problems}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} blocks were found");
}
