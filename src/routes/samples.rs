//! Samples: requests and answers as providers really send them. They prove that the paths of a route file lead somewhere, and
//! show what its columns hold.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::compile::World;
use super::file::FileOptions;
use super::saved;
use super::source::Source;
use super::test_file::{TestFile, TestOptions, beside, tests_of};
use crate::config::diagnostic::{Diagnostic, Diagnostics, closest};
use crate::config::options::{FromYaml, Named};
use crate::config::source::Sources;
use crate::config::yaml::{Node, parse};
use crate::expr::jsonpath::{Path, Segment};
use crate::expr::template::{Engine, Purpose, Template};
use crate::model::event::EventDocument;
use crate::steps::admission::Route;
use crate::steps::call::Call;
use crate::steps::choose::Pattern;
use crate::steps::write_options::WriteOptions;

/// Reads the tests beside a route file, if there are any. Their own problems are reported; they do not keep the file from running.
pub fn read_tests(path: &str, world: World<'_>, texts: &mut Sources, problems: &mut Diagnostics) -> Option<TestFile> {
    let path = tests_of(path);
    let text = (world.files)(&path).ok()?;
    let file = texts.add(path, text);
    let root = parse(texts, file, problems)?;
    TestFile::from_yaml(&root, problems)
}

/// Values that first names of the event document have in samples: `body` of requests, and the answers of calls.
pub(super) type Samples = BTreeMap<String, Vec<Json>>;

/// Reports samples that are not there, and warns of paths that lead nowhere in any sample.
pub fn check(source: &Source, options: &FileOptions, world: World<'_>, texts: &mut Sources, problems: &mut Diagnostics) {
    for sample in &source.samples {
        if let Err(reason) = (world.files)(&beside(&source.path, &sample.value)) {
            let message = format!("the sample `{}` {reason}", sample.value);
            problems.report(Diagnostic::error("sample-not-found", sample.span, message).hint("paths are relative to this file"));
        }
    }
    let tests = read_tests(&source.path, world, texts, problems);
    let tests = tests.as_ref().map_or(&[] as &[TestOptions], |tests| &tests.tests);
    for (index, route) in source.admission.routes.iter().enumerate().filter(|(_, route)| route.ignore.is_none()) {
        let samples = of_route(source, route, tests, world);
        if samples.values().all(Vec::is_empty) {
            continue;
        }
        let own = options.routes.get(index);
        let writes = own.and_then(|route| route.write.as_ref()).unwrap_or(&options.write);
        let mut checker = Checker { samples: &samples, engine: world.engine, problems };
        checker.named(&options.extract);
        let file = [&options.event, &options.id, &options.lane].into_iter().flatten();
        file.for_each(|node| checker.value(node));
        let calls = options.enrich.entries.iter().chain(own.iter().flat_map(|route| &route.enrich.entries)).map(|(_, call)| call);
        for call in calls {
            call.values().for_each(|node| checker.value(node));
            call.when().iter().for_each(|node| checker.condition(node));
        }
        options.gone.iter().for_each(|node| checker.condition(node));
        if let Some(route) = own {
            checker.named(&route.extract);
            [&route.id, &route.lane].into_iter().flatten().for_each(|node| checker.value(node));
            [&route.gone, &route.when].into_iter().flatten().for_each(|node| checker.condition(node));
        }
        writes.iter().for_each(|write| check_write(write, &samples, world.engine, problems));
    }
}

/// The tests beside a source's file, whatever is wrong with them: that was reported when the file was loaded.
pub(super) fn tests_beside(source: &Source, world: World<'_>) -> Vec<TestOptions> {
    let tests = read_tests(&source.path, world, &mut Sources::default(), &mut Diagnostics::default());
    tests.map(|tests| tests.tests).unwrap_or_default()
}

