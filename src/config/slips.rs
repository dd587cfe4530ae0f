//! What people trip over in YAML, told in words of its own: where the parser gave up, the line most often shows why.

use serde_yaml::granit_parser::ScanError;

use super::diagnostic::Diagnostic;
use super::source::{FileId, Span, Spanned};
use super::yaml::Node;

/// What most likely happened, from the line at which the parser gave up.
pub(super) fn of(text: &str, file: FileId, error: &ScanError) -> Diagnostic {
    let at = text.floor_char_boundary(error.marker().byte_offset().unwrap_or(text.len()));
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let in_line = |found: usize, length: usize| Span::new(file, line_start + found..line_start + found + length);
    let indent = line.len() - line.trim_start().len();
    if let Some(tab) = line[..indent].find('\t') {
        Diagnostic::error("yaml-tab", in_line(tab, 1), "a tab cannot indent YAML").hint("use spaces")
    } else if let Some((start, length)) = unquoted_path(line) {
        let path = &line[start..start + length];
        Diagnostic::error("unquoted-path", in_line(start, length), "inside `{ }` and `[ ]` a path with brackets needs quotes")
            .hint(format!("write `\"{path}\"`"))
            .replacement(in_line(start, length), format!("\"{path}\""))
    } else if let Some(start) = line.find("{{").filter(|start| !line[..*start].contains(['"', '\''])) {
        let length = line[start..].find("}}").map_or(line.len() - start, |end| end + 2);
        unquoted_template(text, in_line(start, length))
    } else {
        let end = text[at..].chars().next().map_or(at, |letter| at + letter.len_utf8());
        other(Span::new(file, at..end), &error.to_string())
    }
}

/// Whatever else the parser says, without its way of counting places.
fn other(span: Span, words: &str) -> Diagnostic {
    let reason =
        [" at char ", " at byte "].into_iter().find_map(|place| words.split_once(place)).map_or(words, |(reason, _)| reason);
    let diagnostic = Diagnostic::error("yaml-syntax", span, format!("this is not YAML: {reason}"));
    if let Some(bracket) = reason.strip_prefix("unclosed bracket ") {
        let close = if bracket.contains('[') { "]" } else { "}" };
        let open = bracket.trim_matches('\'');
        let message = format!("this `{open}` is never closed");
        return Diagnostic { message, ..diagnostic }.hint(format!("write `{close}` where it ends"));
    }
    if reason.contains("mapping values are not allowed") {
        diagnostic.hint("put a value that holds `: ` in quotes; if this is a name of its own, begin a line with it")
    } else if reason.contains("unexpected character") || reason.contains("anchor or alias") {
        diagnostic.hint("put the value in quotes")
    } else {
        diagnostic
    }
}

/// Whether a name in `{ }` is one because the space behind its `:` is missing.
pub(super) fn lacks_space(name: &Spanned<String>, value: &Node) -> bool {
    let unquoted = name.span.range().len() == name.value.len();
    unquoted && name.value.contains(':') && value.span.range().is_empty()
}

/// `{ path:/in }`, which YAML reads as one long name without a value.
pub(super) fn missing_space(name: &Spanned<String>) -> Diagnostic {
    let spaced = name.value.replacen(':', ": ", 1);
    Diagnostic::error(
        "missing-space",
        name.span,
        format!("`{}` is read as one name: a space is missing behind the `:`", name.value),
    )
    .hint(format!("write `{spaced}`"))
    .replacement(name.span, spaced)
}

/// `{{ x }}` without quotes, which YAML reads as maps.
pub(super) fn unquoted_template(text: &str, span: Span) -> Diagnostic {
    let quoted = format!("\"{}\"", text.get(span.range()).unwrap_or("{{ … }}"));
    Diagnostic::error("unquoted-template", span, "a template needs quotes: YAML reads `{` as the start of a map")
        .hint(format!("write `{quoted}`"))
        .replacement(span, quoted)
}

/// `!text`, wherever a value may stand.
pub(super) fn tag(text: &str, value: Span) -> Diagnostic {
    let before = text.get(..value.start as usize).unwrap_or_default().trim_end();
    let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let start = start + before[start..].find('!').unwrap_or(0);
    let (span, name) = match &before[start..] {
        name if name.starts_with('!') => (Span::new(value.file, start..before.len()), name),
        _ => (value, "!text"),
    };
    Diagnostic::error("yaml-tag", span, format!("a tag such as `{name}` means nothing in a route file"))
        .hint("remove it; quotes make a text of anything")
}

/// A path such as `$.a[0]` without quotes in a line that has a flow collection.
fn unquoted_path(line: &str) -> Option<(usize, usize)> {
    let open = line.find(['{', '['])?;
    let start = open + line[open..].find("$.")?;
    if line[..start].ends_with(['"', '\'']) {
        return None;
    }
    let length = line[start..].find([',', ' ', '}']).unwrap_or(line.len() - start);
    line[start..start + length].contains('[').then_some((start, length))
}
