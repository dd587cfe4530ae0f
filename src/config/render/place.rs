//! Where a diagnostic is drawn. A place outside its text is moved to the nearest one inside.

use std::ops::Range;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::{Sources, Span};

/// A place in numbers. Lines and columns count from 1, columns in characters; the end is behind the last one.
pub(super) struct Place<'s> {
    pub(super) path: &'s str,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) end_line: usize,
    pub(super) end_column: usize,
}

impl<'s> Place<'s> {
    pub(super) fn of(span: Span, sources: &'s Sources) -> Self {
        let file = sources.file(span.file);
        let range = inside(&file.text, span);
        let (line, column) = sources.line_and_column(Span::new(span.file, range.clone()));
        let (end_line, end_column) = sources.line_and_column(Span::new(span.file, range.end..range.end));
        Self { path: &file.path, line, column, end_line, end_column }
    }
}

/// By file, then by place; those without a place first.
pub(super) fn in_order<'d>(diagnostics: &'d Diagnostics, sources: &Sources) -> Vec<&'d Diagnostic> {
    let mut list: Vec<&Diagnostic> = diagnostics.all().iter().collect();
    list.sort_by_key(|one| one.span.map(|span| (&sources.file(span.file).path, span.start, span.end)));
    list
}

/// The place as bytes that are inside the text and begin and end between characters.
pub(super) fn inside(text: &str, span: Span) -> Range<usize> {
    let start = text.floor_char_boundary(span.start as usize);
    let end = text.ceil_char_boundary((span.end as usize).min(text.len()));
    start..end.max(start)
}
