//! Diagnostics as people read them: text with the line and a caret.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Patch, Renderer, Snippet, normalize_untrusted_str};

use super::place::{in_order, inside};
use crate::config::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::config::source::{FileId, Sources, Span, Spanned};

/// All of them as text, a blank line between two; ends with a newline unless there are none.
pub fn text(diagnostics: &Diagnostics, sources: &Sources, colour: bool) -> String {
    let renderer = if colour { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
    let draw = |one| {
        let groups = groups(one, sources);
        // without lines of a file between them the title and the hint are drawn as two lines, not joined by a margin
        let parts: Vec<String> = match one.span {
            Some(_) => vec![renderer.render(&groups)],
            None => groups.chunks(1).map(|group| renderer.render(group)).collect(),
        };
        parts.join("\n") + "\n"
    };
    let drawn: Vec<String> = in_order(diagnostics, sources).into_iter().map(draw).collect();
    drawn.join("\n")
}

fn groups<'s>(diagnostic: &'s Diagnostic, sources: &'s Sources) -> Vec<Group<'s>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let mut groups = vec![Group::with_title(title).elements(excerpts(diagnostic, sources))];
    let patch = diagnostic.replacement.as_ref().filter(|replacement| !is_said(replacement, diagnostic.hint.as_deref()));
    if diagnostic.hint.is_some() || patch.is_some() {
        let hint = diagnostic.hint.as_deref().unwrap_or("write this instead");
        let help = Group::with_title(Level::HELP.secondary_title(normalize_untrusted_str(hint)));
        groups.push(help.elements(patch.map(|replacement| patched(replacement, sources))));
    }
    groups
}

/// Whether the hint already says the replacement letter for letter.
fn is_said(replacement: &Spanned<String>, hint: Option<&str>) -> bool {
    hint.is_some_and(|hint| hint.contains(&format!("`{}`", replacement.value)))
}

/// The lines with the place itself and the related ones, one excerpt per file, the file of the place first.
fn excerpts<'s>(diagnostic: &'s Diagnostic, sources: &'s Sources) -> Vec<Snippet<'s, Annotation<'s>>> {
    let primary = diagnostic.span.map(|span| (span, AnnotationKind::Primary, diagnostic.label.as_deref()));
    let related = diagnostic.related.iter().map(|(span, text)| (*span, AnnotationKind::Context, Some(text.as_str())));
    let places: Vec<_> = primary.into_iter().chain(related).collect();
    let mut files: Vec<FileId> = Vec::new();
    for (span, ..) in &places {
        if !files.contains(&span.file) {
            files.push(span.file);
        }
    }
    let excerpt_of = |file: FileId| {
        let here = || places.iter().filter(move |(span, ..)| span.file == file);
        let excerpt = Excerpt::around(sources, file, here().map(|(span, ..)| *span));
        let annotations = here().map(|(span, kind, label)| {
            let label = label.map(normalize_untrusted_str);
            kind.span(excerpt.place(*span)).label(label)
        });
        excerpt.snippet().annotations(annotations)
    };
    files.into_iter().map(excerpt_of).collect()
}

fn patched<'s>(replacement: &'s Spanned<String>, sources: &'s Sources) -> Snippet<'s, Patch<'s>> {
    let excerpt = Excerpt::around(sources, replacement.span.file, std::iter::once(replacement.span));
    excerpt.snippet().patch(Patch::new(excerpt.place(replacement.span), replacement.value.as_str()))
}

/// The lines of a file that some places touch, so that drawing does not depend on how long the file is.
struct Excerpt<'s> {
    path: &'s str,
    whole: &'s str,
    lines: Range<usize>,
}

impl<'s> Excerpt<'s> {
    fn around(sources: &'s Sources, file: FileId, spans: impl Iterator<Item = Span>) -> Self {
        let file = sources.file(file);
        let (whole, path) = (file.text.as_str(), file.path.as_str());
        let touched = spans.map(|span| inside(whole, span)).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
        let start = whole[..touched.start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = whole[touched.end..].find('\n').map_or(whole.len(), |newline| touched.end + newline + 1);
        Self { path, whole, lines: start..end }
    }

    fn place(&self, span: Span) -> Range<usize> {
        let range = inside(self.whole, span);
        range.start - self.lines.start..range.end - self.lines.start
    }

    fn snippet<T: Clone>(&self) -> Snippet<'s, T> {
        let first_line = self.whole[..self.lines.start].matches('\n').count() + 1;
        Snippet::source(&self.whole[self.lines.clone()]).path(self.path).line_start(first_line)
    }
}

#[cfg(test)]
mod tests {
    use super::super::json as objects;
    use super::*;
    use insta::assert_snapshot;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    /// One file, one problem at `found`, changed by `change`, drawn plain.
    fn drawn(source: &str, found: &str, change: impl FnOnce(Diagnostic, Span) -> Diagnostic) -> String {
        let mut sources = Sources::default();
        let file = sources.add("routes.d/a.yaml", source);
        let start = source.find(found).expect("`found` stands in the source");
        let span = Span::new(file, start..start + found.len());
        let mut diagnostics = Diagnostics::default();
        diagnostics.report(change(Diagnostic::error("a-code", span, "`x` is wrong"), span));
        text(&diagnostics, &sources, false)
    }

