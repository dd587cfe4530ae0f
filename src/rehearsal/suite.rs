//! The tests of route files: found beside them, read, compiled, and all their problems told.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::cases::{self, Case, Surrounding};
use super::project::surroundings;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Sources;
use crate::routes::compile::World;
use crate::routes::expected::expected_tables;
use crate::routes::folder::Folder;
use crate::routes::load::{self, Loaded, LoadedFile};
use crate::routes::samples::read_tests;
use crate::routes::source::Source;
use crate::routes::test_file::{TestFile, tests_of};
use crate::steps::map::Destination;
use crate::target::ddl::{ExpectedTable, missing};
use crate::target::dialect::Dialect;

/// How the file of a route file's tests ends.
const ENDING: &str = ".test.yaml";

/// The tests of one route file.
pub struct Suite {
    /// The path of the test file.
    pub path: String,
    /// What is tested.
    pub source: Arc<Source>,
    /// The databases that writes can go to.
    pub destinations: Vec<Destination>,
    /// The scripts that make the tables, by database.
    pub schemas: Vec<(String, String)>,
    /// The tests.
    pub cases: Vec<Case>,
}

/// What was found in one folder.
pub struct Suites {
    /// The texts that were read, for drawing problems.
    pub texts: Sources,
    /// What is wrong with the tests, or with the route files they test.
    pub problems: Diagnostics,
    /// What can be run.
    pub suites: Vec<Suite>,
}

/// Reads the tests of a folder's route files, which may include what is in `templates`: of all, or of those at the paths in `only`.
pub fn read(
    folder: &Path,
    templates: &Path,
    only: Option<&BTreeSet<String>>,
    destinations: &[Destination],
) -> io::Result<Suites> {
    let surroundings = surroundings(destinations.to_vec());
    let mut texts = Folder::new(folder).with_templates(templates).read()?;
    texts.routes = texts.routes.into_iter().map(|(path, text)| (shown(&path), text)).collect();
    let world = surroundings.world();
    let Loaded { texts, files, .. } = load::load(&texts, world, &[]);
    let mut found = Suites { texts, problems: Diagnostics::default(), suites: Vec::new() };
    let tested: BTreeSet<String> = match only {
        Some(only) => only.iter().map(|path| shown(path)).collect(),
        None => test_files(folder)?.iter().map(|path| route_of(path)).collect(),
    };
    for path in tested {
        match files.iter().find(|file| file.path == path) {
            Some(file) => read_suite(file, world, &mut found),
            None => found.problems.report(nothing_to_test(&path)),
        }
    }
    Ok(found)
}

/// The route file whose tests are at `path`.
pub fn route_of(path: &str) -> String {
    path.strip_suffix(ENDING).map_or_else(|| path.to_owned(), |stem| format!("{stem}.yaml"))
}

/// A path as it is shown: nobody writes `./` before a name.
fn shown(path: &str) -> String {
    path.strip_prefix("./").unwrap_or(path).to_owned()
}

fn test_files(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = shown(&entry?.path().to_string_lossy());
        if path.ends_with(ENDING) {
            paths.insert(path);
        }
    }
    Ok(paths)
}

fn nothing_to_test(path: &str) -> Diagnostic {
    let message = match Path::new(path).exists() {
        true => format!("`{path}` describes no source, so there is nothing to test"),
        false => format!("there is no route file `{path}` to test"),
    };
    Diagnostic::without_place("no-route-file", message)
        .hint("tests stand beside what they test: `NAME.test.yaml` beside `NAME.yaml`")
}

fn read_suite(file: &LoadedFile, world: World<'_>, found: &mut Suites) {
    let Some(source) = &file.source else {
        found.problems.append(file.diagnostics.clone());
        return;
    };
    let path = tests_of(&file.path);
    if !Path::new(&path).exists() {
        let message = format!("`{}` has no tests: there is no `{path}`", file.path);
        found.problems.report(Diagnostic::without_place("no-tests", message));
        return;
    }
    let mut problems = Diagnostics::default();
    let tests = read_tests(&file.path, world, &mut found.texts, &mut problems);
    let suite = tests.and_then(|tests| compile(&tests, path, source, world, &found.texts, &mut problems));
    if !problems.has_errors() {
        found.suites.extend(suite);
    }
    found.problems.append(problems);
}

fn compile(
    tests: &TestFile,
    path: String,
    source: &Arc<Source>,
    world: World<'_>,
    texts: &Sources,
    problems: &mut Diagnostics,
) -> Option<Suite> {
    let surrounding = Surrounding { source, path: &path, world };
    let schemas = schemas_of(tests, surrounding, problems);
    let cases: Vec<Option<Case>> = tests
        .tests
        .iter()
        .map(|test| cases::compile(test, texts.line_and_column(test.name.span).0, surrounding, problems))
        .collect();
    let cases = cases.into_iter().collect::<Option<_>>()?;
    Some(Suite { source: Arc::clone(source), destinations: world.destinations.to_vec(), schemas: schemas?, cases, path })
}

/// The script of the test file for every database; without one, what makes the tables that the routes expect.
fn schemas_of(tests: &TestFile, surrounding: Surrounding<'_>, problems: &mut Diagnostics) -> Option<Vec<(String, String)>> {
    let world = surrounding.world;
    let Some(schema) = &tests.schema else {
        let expected = expected_tables(std::slice::from_ref(surrounding.source), world);
        // throwaway databases are SQLite, whatever the real ones are
        let script = |tables: Vec<ExpectedTable>| missing(Dialect::Sqlite, &tables, &[]).join("\n");
        return Some(expected.into_iter().map(|(database, tables)| (database, script(tables))).collect());
    };
    let script = surrounding.read(schema, problems)?;
    Some(world.destinations.iter().map(|destination| (destination.name.clone(), script.clone())).collect())
}
