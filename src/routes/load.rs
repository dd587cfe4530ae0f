//! From the texts of a folder to compiled sources: what one file lends to others, what belongs to a version, what overlaps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::compile::{Input, World, compile};
use super::file::FileOptions;
use super::samples;
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
    /// What could not be read, and why.
    pub unreadable: Vec<(String, String)>,
    /// Paths of `*.yml`, which are not read.
    pub misnamed: Vec<String>,
    /// The files of the folder of templates, by their path inside it, with `/`.
    pub templates: BTreeMap<String, TemplateText>,
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
    /// Where its name stands, or where the file begins.
    name_span: Option<Span>,
}

struct Parsed {
    path: String,
    file: FileId,
    root: Node,
    options: Option<FileOptions>,
    problems: Diagnostics,
}

/// Loads a folder. `first` are the names that win where two sources overlap: those that run already.
pub fn load(texts: &Texts, world: World<'_>, first: &[String]) -> Loaded {
    let mut loaded = Loaded::default();
    let engine = (!texts.templates.is_empty()).then(|| texts.engine(&mut loaded.texts));
    let world = World { engine: engine.as_ref().unwrap_or(world.engine), ..world };
    for (path, reason) in &texts.unreadable {
        loaded.diagnostics.report(Diagnostic::without_place("unreadable-file", format!("`{path}` {reason}")));
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
    for (path, text) in &texts.routes {
        let file = loaded.texts.add(path, text);
        let mut problems = Diagnostics::default();
        let root = parse(&loaded.texts, file, &mut problems);
        match root {
            Some(root) if FileOptions::lends(&root) => {
                let options = FileOptions::from_yaml(&root, &mut problems);
                loaded.diagnostics.append(problems.clone());
                lenders.push(Parsed { path: path.clone(), file, root, options, problems });
            }
            Some(root) => {
                let options = read_options(&root, &mut problems);
                routes.push(Parsed { path: path.clone(), file, root, options, problems });
            }
            None => loaded.files.push(broken(path, problems)),
        }
    }
    refuse_lent_twice(&lenders, &mut loaded.diagnostics);
    for parsed in routes {
        let file = load_source(parsed, &lenders, texts, world, &mut loaded);
        loaded.files.push(file);
    }
    refuse_duplicates(&mut loaded.files, first);
    refuse_overlaps(&mut loaded.files, first);
    loaded.files.sort_by(|left, right| left.path.cmp(&right.path));
    for file in &loaded.files {
        loaded.diagnostics.append(file.diagnostics.clone());
    }
    loaded
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
    LoadedFile { path: path.to_owned(), name: stem(path), source: None, unset: false, diagnostics, name_span: None }
}

/// `economic` of `routes.d/economic.yaml`.
pub fn stem(path: &str) -> String {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    file.strip_suffix(".yaml").unwrap_or(file).to_owned()
}

fn load_source(parsed: Parsed, lenders: &[Parsed], texts: &Texts, world: World<'_>, loaded: &mut Loaded) -> LoadedFile {
    let Parsed { path, root, options, mut problems, .. } = parsed;
    let Some(mut options) = options else { return broken(&path, problems) };
    let name = options.source.as_ref().map_or_else(|| stem(&path), |source| source.value.clone());
    let mut files = BTreeMap::from([(path.clone(), texts.routes.get(&path).cloned().unwrap_or_default())]);
    let mut included = templates_of(&root, world.engine);
    for lender in lenders {
        if borrow(&mut options, lender) {
            files.insert(lender.path.clone(), texts.routes.get(&lender.path).cloned().unwrap_or_default());
            included.extend(templates_of(&lender.root, world.engine));
        }
    }
    let mut templates = BTreeMap::new();
    for (name, template) in included.into_iter().filter_map(|name| texts.templates.get_key_value(&name)) {
        templates.insert(name.clone(), template.path.clone());
        files.insert(template.path.clone(), template.text.clone());
    }
    let bundle = Bundle { source: name.clone(), files, main: path.clone(), templates };
    let mut unset = Diagnostics::default();
    let source = compile(Input { options: &options, root: &root, name: &name, bundle }, world, &mut problems, &mut unset);
    let source = source.filter(|_| !problems.has_errors()).map(Arc::new);
    if let Some(source) = &source {
        samples::check(source, &options, world, &mut loaded.texts, &mut loaded.diagnostics);
    }
    loaded.unset.append(unset.clone());
    let name_span = Some(options.source.as_ref().map_or(root.head(), |source| source.span));
    LoadedFile { path, name, source, unset: !unset.is_empty(), diagnostics: problems, name_span }
}

/// The names of all templates that the texts of a file include.
fn templates_of(node: &Node, engine: &Engine) -> BTreeSet<String> {
    match &node.content {
        Content::Scalar(scalar) => engine.templates_of(&scalar.text),
        Content::List(items) => items.iter().flat_map(|item| templates_of(item, engine)).collect(),
        Content::Map(entries) => entries.iter().flat_map(|entry| templates_of(&entry.value, engine)).collect(),
    }
}

/// Adds what a file lends; the file's own names win. Says whether it may matter.
fn borrow(options: &mut FileOptions, lender: &Parsed) -> bool {
    let Some(lent) = &lender.options else { return false };
    for entry in &lent.apis.entries {
        if options.apis.get(&entry.0.value).is_none() {
            options.apis.entries.push(entry.clone());
        }
    }
    for entry in &lent.secrets.entries {
        if options.secrets.get(&entry.0.value).is_none() {
            options.secrets.entries.push(entry.clone());
        }
    }
    true
}

fn refuse_lent_twice(lenders: &[Parsed], diagnostics: &mut Diagnostics) {
    let names = lenders
        .iter()
        .filter_map(|lender| lender.options.as_ref())
        .flat_map(|options| options.apis.entries.iter().map(|(name, _)| name));
    let mut seen: Vec<&crate::config::source::Spanned<String>> = Vec::new();
    for name in names {
        match seen.iter().find(|known| known.value == name.value) {
            Some(first) => {
                let message = format!("two files lend an api `{}`", name.value);
                diagnostics.report(
                    Diagnostic::error("duplicate-name", name.span, message).related(first.span, "the other").hint("rename one"),
                );
            }
            None => seen.push(name),
        }
    }
    debug_assert!(lenders.iter().all(|lender| lender.root.span.file == lender.file || lender.problems.has_errors()));
}

/// The order in which sources claim names and requests: those that run already first, then by path.
fn claim_order(files: &[LoadedFile], first: &[String]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|index| (!first.contains(&files[*index].name), files[*index].path.clone()));
    order
}

