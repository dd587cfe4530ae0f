//! The house rules as tests: which module may import which, how long files and functions may be, and the invariants that can
//! be read off the text. CONTRIBUTING.md says why each rule is there.

use crate::rust_source::{RustFile, places_of_word};

/// Every module and what it may import, lowest first; a row names only rows above its own. `store::budgets` stands for that
/// part of `store` alone. A new arrow is a decision: it goes here and, when it is worth one, into ARCHITECTURE.md.
const IMPORTS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("secret", &[]),
    ("failpoint", &[]),
    ("model", &["clock", "secret"]),
    ("config", &["clock", "secret", "model"]),
    ("expr", &["clock", "secret", "model", "config"]),
    ("store", &["failpoint", "clock", "secret", "model", "config"]),
    ("target", &["failpoint", "clock", "secret", "model", "config", "expr"]),
    ("http_client", &["clock", "secret", "model", "config", "expr", "store::budgets", "store::Store"]),
    ("payload", &["clock", "secret", "model", "config", "expr"]),
    ("auth", &["clock", "secret", "model", "config", "expr", "store", "http_client", "payload"]),
    ("steps", &["clock", "secret", "model", "config", "expr", "http_client", "payload", "auth"]),
    ("routes", &["clock", "secret", "model", "config", "expr", "store", "target", "http_client", "payload", "auth", "steps"]),
    ("intake", &["clock", "secret", "model", "config", "expr", "store", "http_client", "payload", "auth", "steps", "routes"]),
    (
        "worker",
        &[
            "failpoint",
            "clock",
            "secret",
            "model",
            "config",
            "expr",
            "store",
            "target",
            "http_client",
            "payload",
            "auth",
            "steps",
            "routes",
        ],
    ),
    (
        "rehearsal",
        &[
            "clock",
            "secret",
            "model",
            "config",
            "expr",
            "store",
            "target",
            "http_client",
            "payload",
            "auth",
            "steps",
            "routes",
            "intake",
            "worker",
        ],
    ),
    (
        "portal",
        &[
            "clock",
            "secret",
            "model",
            "config",
            "expr",
            "store",
            "target",
            "http_client",
            "payload",
            "auth",
            "steps",
            "routes",
            "rehearsal",
        ],
    ),
    (
        "app",
        &[
            "failpoint",
            "clock",
            "secret",
            "model",
            "config",
            "expr",
            "store",
            "target",
            "http_client",
            "payload",
            "auth",
            "steps",
            "routes",
            "intake",
            "worker",
            "rehearsal",
            "portal",
        ],
    ),
    (
        "cli",
        &[
            "clock",
            "secret",
            "model",
            "config",
            "expr",
            "store",
            "target",
            "http_client",
            "payload",
            "auth",
            "steps",
            "routes",
            "intake",
            "worker",
            "rehearsal",
            "portal",
            "app",
        ],
    ),
];

const MOST_LINES_OF_A_FILE: usize = 400;
const MOST_LINES_OF_A_FUNCTION: usize = 70;

/// Files that may be longer, each with the reason.
const LONGER_FILES: &[(&str, &str)] = &[];

/// Functions that may be longer, as `file: function`, each with the reason.
const LONGER_FUNCTIONS: &[(&str, &str)] = &[];

/// Files and folders whose work it is to choose the HTTP status of an answer.
const STATUS_PLACES: &[&str] = &[
    "src/intake/rejection.rs",
    "src/intake/answer.rs",
    "src/app/server.rs",
    "src/app/admin.rs",
    "src/rehearsal/simulate.rs",
    "src/portal/",
];

#[test]
fn the_table_of_imports_only_points_upwards_in_the_table() {
    let mut complaints = Vec::new();
    for (row, (module, imports)) in IMPORTS.iter().enumerate() {
        for import in *imports {
            let name = import.split("::").next().unwrap_or(import);
            if !IMPORTS[..row].iter().any(|(above, _)| *above == name) {
                complaints.push(format!("`{module}` may import `{import}`, which does not stand above it"));
            }
        }
    }
    assert_none(&complaints, "a row names only rows above its own; two modules that need each other meet in a third below both");
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let mut complaints = Vec::new();
    for file in RustFile::all_below("src") {
        let Some(module) = module_of(&file.path) else { continue };
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            complaints.push(format!("{}: module `{module}` has no row in the table of imports", file.path));
            continue;
        };
        for (at, import) in imports_of(&file) {
            let name = import.split("::").next().unwrap_or(&import);
            let is_module = IMPORTS.iter().any(|(known, _)| *known == name);
            let is_allowed = allowed.iter().any(|allowed| import == *allowed || import.starts_with(&format!("{allowed}::")));
            if is_module && name != module && !is_allowed {
                complaints.push(format!("{}:{}: `{module}` imports `{import}`", file.path, file.line(at)));
            }
        }
    }
    assert_none(
        &complaints,
        "hand the value in from a module above both, move what is shared into a module below both, or (a decision) add the \
         arrow to `IMPORTS` in tests/it/tidy.rs",
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let complaints: Vec<String> = project_files()
        .iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{}:1: does not begin with `//! `", file.path))
        .collect();
    assert_none(&complaints, "begin the file with one to three sentences in `//!`: what it is for and what it is not");
}

