//! From the texts of a folder to compiled sources: what one file lends to others, what belongs to a version, what overlaps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::claims;
use super::compile::{Input, World, compile};
use super::file::FileOptions;
use super::lending::{self, Lender};
use super::onboarding;
use super::samples;
use super::shipped;
use super::side_by_side;
use super::source::Source;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::FromYaml;
use crate::config::source::{FileId, Sources, Span};
use crate::config::yaml::{Content, Node, parse};
use crate::expr::template::Engine;
use crate::model::bundle::Bundle;

/// The texts of a folder, by the paths that people know them by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// `*.yaml`: route files and those that lend.
    pub routes: BTreeMap<String, String>,
    /// Those that could not be read, and why.
    pub unreadable: Vec<(String, String)>,
    /// Paths of `*.yml`, which are not read.
    pub misnamed: Vec<String>,
    /// The files of the folder of templates, by their path inside it, with `/`.
    pub templates: BTreeMap<String, TemplateText>,
    /// Those that could not be read, and why.
    pub unreadable_templates: Vec<(String, String)>,
}

/// A template that others can include.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateText {
    /// The path that people know it by.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Texts {
    /// The texts that one version of a source was compiled from.
    pub fn of_bundle(bundle: &Bundle) -> Self {
        let mut routes = bundle.files.clone();
        let template = |(name, path): (&String, &String)| {
            let text = routes.remove(path)?;
            Some((name.clone(), TemplateText { path: path.clone(), text }))
        };
        let templates = bundle.templates.iter().filter_map(template).collect();
        Self { routes, templates, ..Self::default() }
    }

    /// An engine whose templates can include those of the folder; `known` learns their texts.
    fn engine(&self, known: &mut Sources) -> Engine {
        let add = |(name, template): (&String, &TemplateText)| {
            (name.clone(), (known.add(&template.path, &template.text), template.text.clone()))
        };
        Engine::with_templates(self.templates.iter().map(add).collect::<Vec<_>>())
    }
}

/// What became of a folder.
#[derive(Default)]
pub struct Loaded {
    /// All texts, for drawing diagnostics.
    pub texts: Sources,
    /// All problems.
    pub diagnostics: Diagnostics,
    /// Secrets that have no value.
    pub unset: Diagnostics,
    /// The route files, by path.
    pub files: Vec<LoadedFile>,
}

/// What became of one route file.
pub struct LoadedFile {
    /// Its path.
    pub path: String,
    /// The source's name, as far as it could be told.
    pub name: String,
    /// The compiled source; `None` when the file has errors.
    pub source: Option<Arc<Source>>,
    /// Whether a secret has no value.
    pub unset: bool,
    /// Its own problems.
    pub diagnostics: Diagnostics,
    /// Whether the file said its name, if only by its own; a file that cannot be read says nothing.
    pub is_named: bool,
    /// Where its name stands, or where the file begins.
    pub(super) name_span: Option<Span>,
}

impl LoadedFile {
    /// Whether this is the file of a source that was loaded from `path` before.
    pub fn describes(&self, name: &str, path: &str) -> bool {
        if self.is_named { self.name == name } else { self.path == path }
    }
}

/// A file that was read.
pub(super) struct Parsed {
    /// Its path.
    pub(super) path: String,
    /// The root of its tree.
    pub(super) root: Node,
    /// Its options, as far as they could be read.
    pub(super) options: Option<FileOptions>,
    /// What is wrong with it.
    pub(super) problems: Diagnostics,
}

