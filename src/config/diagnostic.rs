//! Problems of the files people write, as data: a stable code, a place, what was found and expected, one hint. They are
//! collected, never thrown, so that one run reports all of them.

use std::collections::BTreeMap;

use super::source::{Span, Spanned};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but most likely not as meant.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable, in kebab-case: `unknown-option`.
    pub code: &'static str,
    /// Lower-case start, no full stop, values in backticks, found and expected.
    pub message: String,
    /// Where; `None` only when the problem is of no place in a text, such as an unreadable file (the message names it).
    pub span: Option<Span>,
    /// What is said at the caret.
    pub label: Option<String>,
    /// Other places that matter, each with what is said there.
    pub related: Vec<(Span, String)>,
    /// The fix in words.
    pub hint: Option<String>,
    /// The fix as text for the place.
    pub replacement: Option<Spanned<String>>,
}

impl Diagnostic {
    /// A problem that keeps the file from being used.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, Some(span), message.into())
    }

    /// A problem that the file can be used with.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, Some(span), message.into())
    }

    /// A problem of a file as a whole, such as one that cannot be read.
    pub fn without_place(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, None, message.into())
    }

    fn new(severity: Severity, code: &'static str, span: Option<Span>, message: String) -> Self {
        Self { severity, code, message, span, label: None, related: Vec::new(), hint: None, replacement: None }
    }

    /// Says something at the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Says how to mend it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at another place that matters.
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push((span, text.into()));
        self
    }

    /// Offers text that would mend it.
    pub fn replacement(mut self, span: Span, text: impl Into<String>) -> Self {
        self.replacement = Some(Spanned { value: text.into(), span });
        self
    }

    /// Adds “did you mean” when one of `known` is close to `found`.
    pub fn did_you_mean<'a>(self, found: &str, known: impl IntoIterator<Item = &'a str>, span: Span) -> Self {
        match closest(found, known) {
            Some(name) => self.hint(format!("did you mean `{name}`?")).replacement(span, name),
            None => self,
        }
    }
}

/// The known name that `found` was most likely meant to be: one that differs in few letters, or one that it begins with or is
/// the beginning of (`int`, `uppercase`).
pub fn closest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = found.chars().count().max(3) / 3;
    let lower = found.to_lowercase();
    let begins = |long: &str, short: &str| short.chars().count() >= 3 && long.starts_with(short);
    let distance_to = |name: &str| {
        let name = name.to_lowercase();
        let distance = strsim::damerau_levenshtein(&lower, &name);
        let far = (distance > most).then_some(begins(&name, &lower) || begins(&lower, &name));
        (far != Some(false)).then_some((far.is_some(), distance))
    };
    let near = known.into_iter().filter_map(|name| Some((distance_to(name)?, name)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// All problems of a run, in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// Where in the list those of a code and place are, so that thousands are told apart quickly.
    known: BTreeMap<(&'static str, Option<Span>), Vec<usize>>,
}

impl Diagnostics {
    /// Adds a problem; the same one twice counts once.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        let same_place = self.known.entry((diagnostic.code, diagnostic.span)).or_default();
        if !same_place.iter().any(|index| self.list[*index] == diagnostic) {
            same_place.push(self.list.len());
            self.list.push(diagnostic);
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Diagnostic] {
        &self.list
    }

    /// Whether one of them keeps a file from being used.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds all of another run.
    pub fn append(&mut self, other: Diagnostics) {
        for diagnostic in other.list {
            self.report(diagnostic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_none() {
        assert_eq!(closest("extarct", ["event", "extract"]), Some("extract"));
        assert_eq!(closest("banana", ["event", "extract"]), None);
        assert_eq!(closest("int", ["text", "integer"]), Some("integer"));
        assert_eq!(closest("uppercase", ["lower", "upper"]), Some("upper"));
        assert_eq!(closest("numbers", ["number", "numbering"]), Some("number"));
    }
}