fn refuse_duplicates(files: &mut [LoadedFile], first: &[String]) {
    let mut seen: BTreeMap<String, (String, Option<Span>)> = BTreeMap::new();
    for index in claim_order(files, first) {
        let file = &mut files[index];
        let Some(source) = &file.source else { continue };
        match seen.get(&file.name) {
            Some((other, place)) => {
                let message = format!("the source `{}` is described by `{other}` already", file.name);
                let span = file.name_span.unwrap_or(source.receive.span);
                let mut diagnostic = Diagnostic::error("duplicate-source", span, message);
                if let Some(place) = place {
                    diagnostic = diagnostic.related(*place, "described here");
                }
                file.diagnostics.report(diagnostic.hint("give one of them another `source:`"));
                file.source = None;
            }
            None => drop(seen.insert(file.name.clone(), (file.path.clone(), file.name_span))),
        }
    }
}

fn refuse_overlaps(files: &mut [LoadedFile], first: &[String]) {
    let order = claim_order(files, first);
    for (position, later) in order.iter().enumerate() {
        let Some(source) = files[*later].source.clone() else { continue };
        let other = order[..position]
            .iter()
            .filter_map(|earlier| files[*earlier].source.as_ref())
            .find(|other| other.receive.overlaps(&source.receive));
        if let Some(other) = other {
            let message = format!("`{}` and `{}` can both receive the same request", source.name, other.name);
            let diagnostic = Diagnostic::error("overlapping-receive", source.receive.span, message)
                .related(other.receive.span, format!("`{}` receives it too", other.name))
                .hint("give them different paths, or different values of a query parameter or header");
            files[*later].diagnostics.report(diagnostic);
            files[*later].source = None;
        }
    }
}