/// Loads a folder. `running` are the sources that run already: where two overlap, what runs wins.
pub fn load(texts: &Texts, world: World<'_>, running: &[Arc<Source>]) -> Loaded {
    let mut loaded = Loaded::default();
    let mut texts = texts.clone();
    shipped::add_missing(&mut texts.templates);
    let texts = &texts;
    let engine = texts.engine(&mut loaded.texts);
    let world = World { engine: &engine, ..world };
    let unreadable = |path: &str, reason: &str| Diagnostic::without_place("unreadable-file", format!("`{path}` {reason}"));
    for (path, reason) in &texts.unreadable {
        let mut problems = Diagnostics::default();
        problems.report(unreadable(path, reason));
        loaded.files.push(broken(path, problems));
    }
    for (path, reason) in &texts.unreadable_templates {
        loaded.diagnostics.report(unreadable(path, reason));
    }
    for path in &texts.misnamed {
        let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let name = file.strip_suffix(".yml").unwrap_or(file);
        loaded.diagnostics.report(
            Diagnostic::without_place("yml-ending", format!("`{path}` is not read: a route file ends in `.yaml`"))
                .hint(format!("rename it to `{name}.yaml`")),
        );
    }
    let mut lenders = Vec::new();
    let mut routes = Vec::new();
    let files: Vec<(&String, FileId)> = texts.routes.iter().map(|(path, text)| (path, loaded.texts.add(path, text))).collect();
    for read in side_by_side::map(files, |(path, file)| read(path, file, &loaded.texts)) {
        match read {
            Ok((Kind::Lends, parsed)) => {
                loaded.diagnostics.append(parsed.problems.clone());
                lenders.push(parsed);
            }
            Ok((Kind::Source, parsed)) => routes.push(parsed),
            Err(broken) => loaded.files.push(*broken),
        }
    }
    let lenders = lending::lenders(lenders, &mut loaded.diagnostics);
    for compiled in side_by_side::map(routes, |parsed| compile_source(parsed, &lenders, texts, world)) {
        if let (Some(source), Some(options)) = (&compiled.file.source, &compiled.options) {
            samples::check(source, options, world, &mut loaded.texts, &mut loaded.diagnostics);
        }
        loaded.unset.append(compiled.unset);
        loaded.files.push(compiled.file);
    }
    claims::settle(&mut loaded.files, running);
    loaded.files.sort_by(|left, right| left.path.cmp(&right.path));
    for file in &loaded.files {
        loaded.diagnostics.append(file.diagnostics.clone());
    }
    loaded
}

/// What a file is for.
enum Kind {
    /// It lends its `apis` and `secrets`.
    Lends,
    /// It describes a source.
    Source,
}

fn read(path: &str, file: FileId, texts: &Sources) -> Result<(Kind, Parsed), Box<LoadedFile>> {
    let mut problems = Diagnostics::default();
    let Some(root) = parse(texts, file, &mut problems) else { return Err(Box::new(broken(path, problems))) };
    let (kind, options) = match FileOptions::lends(&root) {
        true => (Kind::Lends, FileOptions::from_yaml(&root, &mut problems)),
        false => (Kind::Source, read_options(&root, &mut problems)),
    };
    Ok((kind, Parsed { path: path.to_owned(), root, options, problems }))
}

fn read_options(root: &Node, problems: &mut Diagnostics) -> Option<FileOptions> {
    if root.is_null() {
        problems.report(
            Diagnostic::error("empty-file", root.span, "the file is empty")
                .hint("the smallest route file has `auth` and `write`"),
        );
        return None;
    }
    if root.entries().is_none() {
        let message = format!("a route file is a map of options; found {}", root.describe());
        problems.report(
            Diagnostic::error("wrong-type", root.head(), message)
                .hint("each line begins with an option's name, without a dash: `auth: …`"),
        );
        return None;
    }
    FileOptions::from_yaml(root, problems)
}

fn broken(path: &str, diagnostics: Diagnostics) -> LoadedFile {
    LoadedFile {
        path: path.to_owned(),
        name: stem(path),
        source: None,
        unset: false,
        diagnostics,
        is_named: false,
        name_span: None,
    }
}

/// `economic` of `routes.d/economic.yaml`.
pub fn stem(path: &str) -> String {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    file.strip_suffix(".yaml").unwrap_or(file).to_owned()
}

/// A file that was compiled, or has errors.
struct Compiled {
    file: LoadedFile,
    options: Option<FileOptions>,
    unset: Diagnostics,
}