#[test]
fn files_and_functions_stay_short() {
    let mut complaints = Vec::new();
    let mut exceptions: Vec<String> = Vec::new();
    for file in RustFile::all_below("src") {
        let lines = file.production_lines();
        if lines > MOST_LINES_OF_A_FILE {
            exceptions.push(file.path.clone());
            if !LONGER_FILES.iter().any(|(path, _)| *path == file.path) {
                complaints.push(format!("{}: {lines} lines without its tests; at most {MOST_LINES_OF_A_FILE}", file.path));
            }
        }
        for function in file.functions().into_iter().filter(|function| function.lines > MOST_LINES_OF_A_FUNCTION) {
            let name = format!("{}: {}", file.path, function.name);
            if !LONGER_FUNCTIONS.iter().any(|(known, _)| *known == name) {
                let (line, lines) = (function.line, function.lines);
                complaints.push(format!("{}:{line}: `{}` has {lines} lines of code", file.path, function.name));
            }
            exceptions.push(name);
        }
    }
    for (name, _) in LONGER_FILES.iter().chain(LONGER_FUNCTIONS) {
        if !exceptions.iter().any(|known| known == name) {
            complaints.push(format!("`{name}` is short enough now; remove its exception"));
        }
    }
    assert_none(
        &complaints,
        "split it by question; where one piece is really clearer, list it in tests/it/tidy.rs with the reason",
    );
}

#[test]
fn files_have_names_that_say_something() {
    let empty = ["utils", "util", "common", "helper", "helpers", "misc", "manager", "types"];
    let complaints: Vec<String> = project_files()
        .iter()
        .filter(|file| file.path.trim_end_matches(".rs").split('/').any(|part| empty.contains(&part)))
        .map(|file| format!("{}: the name says nothing", file.path))
        .collect();
    assert_none(&complaints, "name the file after the one question it answers");
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    // in two parts, so that this file does not name them itself
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("to", "do!"), concat!("unimpl", "emented!")];
    let mut complaints = Vec::new();
    for file in project_files() {
        for word in words {
            for at in places_of_word(&file.text, word) {
                complaints.push(format!("{}:{}: `{word}`", file.path, file.line(at)));
            }
        }
    }
    assert_none(&complaints, "do it now, or open an issue and leave the code without a trace of it");
}

#[test]
fn only_intake_receive_puts_deliveries_into_the_inbox() {
    let names_append = |file: &RustFile, at: usize| {
        let rest = &file.code[at..];
        let group = rest.strip_prefix("inbox::{").and_then(|rest| rest.split('}').next()).unwrap_or_default();
        rest.starts_with("inbox::append") || !places_of_word(group, "append").is_empty()
    };
    let complaints = complaints_of(
        |path| path == "src/intake/receive.rs" || path.starts_with("src/store/"),
        |file| file.places_of("inbox").into_iter().filter(|at| names_append(file, *at)).collect(),
        "names `inbox::append`",
    );
    assert_none(
        &complaints,
        "only a request that `intake/receive` has authenticated may reach the inbox; send one, or call the handler",
    );
}

#[test]
fn only_the_command_line_prints() {
    let complaints = complaints_of(
        |path| path.starts_with("src/cli/"),
        |file| {
            let macros = ["println", "eprintln", "print", "eprint"];
            let is_call = |at: &usize| file.code[*at..].trim_start_matches(char::is_alphanumeric).starts_with('!');
            macros.iter().flat_map(|name| file.places_of(name)).filter(is_call).collect()
        },
        "prints",
    );
    assert_none(&complaints, "return the value and let `cli/` print it; for operators write one log line with `tracing`");
}

#[test]
fn only_store_and_target_hold_sql() {
    let complaints = complaints_of(
        |path| path.starts_with("src/store/") || path.starts_with("src/target/"),
        |file| {
            let with_sql = file.literals.iter().filter(|(_, text)| is_sql(text)).map(|(at, _)| *at);
            with_sql.chain(file.places_of("sqlx")).collect()
        },
        "holds SQL or names `sqlx`",
    );
    assert_none(&complaints, "make it a named function of `store` (our tables) or `target` (theirs) and call that");
}

#[test]
fn http_statuses_are_chosen_in_few_places() {
    let complaints = complaints_of(
        // what the outgoing client names are statuses that it reads
        |path| STATUS_PLACES.iter().any(|place| path.starts_with(place)) || path.starts_with("src/http_client/"),
        |file| file.places_of("StatusCode"),
        "names `StatusCode`",
    );
    assert_none(
        &complaints,
        "return a value that says what happened; `intake/rejection` and `intake/answer` turn it into a status",
    );
}