/// What the names that come from outside have in the samples and tests of a route.
pub(super) fn of_route(source: &Source, route: &Route, tests: &[TestOptions], world: World<'_>) -> Samples {
    let saved = source.samples.iter().filter_map(|sample| (world.files)(&beside(&source.path, &sample.value)).ok());
    let sent = tests.iter().filter(|test| test.expect.state.as_ref().is_some_and(|state| state.value == "done"));
    let sent = sent.filter_map(|test| test.send.json.as_ref()).map(Node::to_json);
    let bodies = saved.filter_map(|text| body_of_request(&text, source)).chain(sent).collect();
    let mut samples = Samples::from([("body".to_owned(), bodies)]);
    for call in route.pipeline.enrich.calls() {
        samples.insert(call.name.clone(), answers(call, tests, &source.path, world));
    }
    if let Some((name, list)) = &source.admission.payload.split {
        let elements = items_of(list, &samples);
        samples.insert(name.clone(), elements);
    }
    samples
}

/// The body of a saved request, decoded as the source would.
fn body_of_request(text: &str, source: &Source) -> Option<Json> {
    let request = saved::read(text, &source.receive).ok()?;
    source.admission.payload.open(&request).ok()?.decode().ok()?
}

/// What a call would give for each recorded answer that it could get.
fn answers(call: &Call, tests: &[TestOptions], path: &str, world: World<'_>) -> Vec<Json> {
    let patterns: Vec<Pattern> = call.url_texts().iter().map(|url| Pattern::of_template(url)).collect();
    let answers = tests.iter().flat_map(|test| &test.apis);
    let matching = answers.filter(|answer| answer.status.is_none_or(|status| (200..300).contains(&status)));
    let matching = matching
        .filter(|answer| answer.method() == call.method())
        .filter(|answer| patterns.iter().any(|pattern| pattern.matches(answer.url().split('?').next().unwrap_or_default())));
    let bodies = matching.filter_map(|answer| match (&answer.json, &answer.file) {
        (Some(json), _) => Some(json.to_json()),
        (None, Some(file)) => serde_json::from_str(&(world.files)(&beside(path, &file.value)).ok()?).ok(),
        (None, None) => None,
    });
    bodies.flat_map(|body| call.samples_of(200, &body)).collect()
}

fn check_write(write: &WriteOptions, samples: &Samples, engine: &Engine, problems: &mut Diagnostics) {
    let mut samples = samples.clone();
    let mut checker = Checker { samples: &samples, engine, problems };
    write.when.iter().for_each(|node| checker.condition(node));
    checker.named(&write.each);
    if let Some((name, list)) = write.each.entries.first() {
        let items =
            list.text().and_then(|text| Path::compile(text).ok()).map(|path| items_of(&path, &samples)).unwrap_or_default();
        samples.insert(name.value.clone(), items);
    }
    let mut checker = Checker { samples: &samples, engine, problems };
    [&write.key, &write.of, &write.set].into_iter().for_each(|columns| checker.named(columns));
}

fn items_of(path: &Path, samples: &Samples) -> Vec<Json> {
    let (first, _) = path.first_name();
    let lists = samples.get(first).into_iter().flatten().filter_map(|sample| find_in(path, first, sample));
    lists.filter_map(|list| if let Json::Array(items) = list { Some(items) } else { None }).flatten().collect()
}

pub(super) fn find_in(path: &Path, first: &str, sample: &Json) -> Option<Json> {
    let mut document = EventDocument::default();
    document.set(first, sample.clone());
    path.find(&document)
}

/// Looks for what is written in the samples.
struct Checker<'a> {
    samples: &'a Samples,
    engine: &'a Engine,
    problems: &'a mut Diagnostics,
}

