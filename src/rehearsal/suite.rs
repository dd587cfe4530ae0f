//! The tests of route files: found beside them, read, compiled, and all their problems told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::Digest as _;
use tokio::sync::OnceCell;

use super::blank::Blank;
use super::cases::{self, Case, Surrounding};
use super::project::surroundings;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Sources;
use crate::routes::compile::World;
use crate::routes::expected::expected_tables;
use crate::routes::folder::{Folder, read_companion};
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
    /// SHA-256 of all that they are made of.
    pub digest: [u8; 32],
    blank: OnceCell<Blank>,
}

impl Suite {
    /// What each of its tests begins with; made by the first one.
    pub(super) async fn blank(&self) -> Result<&Blank, String> {
        self.blank.get_or_try_init(|| Blank::new(&self.source.bundle, &self.destinations, &self.schemas)).await
    }
}

/// What was found in one folder.
pub struct Suites {
    /// The texts that were read, for drawing problems.
    pub texts: Sources,
    /// What is wrong with the tests, or with the route files they test.
    pub problems: Diagnostics,
    /// What can be run.
    pub suites: Vec<Arc<Suite>>,
    /// The files beside the route files that were read or looked for.
    pub companions: BTreeSet<PathBuf>,
}

/// What was read beside route files since it was last asked.
#[derive(Default)]
struct Companions(Mutex<BTreeMap<String, Result<String, String>>>);

impl Companions {
    fn read(&self, path: &str) -> Result<String, String> {
        let text = read_companion(path);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), text.clone());
        text
    }

    fn take(&self) -> BTreeMap<String, Result<String, String>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
    let companions = Companions::default();
    let reading = |path: &str| companions.read(path);
    let world = World { files: &reading, ..surroundings.world() };
    let Loaded { texts, files, .. } = load::load(&texts, world, &[]);
    let mut found = Suites { texts, problems: Diagnostics::default(), suites: Vec::new(), companions: BTreeSet::new() };
    let tested: BTreeSet<String> = match only {
        Some(only) => only.iter().map(|path| shown(path)).collect(),
        None => test_files(folder)?.iter().map(|path| route_of(path)).collect(),
    };
    for path in tested {
        match files.iter().find(|file| file.path == path) {
            Some(file) => {
                found.companions.extend(companions.take().into_keys().map(PathBuf::from));
                read_suite(file, world, &companions, &mut found);
            }
            None => found.problems.report(nothing_to_test(&path)),
        }
        found.companions.insert(tests_of(&path).into());
    }
    Ok(found)
}

/// The tests of the route file at a path.
pub fn read_folder(folder: &Path, templates: &Path, path: &str, destinations: &[Destination]) -> io::Result<Suites> {
    read(folder, templates, Some(&BTreeSet::from([path.to_owned()])), destinations)
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

fn read_suite(file: &LoadedFile, world: World<'_>, companions: &Companions, found: &mut Suites) {
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
    let read = companions.take();
    if !problems.has_errors() {
        let digest = digest_of(source, &read);
        found.suites.extend(suite.map(|suite| Arc::new(Suite { digest, ..suite })));
    }
    found.companions.extend(read.into_keys().map(PathBuf::from));
    found.problems.append(problems);
}

fn digest_of(source: &Source, read: &BTreeMap<String, Result<String, String>>) -> [u8; 32] {
    let mut hash = sha2::Sha256::new_with_prefix(source.bundle_hash);
    for (path, text) in read {
        for part in [path, text.as_ref().unwrap_or_else(|reason| reason)] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
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
    Some(Suite {
        source: Arc::clone(source),
        destinations: world.destinations.to_vec(),
        schemas: schemas?,
        cases,
        path,
        digest: [0; 32],
        blank: OnceCell::new(),
    })
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
