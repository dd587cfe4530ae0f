//! Printing: data on standard output, everything else on standard error, no colour unless a person looks at a terminal.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::app::settings::environment_variable;
use crate::app::telemetry::colour_on_stderr;
use crate::config::diagnostic::{Diagnostics, Severity};
use crate::config::render;
use crate::config::source::Sources;

/// Prints data. A reader that went away (`| head`) is no error.
pub fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// Prints what is said beside the data.
pub fn note(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
}

/// Prints a value as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    data(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints why a command could not run.
pub fn error(error: &anyhow::Error) {
    let text = format!("{error:#}");
    note(&format!("{}: {text}", if colour_on_stderr() { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" }));
}

/// Whether what goes to standard output may have colours.
pub fn colour_on_stdout() -> bool {
    std::io::stdout().is_terminal() && environment_variable("NO_COLOR").is_none()
}

/// Prints rows under their headings; on a terminal it fits its width.
pub fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    data(&table_text(headings, rows));
}

/// Rows under their headings.
pub fn table_text<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Problems of files with their excerpts, on standard error.
pub fn problems(diagnostics: &Diagnostics, texts: &Sources) {
    if !diagnostics.is_empty() {
        note(render::text(diagnostics, texts, colour_on_stderr()).trim_end());
    }
}

/// How many errors and warnings there are.
pub fn tally(diagnostics: &Diagnostics) -> (usize, usize) {
    let of = |severity| diagnostics.all().iter().filter(|one| one.severity == severity).count();
    (of(Severity::Error), of(Severity::Warning))
}

/// `1 error`, `2 errors`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A moment to the second: `2026-11-21 10:15:00Z`.
pub fn to_the_second(moment: &str) -> String {
    let cut = moment.split('.').next().unwrap_or(moment).trim_end_matches('Z');
    format!("{}Z", cut.replace('T', " "))
}