impl Checker<'_> {
    fn named(&mut self, nodes: &Named<Node>) {
        nodes.entries.iter().for_each(|(_, node)| self.value(node.get("from").unwrap_or(node)));
    }

    fn value(&mut self, node: &Node) {
        match node.text() {
            Some(text) if text.starts_with('$') => {
                if let Ok(path) = Path::compile(text) {
                    check_path(&path, node, self.samples, self.problems);
                }
            }
            Some(text) if text.contains("{{") || text.contains("{%") => {
                self.template(node, Template::compile(text, self.engine, Purpose::Text).ok());
            }
            _ => {}
        }
    }

    fn condition(&mut self, node: &Node) {
        self.template(node, node.text().and_then(|text| Template::compile_expression(text, self.engine).ok()));
    }

    /// An expression may ask for what only sometimes is there (`x or ''`), so only a name that is close to one in the samples is told.
    fn template(&mut self, node: &Node, template: Option<Template>) {
        let text = node.text().unwrap_or_default();
        for variable in template.iter().flat_map(Template::variables) {
            let Some(at) = text.find(&variable) else { continue };
            let (first, rest) = variable.split_once('.').unwrap_or((&variable, ""));
            let names = rest.split('.').filter(|name| !name.is_empty());
            let places = names.scan(at + first.len(), |end, name| {
                let start = *end + 1;
                *end = start + name.len();
                Some((name, start..*end))
            });
            let slip = missing_in(first, places, self.samples);
            if let Some(Slip { name, parent, objects, range }) = slip.filter(|slip| closest(&slip.name, slip.names()).is_some()) {
                self.problems.report(describe(&name, &parent, &objects, node.part(range)));
            }
        }
    }
}

/// A name that no sample has where it is asked for.
struct Slip<'s> {
    name: String,
    parent: String,
    /// The objects that could have it.
    objects: Vec<&'s Json>,
    /// Where it stands.
    range: std::ops::Range<usize>,
}

impl Slip<'_> {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().filter_map(|object| object.as_object()).flat_map(|object| object.keys().map(String::as_str))
    }
}

/// The first of some names, one below the other, that no sample has.
fn missing_in<'s, 'n>(
    first: &str,
    names: impl Iterator<Item = (&'n str, std::ops::Range<usize>)>,
    samples: &'s Samples,
) -> Option<Slip<'s>> {
    let mut reached: Vec<&Json> = samples.get(first).into_iter().flatten().collect();
    let mut parent = first;
    for (name, range) in names {
        // an object that the samples leave out altogether says nothing about its fields
        let objects: Vec<&Json> = reached.into_iter().filter(|value| value.is_object()).collect();
        if objects.is_empty() {
            return None;
        }
        let next: Vec<&Json> = objects.iter().filter_map(|value| value.get(name)).collect();
        if next.is_empty() {
            return Some(Slip { name: name.to_owned(), parent: parent.to_owned(), objects, range });
        }
        parent = name;
        reached = next;
    }
    None
}

/// Warns at the first segment that no sample has.
fn check_path(path: &Path, node: &Node, samples: &Samples, problems: &mut Diagnostics) {
    let (first, range) = path.first_name();
    let names = path.segments().into_iter().flatten().map_while(|segment| match segment {
        Segment::Name(name) => Some(name.as_str()),
        _ => None,
    });
    let places = names.scan(range.end, |at, name| {
        let start = path.text()[*at..].find(name).map_or(*at, |found| *at + found);
        *at = start + name.len();
        Some((name, start..*at))
    });
    if let Some(Slip { name, parent, objects, range }) = missing_in(first, places, samples) {
        problems.report(describe(&name, &parent, &objects, node.part(range)));
    }
}

fn describe(name: &str, parent: &str, objects: &[&Json], span: crate::config::source::Span) -> Diagnostic {
    let diagnostic = Diagnostic::warning("path-not-in-samples", span, format!("`{parent}` has no `{name}`"));
    let names: Vec<&str> =
        objects.iter().filter_map(|object| object.as_object()).flat_map(|object| object.keys().map(String::as_str)).collect();
    match closest(name, names.iter().copied()) {
        Some(close) => {
            let having = objects.iter().filter(|object| object.get(close).is_some()).count();
            let label = format!("in {having} of {} samples `{parent}` has `{close}`", objects.len());
            diagnostic.label(label).hint(format!("did you mean `{close}`?")).replacement(span, close)
        }
        None => diagnostic.label(format!("in none of {} samples", objects.len())),
    }
}