    #[test]
    fn a_problem_is_drawn_at_its_place_with_the_fix_below() {
        let source = "write:\n  customer_no: $.order.custmer.number\n";
        let shown =
            drawn(source, "custmer", |one, span| one.label("`order` has `customer`").did_you_mean("custmer", ["customer"], span));
        assert_snapshot!(shown, @r"
        error[a-code]: `x` is wrong
         --> routes.d/a.yaml:2:24
          |
        2 |   customer_no: $.order.custmer.number
          |                        ^^^^^^^ `order` has `customer`
          |
        help: did you mean `customer`?
        ");
    }

    #[test]
    fn a_replacement_that_the_hint_does_not_say_is_drawn_as_a_patch() {
        let shown = drawn("id: $.a\n", "$.a", |one, span| one.hint("quote it").replacement(span, "\"$.a\""));
        assert_snapshot!(shown, @r#"
        error[a-code]: `x` is wrong
         --> routes.d/a.yaml:1:5
          |
        1 | id: $.a
          |     ^^^
          |
        help: quote it
          |
        1 - id: $.a
        1 + id: "$.a"
          |
        "#);
    }

    #[test]
    fn related_places_are_drawn_with_it_also_from_other_files() {
        let mut sources = Sources::default();
        let [one, two] = ["a", "b"].map(|name| sources.add(format!("routes.d/{name}.yaml"), "title: x\npath: /in\n"));
        let mut diagnostics = Diagnostics::default();
        let problem = Diagnostic::warning("overlap", Span::new(two, 15..18), "both match");
        diagnostics.report(problem.related(Span::new(two, 0..5), "named here").related(Span::new(one, 15..18), "and this"));
        assert_snapshot!(text(&diagnostics, &sources, false), @r"
        warning[overlap]: both match
         --> routes.d/b.yaml:2:7
          |
        1 | title: x
          | ----- named here
        2 | path: /in
          |       ^^^
          |
         ::: routes.d/a.yaml:2:7
          |
        2 | path: /in
          |       --- and this
        ");
    }

    #[test]
    fn tabs_and_wide_characters_do_not_move_the_caret() {
        assert_snapshot!(drawn("a:\t{ 漢字: bad }\n", "bad", |one, _| one), @r"
        error[a-code]: `x` is wrong
         --> routes.d/a.yaml:1:10
          |
        1 | a:    { 漢字: bad }
          |               ^^^
        ");
    }

    #[test]
    fn a_problem_without_a_place_is_a_line_and_comes_first() {
        let mut sources = Sources::default();
        let file = sources.add("b.yaml", "x");
        let mut diagnostics = Diagnostics::default();
        diagnostics.report(Diagnostic::error("late", Span::new(file, 0..1), "second"));
        diagnostics.report(Diagnostic::without_place("unreadable", "`a.yaml` cannot be read").hint("check its mode"));
        let shown = text(&diagnostics, &sources, false);
        assert!(shown.starts_with("error[unreadable]: `a.yaml` cannot be read\n"), "{shown}");
        assert!(shown.contains("\n\nerror[late]: second\n"), "{shown}");
        assert_eq!(objects(&diagnostics, &sources)[0]["line"], Json::Null);
    }

    #[test]
    fn colour_is_only_there_when_asked_for_and_never_comes_from_the_file() {
        let shown = drawn("a: \u{1b}[31mred\n", "red", |one, _| one.label("\u{1b}[31m").hint("\u{1b}[31m"));
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let mut diagnostics = Diagnostics::default();
        diagnostics.report(Diagnostic::without_place("a", "b"));
        assert!(text(&diagnostics, &Sources::default(), true).contains('\u{1b}'));
    }

    #[test]
    fn json_says_where_and_what_in_numbers() {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", "a: 1\nä: bc\n");
        let span = Span::new(file, 9..11);
        let mut diagnostics = Diagnostics::default();
        diagnostics.report(Diagnostic::error("code", span, "message").replacement(span, "d"));
        let expected = json!([{
            "code": "code", "severity": "error", "message": "message",
            "path": "a.yaml", "line": 2, "column": 4, "end_line": 2, "end_column": 6,
            "label": null, "hint": null,
            "replacement": { "path": "a.yaml", "line": 2, "column": 4, "end_line": 2, "end_column": 6, "text": "d" },
            "related": [],
        }]);
        assert_eq!(objects(&diagnostics, &sources), expected);
    }

    fn any_text() -> impl Strategy<Value = String> {
        let letter = prop_oneof![Just('\n'), Just('\r'), Just('\t'), Just('a'), Just(' '), Just('ä'), Just('漢'), any::<char>()];
        prop::collection::vec(letter, 0..60).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_is_drawn(
            source in any_text(),
            words in prop::collection::vec(any_text(), 4),
            places in prop::collection::vec((0u32..90, 0u32..90), 3),
        ) {
            let mut sources = Sources::default();
            let file = sources.add("a.yaml", source);
            let span = |index: usize| Span { file, start: places[index].0, end: places[index].1 };
            let mut diagnostics = Diagnostics::default();
            diagnostics.report(
                Diagnostic::error("code", span(0), words[0].clone())
                    .label(words[1].clone())
                    .related(span(1), words[2].clone())
                    .replacement(span(2), words[3].clone()),
            );
            let _ = text(&diagnostics, &sources, true);
            let _ = objects(&diagnostics, &sources);
        }

        #[test]
        fn the_drawn_line_and_column_are_those_of_the_json(source in any_text(), start in 0u32..90, end in 0u32..90) {
            let mut sources = Sources::default();
            let file = sources.add("a.yaml", source);
            let mut diagnostics = Diagnostics::default();
            diagnostics.report(Diagnostic::error("code", Span { file, start, end }, "message"));
            let object = &objects(&diagnostics, &sources)[0];
            let place = format!("--> a.yaml:{}:{}\n", object["line"], object["column"]);
            let shown = text(&diagnostics, &sources, false);
            prop_assert!(shown.contains(&place), "{place}{shown}");
        }
    }
}
