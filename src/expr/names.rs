//! Whether the names that a template uses exist: names of the event document, secrets, filters and tests, each reported at its place.

use super::template::Template;
use super::value::Compiler;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::yaml::Node;

/// Reports the names, secrets, filters and tests of a template that do not exist.
pub(crate) fn check_names(template: &Template, node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) {
    let text = node.text().unwrap_or_default();
    for variable in template.variables() {
        let mut parts = variable.split('.');
        let first = parts.next().unwrap_or_default();
        if first == "secret" {
            let name = parts.next().unwrap_or_default();
            compiler.scope.check_secret(
                name,
                node.part(find_word(text, if name.is_empty() { first } else { name })),
                diagnostics,
            );
        } else if !compiler.engine.knows_function(first) {
            compiler.scope.check_name(first, node.part(find_word(text, first)), diagnostics);
        }
    }
    for (is_filter, range) in filters_and_tests(text) {
        let name = &text[range.clone()];
        let (known, what) =
            if is_filter { (compiler.engine.knows_filter(name), "filter") } else { (compiler.engine.knows_test(name), "test") };
        if !known {
            diagnostics.report(Diagnostic::error("unknown-function", node.part(range), format!("there is no {what} `{name}`")));
        }
    }
}

/// Where `word` stands in `text` by itself.
fn find_word(text: &str, word: &str) -> std::ops::Range<usize> {
    let letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    let alone = |at: &usize| {
        !text[..*at].ends_with(letter) && !text[..*at].ends_with(['.', '\'', '"']) && !text[at + word.len()..].starts_with(letter)
    };
    let found = text.match_indices(word).map(|(at, _)| at).find(alone).or_else(|| text.find(word));
    found.map_or(0..text.len(), |at| at..at + word.len())
}

/// The filters (`true`) and tests (`false`) that an expression names, outside its quoted texts.
fn filters_and_tests(text: &str) -> Vec<(bool, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut rest = 0;
    let mut quote = None;
    let mut previous = "";
    while let Some(letter) = text[rest..].chars().next() {
        let start = rest;
        rest += letter.len_utf8();
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
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
