//! Whether the names that a template uses exist: names of the event document, secrets, functions, filters and tests, each reported
//! at its place.

use std::ops::Range;

use super::syntax;
use super::template::Template;
use super::value::Compiler;
use crate::config::diagnostic::{Diagnostic, Diagnostics, closest};
use crate::config::yaml::Node;

/// The filters that a slip is compared with; all of them exist (a test holds it).
const FILTERS: &[&str] = &[
    "abs",
    "add",
    "base64",
    "compare",
    "default",
    "first",
    "float",
    "from_json",
    "hex",
    "hmac",
    "int",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "mul",
    "path",
    "replace",
    "reverse",
    "round",
    "scale",
    "select",
    "sha256",
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

/// Reports the names, secrets, functions, filters and tests of a template that do not exist.
pub(crate) fn check_names(template: &Template, node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) {
    let text = node.text().unwrap_or_default();
    let code = syntax::code(text);
    for variable in template.variables() {
        let mut parts = variable.split('.');
        let first = parts.next().unwrap_or_default();
        if first == "secret" {
            let name = parts.next().unwrap_or_default();
            let place = find_word(text, &code, if name.is_empty() { first } else { name });
            compiler.scope.check_secret(name, node.part(place), diagnostics);
        } else if !compiler.engine.knows_function(first) {
            let place = find_word(text, &code, first);
            if text[place.end..].trim_start().starts_with('(') && !compiler.scope.has(first) {
                diagnostics.report(unknown_function(first, node, place, compiler));
            } else {
                compiler.scope.check_name(first, node.part(place), diagnostics);
            }
        }
    }
    let named = code.into_iter().flat_map(|part| {
        filters_and_tests(&text[part.clone()])
            .into_iter()
            .map(move |(is_filter, range)| (is_filter, part.start + range.start..part.start + range.end))
    });
    for (is_filter, range) in named {
        let name = &text[range.clone()];
        let (exists, what, known) = if is_filter {
            (compiler.engine.knows_filter(name), "filter", FILTERS)
        } else {
            (compiler.engine.knows_test(name), "test", TESTS)
        };
        if !exists {
            let span = node.part(range);
            let diagnostic = Diagnostic::error("unknown-function", span, format!("there is no {what} `{name}`"));
            let diagnostic = diagnostic.did_you_mean(name, known.iter().copied(), span);
            diagnostics.report(match diagnostic.hint {
                Some(_) => diagnostic,
                None => diagnostic.hint(format!("there is {}", listed(known.iter().copied()))),
            });
        }
    }
}

fn unknown_function(name: &str, node: &Node, place: Range<usize>, compiler: &Compiler<'_>) -> Diagnostic {
    let span = node.part(place);
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

/// Where `word` stands by itself in the expressions of a text.
fn find_word(text: &str, code: &[Range<usize>], word: &str) -> Range<usize> {
    let letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    let alone = |at: &usize| {
        !text[..*at].ends_with(letter) && !text[..*at].ends_with(['.', '\'', '"']) && !text[at + word.len()..].starts_with(letter)
    };
    let within = |part: &Range<usize>| text[part.clone()].match_indices(word).map(|(at, _)| part.start + at).collect::<Vec<_>>();
    let places: Vec<usize> = code.iter().flat_map(within).collect();
    // the name of a secret stands behind a dot, so the first place is better than none
    let found = places.iter().find(|at| alone(at)).or(places.first());
    found.map_or(0..text.len(), |at| *at..at + word.len())
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
