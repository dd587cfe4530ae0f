//! Text with `{placeholders}`: what `read` and `signed` have in common.

use std::ops::Range;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::report_expected;
use crate::config::yaml::Node;

/// A piece of such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Fixed text.
    Text(String),
    /// What stands between `{` and `}`, and at which bytes.
    Placeholder(String, Range<usize>),
}

/// The pieces of what was written; a problem is reported at its place.
pub(super) fn tokens_of(node: &Node, diagnostics: &mut Diagnostics) -> Option<Vec<Token>> {
    let Some(text) = node.text() else {
        report_expected("a text with placeholders such as `{timestamp}.{body}`", node, diagnostics);
        return None;
    };
    match tokens(text) {
        Ok(tokens) => Some(tokens),
        Err(at) => {
            let message = "this `{` or `}` has no partner";
            diagnostics.report(
                Diagnostic::error("bad-placeholder", node.part(at..at + 1), message)
                    .hint("a placeholder is a name in braces: `{body}`"),
            );
            None
        }
    }
}

/// The pieces; the error is the byte of a brace without a partner.
fn tokens(text: &str) -> Result<Vec<Token>, usize> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let open = text[at..].find(['{', '}']).map(|found| at + found);
        let Some(open) = open else {
            tokens.push(Token::Text(text[at..].to_owned()));
            break;
        };
        if open > at {
            tokens.push(Token::Text(text[at..open].to_owned()));
        }
        if text[open..].starts_with('}') {
            return Err(open);
        }
        let end = end_of_placeholder(&text[open + 1..]).map(|end| open + 1 + end).ok_or(open)?;
        tokens.push(Token::Placeholder(text[open + 1..end].to_owned(), open + 1..end));
        at = end + 1;
    }
    Ok(tokens)
}

/// The byte of the `}` that ends it; quotes, as paths have them, may hold braces.
fn end_of_placeholder(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '}') => return Some(at),
            (None, '{') => return None,
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            _ => {}
        }
    }
    None
}

/// Reports a placeholder that does not exist.
pub(super) fn report_unknown(name: &str, range: Range<usize>, known: &[&str], node: &Node, diagnostics: &mut Diagnostics) {
    let span = node.part(range);
    let names = known.iter().map(|name| format!("`{{{name}}}`")).collect::<Vec<_>>().join(", ");
    let diagnostic = Diagnostic::error("bad-placeholder", span, format!("there is no placeholder `{{{name}}}` here"));
    let diagnostic = diagnostic.did_you_mean(name, known.iter().copied(), span);
    diagnostics.report(if diagnostic.hint.is_some() { diagnostic } else { diagnostic.hint(format!("there are {names}")) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_quotes_belong_to_the_path() {
        let found = tokens("v0:{$.body['a}b']}.x").expect("two braces");
        assert_eq!(
            found,
            [Token::Text("v0:".into()), Token::Placeholder("$.body['a}b']".into(), 4..17), Token::Text(".x".into())]
        );
        for (text, at) in [("{a", 0), ("a}", 1), ("{a{b}}", 0), ("{a}}", 3)] {
            assert_eq!(tokens(text), Err(at), "{text}");
        }
    }
}
