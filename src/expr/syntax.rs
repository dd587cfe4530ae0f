//! What is wrong with an expression, in words for someone who has never heard of the engine that reads it, and which parts of a
//! template's text are expressions at all.

use std::ops::Range;

use super::template::TemplateError;

/// Explains why a text cannot be read; `detail` and `range` are what the engine says.
pub(super) fn explain(detail: &str, text: &str, range: Option<Range<usize>>) -> TemplateError {
    let problem =
        |message: String, range: Range<usize>, hint: Option<String>| TemplateError { message, range: Some(range), hint };
    if let Some((start, close)) = left_open(text) {
        let open = &text[start..start + 2];
        return problem(
            format!("this `{open}` is never closed"),
            start..text.trim_end().len(),
            Some(format!("write `{close}` where it ends")),
        );
    }
    if let Some((word, range)) =
        unended_block(text).filter(|_| detail.contains("end of block") || detail.contains("end of input"))
    {
        let message = format!("this `{{% {word} %}}` is never ended");
        return problem(message, range, Some(format!("write `{{% end{word} %}}` where it ends")));
    }
    for (found, meant) in [("&&", "and"), ("||", "or")] {
        if let Some(at) = find_in_code(text, found) {
            let message = format!("`{found}` is no operator here");
            return problem(message, at..at + found.len(), Some(format!("write `{meant}`")));
        }
    }
    let start = range.as_ref().map_or(0, |range| range.start.min(text.len()));
    let rest = &text[text.floor_char_boundary(start)..];
    if detail.contains("end of string")
        && let Some(at) = open_quote(text)
    {
        let hint = format!("write `{}` where it ends", &text[at..at + 1]);
        return problem("this text is never closed".to_owned(), at..text.trim_end().len(), Some(hint));
    }
    if detail.contains("end of input") {
        let end = range.as_ref().map_or(text.len(), |range| range.end.min(text.len())).max(start);
        let before = text[..text.floor_char_boundary(end)].trim_end_matches(['}', ' ', '%', '-']).trim_end();
        let last = before.char_indices().next_back().map_or(0, |(at, _)| at);
        let closing = ["`)`", "`]`", "`}`"].into_iter().find(|close| detail.ends_with(*close));
        let follow = || before.split_whitespace().next_back().map(|word| format!("write what is to follow `{word}`"));
        let hint = closing.map(|close| format!("write {close} where it ends")).or_else(follow);
        return problem("the expression ends too early".to_owned(), last..before.len().max(last), hint);
    }
    if rest.trim_start().starts_with('=') && !rest.trim_start().starts_with("==") {
        let at = text.len() - rest.trim_start().len();
        return problem("`=` compares nothing".to_owned(), at..at + 1, Some("write `==`".to_owned()));
    }
    match range.filter(|range| range.end <= text.len()).and_then(|range| Some((text.get(range.clone())?.trim(), range))) {
        Some((found, range)) if !found.is_empty() => {
            let hint = match found {
                "!" => Some("write `not`".to_owned()),
                "?" => Some("write `this if condition else that`".to_owned()),
                _ => None,
            };
            TemplateError { message: format!("`{found}` does not belong here"), range: Some(range), hint }
        }
        _ => TemplateError { message: format!("this expression cannot be read: {detail}"), range: None, hint: None },
    }
}

/// The parts of a text that are expressions: what stands between `{{` and `}}` or `{%` and `%}`, or all of a bare one.
pub(super) fn code(text: &str) -> Vec<Range<usize>> {
    if !text.contains("{{") && !text.contains("{%") {
        return std::iter::once(0..text.len()).collect();
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((start, close)) = opening(text, at) {
        let inner = start + 2;
        let end = closing(text, inner, close);
        if close != "#}" {
            found.push(inner..end.unwrap_or(text.len()));
        }
        at = end.map_or(text.len(), |end| end + 2);
    }
    found
}

/// The next `{{`, `{%` or `{#` and what closes it.
fn opening(text: &str, from: usize) -> Option<(usize, &'static str)> {
    let places = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];
    places.into_iter().filter_map(|(open, close)| Some((from + text[from..].find(open)?, close))).min()
}

