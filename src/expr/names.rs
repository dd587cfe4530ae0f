//! Whether the names that a template uses exist: names of the event document, secrets, functions, filters, tests and included
//! templates, each reported at its place, in the included templates too.

use std::collections::BTreeSet;
use std::ops::Range;

use super::analysis::{Analysis, Name};
use super::syntax;
use super::template::Template;
use super::value::Compiler;
use crate::config::diagnostic::{Diagnostic, Diagnostics, closest};
use crate::config::source::Span;
use crate::config::yaml::Node;

/// The filters that a slip is compared with; all of them exist (a test holds it).
const FILTERS: &[&str] = &[
    "abs",
    "add",
    "base64",
    "compare",
    "default",
    "div",
    "economic_path",
    "first",
    "float",
    "format",
    "format_date",
    "from_base64",
    "from_json",
    "hex",
    "hmac",
    "in_zone",
    "int",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "mul",
    "parse_date",
    "path",
    "percent_twice",
    "regex_match",
    "replace",
    "reverse",
    "round",
    "scale",
    "select",
    "sha256",
    "slug",
    "sort",
    "split",
    "string",
    "sub",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "words",
];

/// The tests likewise.
const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "even",
    "false",
    "in",
    "integer",
    "iterable",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
];

/// Reports what a template uses that does not exist, and what it may not do.
pub(crate) fn check_names(template: &Template, node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) {
    let offset = template.offset();
    let text = node.text().unwrap_or_default();
    let place = |range: Range<usize>| node.part(range.start + offset..range.end + offset);
    let written = Written { text: text.get(offset..).unwrap_or_default(), place: &place };
    written.check(template.analysis(), &BTreeSet::new(), compiler, diagnostics);
    let whole = Written { text, place: &|range| node.part(range) };
    whole.check_filters(compiler, diagnostics);
    let mut seen = BTreeSet::new();
    written.check_included(template.analysis(), &BTreeSet::new(), &mut seen, compiler, diagnostics);
}

/// A text with expressions, and where its bytes stand in a file.
struct Written<'t> {
    text: &'t str,
    place: &'t dyn Fn(Range<usize>) -> Span,
}