fn compile_source(parsed: Parsed, lenders: &[Lender], texts: &Texts, world: World<'_>) -> Compiled {
    let Parsed { path, root, options, mut problems } = parsed;
    let Some(mut options) = options else {
        return Compiled { file: broken(&path, problems), options: None, unset: Diagnostics::default() };
    };
    let name = options.source.as_ref().map_or_else(|| stem(&path), |source| source.value.clone());
    let mut files = BTreeMap::from([(path.clone(), texts.routes.get(&path).cloned().unwrap_or_default())]);
    let mut included = templates_of(&root, world.engine);
    for Lender { parsed: lender, .. } in lending::borrow(&mut options, &root, lenders, world.engine, &mut problems) {
        files.insert(lender.path.clone(), texts.routes.get(&lender.path).cloned().unwrap_or_default());
        included.extend(templates_of(&lender.root, world.engine));
    }
    let mut for_people: BTreeSet<String> =
        onboarding::templates_of(options.onboarding.as_ref(), world.engine).into_iter().collect();
    for_people.retain(|name| !included.contains(name));
    included.extend(for_people.iter().cloned());
    let mut templates = BTreeMap::new();
    for (name, template) in included.into_iter().filter_map(|name| texts.templates.get_key_value(&name)) {
        templates.insert(name.clone(), template.path.clone());
        files.insert(template.path.clone(), template.text.clone());
    }
    let bundle = Bundle { source: name.clone(), files, main: path.clone(), templates };
    let mut unset = Diagnostics::default();
    let source =
        compile(Input { options: &options, root: &root, name: &name, bundle, for_people }, world, &mut problems, &mut unset);
    let source = source.filter(|_| !problems.has_errors()).map(Arc::new);
    let name_span = Some(options.source.as_ref().map_or(root.head(), |source| source.span));
    let file = LoadedFile { path, name, source, unset: !unset.is_empty(), diagnostics: problems, is_named: true, name_span };
    Compiled { file, options: Some(options), unset }
}