#[test]
fn only_the_edges_know_the_web_framework() {
    let edges = ["src/intake/", "src/rehearsal/", "src/portal/", "src/app/"];
    let complaints =
        complaints_of(|path| edges.iter().any(|edge| path.starts_with(edge)), |file| file.places_of("axum"), "names `axum`");
    assert_none(&complaints, "take and return plain values of `model`; requests and answers belong to `intake` and `app`");
}

#[test]
fn a_secret_cannot_be_shown_or_stored_by_mistake() {
    let mut complaints = Vec::new();
    for file in RustFile::all_below("src") {
        for at in file.places_of("Secret") {
            let line = file.code[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let before = &file.code[line..at];
            let shows = ["Display", "Serialize", "Deref"].into_iter().find(|name| !places_of_word(before, name).is_empty());
            if let Some(name) = shows.filter(|_| before.trim_start().starts_with("impl") && before.trim_end().ends_with("for")) {
                complaints.push(format!("{}:{}: `Secret` implements `{name}`", file.path, file.line(at)));
            }
        }
    }
    assert_none(&complaints, "call `expose()` at the one place that needs the value");
}

/// All Rust files that the project's people write.
fn project_files() -> Vec<RustFile> {
    ["src", "tests/it"].into_iter().flat_map(RustFile::all_below).collect()
}

/// What production code outside `allowed` files does that only those may.
fn complaints_of(allowed: impl Fn(&str) -> bool, places: impl Fn(&RustFile) -> Vec<usize>, what: &str) -> Vec<String> {
    let files = RustFile::all_below("src").into_iter().filter(|file| !allowed(&file.path));
    let complaints_of_file = |file: RustFile| {
        let places = places(&file).into_iter().filter(|at| !file.is_test(*at));
        places.map(|at| format!("{}:{}: {what}", file.path, file.line(at))).collect::<Vec<_>>()
    };
    files.flat_map(complaints_of_file).collect()
}

fn assert_none(complaints: &[String], what_to_do: &str) {
    assert!(complaints.is_empty(), "\n{}\n\nwhat to do: {what_to_do}\n", complaints.join("\n"));
}

/// `config` of `src/config/yaml.rs`; none for `lib.rs`, which names all, and `main.rs`.
fn module_of(path: &str) -> Option<&str> {
    let below = path.strip_prefix("src/")?;
    let module = below.split('/').next()?.trim_end_matches(".rs");
    (module != "lib" && module != "main").then_some(module)
}

/// What the code names below the crate's root, by `crate::` or by as many `super::` as lead there, and where.
fn imports_of(file: &RustFile) -> Vec<(usize, String)> {
    let mut imports = Vec::new();
    for at in file.places_of("crate") {
        if let Some(rest) = file.code[at..].strip_prefix("crate::") {
            imports.extend(paths_of(rest).into_iter().map(|path| (at, path)));
        }
    }
    let below_root = file.path.matches('/').count() - usize::from(file.path.ends_with("/mod.rs"));
    for at in file.places_of("super").into_iter().filter(|at| !file.code[..*at].ends_with("::")) {
        let rest = file.code[at..].trim_start_matches("super::");
        let steps = (file.code[at..].len() - rest.len()) / "super::".len();
        if steps >= below_root + usize::from(file.is_test(at)) {
            imports.extend(paths_of(rest).into_iter().map(|path| (at, path)));
        }
    }
    imports
}

/// The paths of one `use`: `a::b` of `a::b;`, and `a::b`, `c` of `{a::b, c}`; braces further in are left out.
fn paths_of(rest: &str) -> Vec<String> {
    let path_of = |text: &str| -> String {
        let path: String =
            text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || "_:".contains(*letter)).collect();
        path.trim_end_matches(':').to_owned()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![path_of(rest)] };
    let mut paths = Vec::new();
    let mut depth = 0usize;
    let mut start = 0;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                paths.push(path_of(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                paths.push(path_of(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

/// Whether a text most likely is a statement: one of our lower-case ones.
fn is_sql(text: &str) -> bool {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let has = |start: &str, inside: &str| text.starts_with(start) && text.contains(inside);
    has("select ", " from ")
        || has("insert into ", "")
        || has("update ", " set ")
        || has("delete from ", "")
        || has("create table ", "")
}

#[test]
fn the_scan_for_imports_sees_through_groups_and_supers() {
    let names = |path: &str, text: &str| {
        imports_of(&RustFile::new(path, text)).into_iter().map(|(_, import)| import).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("src/auth/mod.rs", "use crate::{store::{a, b}, model::c};"), "store model::c");
    assert_eq!(names("src/auth/token.rs", "use super::super::store::a; use super::b;"), "store::a");
    assert_eq!(names("src/auth/mod.rs", "use super::store::a;"), "store::a");
    assert_eq!(names("src/auth/token.rs", "#[cfg(test)]\nmod tests { use super::super::verify; }"), "");
}