/// Where `close` stands outside quotes.
fn closing(text: &str, from: usize, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut letters = text[from..].char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (Some(_), '\\') => drop(letters.next()),
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') if close != "#}" => quote = Some(letter),
            (None, _) if text[from + at..].starts_with(close) => return Some(from + at),
            (None, _) => {}
        }
    }
    None
}

/// The quote in a text that is never closed.
fn open_quote(text: &str) -> Option<usize> {
    let mut open = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (open, letter) {
            (Some(_), '\\') => drop(letters.next()),
            (Some((_, quote)), _) if quote == letter => open = None,
            (None, '\'' | '"') => open = Some((at, letter)),
            _ => {}
        }
    }
    open.map(|(at, _)| at)
}

/// The first brace that is never closed, and what would close it.
fn left_open(text: &str) -> Option<(usize, &'static str)> {
    let mut at = 0;
    while let Some((start, close)) = opening(text, at) {
        match closing(text, start + 2, close) {
            Some(end) => at = end + 2,
            None => return Some((start, close)),
        }
    }
    None
}

/// The innermost block that is never ended, such as `if` of `{% if x %}`, with its place.
fn unended_block(text: &str) -> Option<(&str, Range<usize>)> {
    let mut open: Vec<(&str, Range<usize>)> = Vec::new();
    for inner in code(text).into_iter().filter(|inner| text[..inner.start].ends_with("{%")) {
        let word = text[inner.clone()].trim_matches(['-', '+', ' ']).split_whitespace().next().unwrap_or_default();
        if word.starts_with("end") {
            open.pop();
        } else if matches!(word, "if" | "for" | "with" | "filter" | "macro" | "block" | "autoescape") {
            open.push((word, inner.start - 2..(inner.end + 2).min(text.len())));
        }
    }
    open.pop()
}

/// Where `found` stands in an expression outside quotes.
fn find_in_code(text: &str, found: &str) -> Option<usize> {
    code(text).into_iter().find_map(|range| closing(&text[..range.end], range.start, found))
}

#[cfg(test)]
mod tests {
    use super::super::template::{Engine, Template};
    use super::*;

    #[test]
    fn what_people_write_in_other_languages_has_its_answer() {
        let engine = Engine::default();
        for (text, place, hint) in [
            ("a == 'o' && b", "&&", "write `and`"),
            ("a || b", "||", "write `or`"),
            ("a = b", "=", "write `==`"),
            ("!a", "!", "write `not`"),
            ("a ? b : c", "?", "write `this if condition else that`"),
            ("(a", "a", "write `)` where it ends"),
            ("a['b'", "'", "write `]` where it ends"),
            ("a + 'b", "'b", "write `'` where it ends"),
            ("a +", "+", "write what is to follow `+`"),
        ] {
            let error = Template::compile_expression(text, &engine).expect_err(text);
            assert_eq!(error.range.and_then(|range| text.get(range)), Some(place), "{text}");
            assert_eq!(error.hint.as_deref(), Some(hint), "{text}");
        }
    }

    #[test]
    fn nothing_behind_an_expression_is_overlooked() {
        let engine = Engine::default();
        for text in ["a == 'o' & b", "a == 1 ? b", "a is defined && b", "a or b && c", "a == b @", "a in b ; c"] {
            assert!(Template::compile_expression(text, &engine).is_err(), "{text}");
        }
    }

    #[test]
    fn expressions_are_told_from_the_text_around_them() {
        let parts = |text: &'static str| code(text).into_iter().map(|range| &text[range]).collect::<Vec<_>>();
        assert_eq!(parts("it's {{ a ~ '}}' }} | {% if b %}x{# {{ c }} #}{% endif %}"), [" a ~ '}}' ", " if b ", " endif "]);
        assert_eq!(parts("a.b == 'c'"), ["a.b == 'c'"]);
        assert_eq!(parts("x {{ a"), [" a"]);
    }
}