/// The names of all templates that the texts of a file include.
fn templates_of(node: &Node, engine: &Engine) -> BTreeSet<String> {
    match &node.content {
        Content::Scalar(scalar) => engine.templates_of(&scalar.text),
        Content::List(items) => items.iter().flat_map(|item| templates_of(item, engine)).collect(),
        Content::Map(entries) => entries.iter().flat_map(|entry| templates_of(&entry.value, engine)).collect(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::secret::SecretReader;
    use crate::expr::template::Engine;
    use crate::steps::map::Destination;

    /// What belongs to route files, by path.
    pub(in super::super) type SourceFiles<'f> = dyn Fn(&str) -> Result<String, String> + Sync + 'f;

    struct EverySecret;

    impl SecretReader for EverySecret {
        fn environment(&self, _: &str) -> Option<String> {
            None
        }
        fn file(&self, _: &str) -> Option<String> {
            None
        }
        fn today(&self) -> jiff::civil::Date {
            jiff::civil::date(2026, 11, 21)
        }
        fn stand_in(&self, name: &str) -> Option<String> {
            Some(format!("test-{name}"))
        }
    }

    /// Runs something in a world where every secret is set.
    pub(in super::super) fn with_world<T>(files: &SourceFiles<'_>, run: impl FnOnce(World<'_>) -> T) -> T {
        let destinations = [Destination { name: "main".to_owned(), tenant_column: "tenant".to_owned() }];
        run(World { destinations: &destinations, secrets: &EverySecret, engine: &Engine::default(), files })
    }

    /// Route files by path.
    pub(in super::super) fn texts(routes: &[(&str, &str)]) -> Texts {
        let routes = routes.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Texts { routes: routes.collect(), ..Texts::default() }
    }

    fn loaded(routes: &[(&str, &str)]) -> Loaded {
        with_world(&|_| Err("is not there".to_owned()), |world| load(&texts(routes), world, &[]))
    }

    /// The codes of all problems of one file.
    fn codes(text: &str) -> Vec<&'static str> {
        loaded(&[("routes.d/a.yaml", text)]).diagnostics.all().iter().map(|one| one.code).collect()
    }

    const HEAD: &str =
        "auth: { api_key: $.query.key }\nevent: $.body.event\napis: { shop: { base: \"https://api.example.com\" } }\n";

    fn assert_codes(rest: &str, expected: &[&str]) {
        assert_eq!(codes(&format!("{HEAD}{rest}")), expected, "{rest}");
    }

    #[test]
    fn a_route_adds_to_the_maps_of_its_file_and_replaces_the_rest() {
        let text = format!(
            "{HEAD}extract: {{ id: $.body.id }}\nlane: \"a/{{{{ id }}}}\"\nenrich: {{ one: \"/one/{{{{ id }}}}\", two: \"/two/{{{{ id }}}}\" }}\n\
             write: {{ insert: log, set: {{ id: $.id }} }}\nroutes:\n\
             - {{ event: a }}\n\
             - {{ event: b, extract: {{ no: $.body.no }}, lane: \"b/{{{{ no }}}}\", enrich: {{ two: \"/other/{{{{ no }}}}\", three: /three }}, \
             write: [{{ upsert: x, key: {{ no: $.no }}, set: {{ id: $.id, a: $.one.a }} }}, {{ insert: y, set: {{ no: $.no }} }}] }}\n\
             - {{ event: c, ignore: a test }}\n\
             - {{ event: d, write: [], forward: {{ x: {{ post: \"https://example.com\", json: $.one }} }} }}\n"
        );
        let loaded = loaded(&[("routes.d/a.yaml", &text)]);
        assert_eq!(loaded.diagnostics.all(), []);
        let source = loaded.files[0].source.clone().expect("compiles");
        let shape = |index: usize| {
            let route = &source.admission.routes[index];
            let mut calls: Vec<String> = route.pipeline.enrich.calls().flat_map(|call| call.url_texts()).collect();
            calls.sort();
            let tables = route.pipeline.writes.iter().map(|write| write.table.value.clone()).collect::<Vec<_>>().join(" ");
            let lane = route.queueing.lanes.first().map(|lane| lane.origin()).unwrap_or_default();
            (calls.join(" ").replace("https://api.example.com", ""), lane, tables)
        };
        assert_eq!(shape(0), ("/one/{{ id }} /two/{{ id }}".into(), "a/{{ id }}".into(), "log".into()));
        assert_eq!(shape(1), ("/one/{{ id }} /other/{{ no }} /three".into(), "b/{{ no }}".into(), "x y".into()));
        assert_eq!(shape(2), (String::new(), String::new(), String::new()));
        assert_eq!(shape(3), ("/one/{{ id }} /two/{{ id }}".into(), "a/{{ id }}".into(), String::new()));
    }

    #[test]
    fn the_tenant_is_the_machines_business() {
        let write = "write: { upsert: t, key: { id: $.body.id }, set: { tenant: x } }\n";
        for (head, expected) in [
            ("auth: { api_key: $.query.key }\n", vec!["tenant-column"]),
            ("auth: { none: a test }\ntenant: acme\n", vec!["tenant-column"]),
            ("auth: { none: a test }\n", vec![]),
            ("auth: { api_key: $.query.key }\ntenant: acme\n", vec!["two-tenants", "tenant-column"]),
            ("auth: { none: a test }\ntenant: \"a b\"\n", vec!["bad-name", "tenant-column"]),
        ] {
            assert_eq!(codes(&format!("{head}{write}")), expected, "{head}");
        }
        for option in ["soft: tenant", "version: { from: $.body.at, column: Tenant }"] {
            let write = format!("write: {{ upsert: t, {option}, key: {{ id: $.body.id }}, set: {{ a: $.body.a }} }}\n");
            assert_eq!(codes(&format!("auth: {{ none: a test }}\ntenant: acme\n{write}")), ["tenant-column"], "{option}");
        }
        assert_eq!(codes("auth: { none: a test }\nwrite: { insert: t, set: { who: $.tenant } }\n"), ["unknown-name"]);
        assert_codes("write: { upsert: t, shared: true, key: { id: $.body.id }, version: $.body.n, set: { tenant: x } }\n", &[]);
    }

    #[test]
    fn open_fields_of_the_integration_stand_in_the_document_and_secret_ones_do_not() {
        let text = "auth: { none: a test }\nintegration: { fields: { user: { from: $.body.user }, key: { secret: true, from: $.body.key } } }\n\
                    write: { insert: t, set: { user: $.integration.user } }\n";
        let loaded = loaded(&[("routes.d/a.yaml", text)]);
        assert_eq!(loaded.diagnostics.all(), []);
        let source = loaded.files[0].source.clone().expect("compiles");
        let caller = crate::model::caller::StoredCaller { scheme: "none".to_owned(), ..Default::default() };
        let integration_of = |body: &str| {
            let request = crate::model::delivery::Request {
                method: "POST".into(),
                path: "/in/a".into(),
                query: "".into(),
                headers: Vec::new(),
                body: body.as_bytes().to_vec().into(),
                peer: None,
            };
            let arrival = crate::steps::admission::Arrival {
                delivery: crate::model::delivery::DeliveryId(uuid::Uuid::nil()),
                received_at: crate::clock::Timestamp::parse("2026-11-21T07:30:00Z").expect("a moment"),
                caller: &caller,
                attempt: 1,
                work_key: &[0; 32],
                integrations: &crate::model::integration::Integrations::default(),
            };
            let item = source.admission.items(&request, source.admission.read(&request, &[]), arrival, None).remove(0);
            let found = item.document.get("integration").map(|found| found.to_string());
            (found, item.chosen.is_ok())
        };
        assert_eq!(integration_of(r#"{"user":"u","key":"k"}"#), (Some(r#"{"user":"u"}"#.to_owned()), true));
        assert_eq!(integration_of(r#"{"key":"k"}"#), (None, false));
    }

    #[test]
    fn names_that_a_template_makes_on_some_way_are_known_behind_it() {
        let made = |rest: &str| format!("lane: \"{{% if body.a %}}{{% set y = 1 %}}{rest}{{% endif %}}{{{{ y }}}}\"\n");
        let write = "write: { insert: t, set: { a: $.body } }";
        assert_codes(&format!("{}{write}", made("{% else %}{% set y = 2 %}")), &[]);
        assert_codes(&format!("{}{write}", made("")), &[]);
        assert_codes(&format!("{}{write}", made("").replace("{{ y }}", "{{ z }}")), &["unknown-name"]);
    }

    #[test]
    fn one_slip_gives_one_message() {
        for (rest, expected) in [
            ("enrich: { a: \"/x/{{ a.id }}\" }\nwrite: { insert: t, set: { a: $.a } }", "call-cycle"),
            ("extract: { sum: $.body.sum }\nwrite: { insert: t, set: { a: $.sum } }", "name-taken"),
            ("extract: { not: $.body.sum }\nwrite: { insert: t, set: { a: $.body } }", "name-taken"),
            ("extract: { a: $.body.a }\nenrich: { a: /x }\nwrite: { insert: t, set: { a: $.a } }", "name-taken"),
            ("lane: []\nwrite: { insert: t, set: { a: $.body } }", "wrong-type"),
            ("write: { insert: t, each: { x: word }, set: { a: $.x } }", "wrong-type"),
            ("write: { insert: t, copy: { bdy: [a] } }", "unknown-name"),
            ("write: { insert: t, set: { a: \"it's a | b {{ body.a | nope }}\" } }", "unknown-function"),
            ("write: { insert: t, set: { a: \"a | b, {{ body.a }}\", b: \"{{ body.x && body.y }}\" } }", "bad-template"),
            ("routes: [{ event: a, ignore: x, write: { insert: t, set: { a: $.body } } }]", "misplaced-option"),
            (
                "gone: event == 'x'\nenrich: { order: /o }\nwrite: { upsert: t, key: { id: \"{{ order.id }}\" }, set: { a: $.body } }",
                "gone-without-key",
            ),
        ] {
            assert_codes(rest, &[expected]);
        }
        let api = "auth: { none: a test }\napis: { a: { base: nowhere }, b: { base: \"https://b.example\" } }\n";
        assert_eq!(
            codes(&format!("{api}enrich: {{ x: {{ api: a, get: /x }} }}\nwrite: {{ insert: t, set: {{ x: $.y }} }}")),
            ["bad-url", "unknown-name"]
        );
    }

    const ECONOMIC: &str = include_str!("../../routes.d/economic.yaml");

    /// The shipped file with some lines and letters deleted, doubled, exchanged or replaced.
    fn mutated() -> impl Strategy<Value = String> {
        let letter = prop_oneof![
            Just('{'),
            Just('}'),
            Just('['),
            Just(']'),
            Just('$'),
            Just('.'),
            Just('"'),
            Just('\''),
            Just(':'),
            Just('%'),
            Just('|'),
            Just('*'),
            Just('\t'),
            Just('\n'),
            Just('&'),
            Just('<'),
            Just('ø'),
            any::<char>(),
        ];
        let change = (0..5u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), letter);
        prop::collection::vec(change, 1..6).prop_map(|changes| {
            let mut text = ECONOMIC.to_owned();
            for (kind, one, other, letter) in changes {
                text = change_once(&text, kind, one, other, letter);
            }
            text
        })
    }

    fn change_once(text: &str, kind: u8, one: prop::sample::Index, other: prop::sample::Index, letter: char) -> String {
        let mut lines: Vec<&str> = text.lines().collect();
        let mut letters: Vec<char> = text.chars().collect();
        if lines.is_empty() || letters.is_empty() {
            return letter.to_string();
        }
        match kind {
            0 => drop(lines.remove(one.index(lines.len()))),
            1 => lines.insert(other.index(lines.len()), lines[one.index(lines.len())]),
            2 => {
                let count = lines.len();
                lines.swap(one.index(count), other.index(count));
            }
            3 => {
                letters.remove(one.index(letters.len()));
                return letters.into_iter().collect();
            }
            _ => {
                letters.insert(one.index(letters.len()), letter);
                return letters.into_iter().collect();
            }
        }
        lines.join("\n")
    }

    /// Loads a text as a route file and as the tests beside one; all that is said of them lies inside the texts.
    fn assert_survived(text: &str) -> Result<(), TestCaseError> {
        let started = std::time::Instant::now();
        let as_tests =
            |path: &str| if path.ends_with(".test.yaml") { Ok(text.to_owned()) } else { Err("is not there".to_owned()) };
        let loaded = with_world(&as_tests, |world| load(&texts(&[("r/a.yaml", text), ("r/b.yaml", ECONOMIC)]), world, &[]));
        prop_assert!(started.elapsed() < std::time::Duration::from_secs(20), "it took {:?}", started.elapsed());
        for one in loaded.diagnostics.all().iter().chain(loaded.unset.all()) {
            let related = one.related.iter().map(|(span, _)| *span);
            for span in one.span.into_iter().chain(related).chain(one.replacement.as_ref().map(|patch| patch.span)) {
                let whole = &loaded.texts.file(span.file).text;
                prop_assert!(whole.get(span.range()).is_some(), "{}: {:?} of {} bytes", one.code, span.range(), whole.len());
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            assert_survived(&String::from_utf8_lossy(&bytes))?;
        }

        #[test]
        fn any_text_is_survived(text in "[-a-z${}\\[\\]:,.\"'&*!|> \\n\\t%#?@~0-9ø]{0,200}") {
            assert_survived(&text)?;
        }

        #[test]
        fn any_slip_in_a_real_file_is_survived(text in mutated()) {
            assert_survived(&text)?;
        }
    }
}