impl Written<'_> {
    /// Reports unknown names and what may not be done. `locals` are the names that including templates have made.
    fn check(&self, analysis: &Analysis, locals: &BTreeSet<String>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) {
        for name in analysis.names.iter().filter(|name| !locals.contains(&name.place[0])) {
            let first = name.place[0].as_str();
            if first == "secret" {
                let secret = name.place.get(1).map(String::as_str).unwrap_or_default();
                compiler.scope.check_secret(secret, (self.place)(self.secret_range(name, secret)), diagnostics);
            } else if first == "null" && !compiler.scope.has(first) {
                let span = (self.place)(name.first.clone());
                let diagnostic = Diagnostic::error("unknown-name", span, "an expression knows no `null`");
                diagnostics.report(diagnostic.hint("write `none`").replacement(span, "none"));
            } else if name.may_be_made && !compiler.scope.has(first) {
                // where it was not made it is not set, which a text does not swallow
            } else if !name.called {
                compiler.scope.check_name(first, (self.place)(name.first.clone()), diagnostics);
            } else if !compiler.engine.knows_function(first) {
                diagnostics.report(unknown_function(first, (self.place)(name.first.clone()), compiler));
            }
        }
        for problem in &analysis.problems {
            let range = problem.range.clone().unwrap_or(0..self.text.len());
            let mut diagnostic = Diagnostic::error("bad-template", (self.place)(range), problem.message.clone());
            diagnostic.hint.clone_from(&problem.hint);
            diagnostics.report(diagnostic);
        }
    }

    /// The name of a secret behind `secret.`, or all of what is written when it has none.
    fn secret_range(&self, name: &Name, secret: &str) -> Range<usize> {
        let written = self.text.get(name.whole.clone()).unwrap_or_default();
        match written.find(secret).filter(|_| !secret.is_empty() && name.place.len() > 1) {
            Some(_) => {
                let behind = name.first.end - name.whole.start.min(name.first.end);
                let found = written.get(behind..).and_then(|rest| rest.find(secret)).map(|at| name.whole.start + behind + at);
                found.map_or(name.whole.clone(), |at| at..at + secret.len())
            }
            None => name.whole.clone(),
        }
    }

    /// Reports included templates that do not exist, and what is wrong inside those that do.
    fn check_included(
        &self,
        analysis: &Analysis,
        locals: &BTreeSet<String>,
        seen: &mut BTreeSet<String>,
        compiler: &Compiler<'_>,
        diagnostics: &mut Diagnostics,
    ) {
        for included in &analysis.included {
            let Some(file) = compiler.engine.included(&included.name) else {
                if !included.optional {
                    let span = (self.place)(included.range.clone());
                    let diagnostic =
                        Diagnostic::error("unknown-template", span, format!("there is no template `{}`", included.name));
                    let diagnostic = diagnostic.did_you_mean(&included.name, compiler.engine.library_names(), span);
                    diagnostics.report(match diagnostic.hint {
                        Some(_) => diagnostic,
                        None => diagnostic.hint("it is the path of a file inside the folder of templates"),
                    });
                }
                continue;
            };
            if !seen.insert(included.name.clone()) {
                continue;
            }
            let place = |range| Span::new(file.file, range);
            let written = Written { text: &file.text, place: &place };
            match &file.analysis {
                Ok(analysis) => {
                    let locals: BTreeSet<String> = locals.union(&included.locals).cloned().collect();
                    written.check(analysis, &locals, compiler, diagnostics);
                    written.check_filters(compiler, diagnostics);
                    written.check_included(analysis, &locals, seen, compiler, diagnostics);
                }
                Err(problem) => {
                    let range = problem.range.clone().unwrap_or(0..file.text.len());
                    let mut diagnostic = Diagnostic::error("bad-template", place(range), problem.message.clone());
                    diagnostic.hint.clone_from(&problem.hint);
                    diagnostics.report(diagnostic);
                }
            }
        }
    }

    fn check_filters(&self, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) {
        let named = syntax::code(self.text).into_iter().flat_map(|part| {
            filters_and_tests(&self.text[part.clone()])
                .into_iter()
                .map(move |(is_filter, range)| (is_filter, part.start + range.start..part.start + range.end))
        });
        for (is_filter, range) in named {
            let name = &self.text[range.clone()];
            let (exists, what, known) = if is_filter {
                (compiler.engine.knows_filter(name), "filter", FILTERS)
            } else {
                (compiler.engine.knows_test(name), "test", TESTS)
            };
            if !exists {
                let span = (self.place)(range);
                let diagnostic = Diagnostic::error("unknown-function", span, format!("there is no {what} `{name}`"));
                let diagnostic = diagnostic.did_you_mean(name, known.iter().copied(), span);
                diagnostics.report(match diagnostic.hint {
                    Some(_) => diagnostic,
                    None => diagnostic.hint(format!("there is {}", listed(known.iter().copied()))),
                });
            }
        }
    }
}

fn unknown_function(name: &str, span: Span, compiler: &Compiler<'_>) -> Diagnostic {
    let diagnostic = Diagnostic::error("unknown-function", span, format!("there is no function `{name}`"));
    if compiler.engine.knows_filter(name) {
        return diagnostic.hint(format!("`{name}` is a filter: `value | {name}`"));
    }
    match closest(name, compiler.engine.functions()) {
        Some(close) => diagnostic.hint(format!("did you mean `{close}`?")).replacement(span, close),
        None => diagnostic.hint(format!("there is {}", listed(compiler.engine.functions()))),
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.sort();
    names.join(", ")
}

/// The filters (`true`) and tests (`false`) that an expression names, outside its quoted texts.
fn filters_and_tests(text: &str) -> Vec<(bool, Range<usize>)> {
    let mut found = Vec::new();
    let mut rest = 0;
    let mut quote = None;
    let mut previous = "";
    while let Some(letter) = text[rest..].chars().next() {
        let start = rest;
        rest += letter.len_utf8();
        match (quote, letter) {
            (Some(_), '\\') => rest += text[rest..].chars().next().map_or(0, char::len_utf8),
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => (quote, previous) = (Some(letter), ""),
            (None, letter) if letter.is_alphabetic() || letter == '_' => {
                rest = start
                    + text[start..].find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len() - start);
                let word = &text[start..rest];
                match previous {
                    "|" => found.push((true, start..rest)),
                    "is" if word == "not" => continue,
                    "is" => found.push((false, start..rest)),
                    _ => {}
                }
                previous = if word == "is" { "is" } else { "" };
            }
            (None, '|') => previous = "|",
            (None, letter) if !letter.is_whitespace() => previous = "",
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::template::Engine;
    use super::*;

    #[test]
    fn what_is_offered_exists() {
        let engine = Engine::default();
        assert_eq!(FILTERS.iter().find(|name| !engine.knows_filter(name)), None);
        assert_eq!(TESTS.iter().find(|name| !engine.knows_test(name)), None);
    }
}
