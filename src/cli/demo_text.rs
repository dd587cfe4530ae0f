//! What the demo says: a line for each thing that happens, and rows as tables. Data goes to standard output, progress to
//! standard error; without a terminal both are plain lines.

use std::cell::Cell as Counter;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use serde_json::Value as Json;

use super::output;
use super::test_report::{self, Paint};
use crate::model::attempt::CallTrace;
use crate::model::record::RecordState;
use crate::rehearsal::compare::{Row, TableDifference, text_of};
use crate::rehearsal::demo::changes;
use crate::rehearsal::sender::SentAnswer;

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { output::data(&format!($($text)*)) };
}

/// How far what belongs to a step is moved in.
const INDENT: &str = "   ";

/// Where the demo is shown.
pub(super) struct Screen {
    /// Whether there are colours.
    colour: bool,
    /// Whether a line of progress can be written over.
    progress: bool,
    steps: Counter<usize>,
    waits: Counter<bool>,
}

/// A table that is shown.
pub(super) struct Told<'a> {
    /// Its name.
    pub(super) table: &'a str,
    /// The column that tells its rows apart.
    pub(super) key: &'a str,
    /// Its rows.
    pub(super) rows: &'a [Row],
    /// Its rows when it was shown last.
    pub(super) before: Option<&'a [Row]>,
}

impl Screen {
    /// Colours and progress only where a person looks.
    pub(super) fn of_terminal() -> Self {
        Self {
            colour: output::colour_on_stdout(),
            progress: std::io::stderr().is_terminal(),
            steps: Counter::new(0),
            waits: Counter::new(false),
        }
    }

    /// A line as it is.
    pub(super) fn line(&self, text: &str) {
        say!("{text}");
    }

    pub(super) fn title(&self, server: &str, api: &str) {
        say!("{}", self.bold("Hooktable demo: one webhook becomes rows, offline"));
        say!("{}", self.faint(&format!("Hooktable listens on {server}; a simulated e-conomic answers on {api}")));
    }

    /// The next thing that happens.
    pub(super) fn step(&self, text: &str) {
        self.steps.set(self.steps.get() + 1);
        say!("\n{} {}", self.bold(&format!("{}.", self.steps.get())), self.bold(text));
    }

    /// The webhook and its answer; the key in `target` is masked.
    pub(super) fn sent(&self, target: &str, body: &[u8], answer: &SentAnswer, took: Duration) {
        say!("{INDENT}POST {target}");
        say!("{INDENT}{}", String::from_utf8_lossy(body));
        let status = self.status(answer.status);
        say!("{INDENT}→ {status} {}  {}", answer.body, self.faint(&format!("on disk after {}", shown(took))));
    }

    pub(super) fn calls(&self, calls: &[CallTrace]) {
        say!("{INDENT}Hooktable looks the order up where it may be:");
        for call in calls {
            let (method, url) = (&call.method, &call.url);
            match (call.status, &call.error) {
                (Some(status), _) => {
                    say!("{INDENT}{method} {url} → {}  {}", self.status(status), self.faint(&format!("{} ms", call.took_ms)))
                }
                (None, error) => say!("{INDENT}{method} {url}: {}", error.as_deref().unwrap_or("no answer")),
            }
        }
    }

    pub(super) fn landed(&self, state: RecordState, reason: Option<&str>, took: Option<Duration>) {
        if state != RecordState::Done {
            say!("{INDENT}{}", self.paint("31", &format!("the record is {state}: {}", reason.unwrap_or_default())));
            return;
        }
        let took = took.map_or_else(|| "at once".to_owned(), |took| format!("{} after it was accepted", shown(took)));
        let why = self.faint("(2 s of it wait for more updates of this order: `coalesce: 2s`)");
        say!("{INDENT}{}, in one transaction {why}:", self.bold(&format!("Its rows, {took}")));
    }

    /// The rows of a table, what changed since it was shown last, and what is wrong with them.
    pub(super) fn table(&self, told: &Told<'_>, difference: Option<&TableDifference>) {
        say!("\n{INDENT}{}", self.bold(told.table));
        if told.rows.is_empty() {
            say!("{INDENT}no rows");
        } else {
            self.drawn(told).lines().for_each(|line| say!("{INDENT}{line}"));
        }
        if let Some(before) = told.before {
            changes(told.key, before, told.rows).iter().for_each(|change| say!("{INDENT}{}", self.paint("33", change)));
        }
        if let Some(difference) = difference {
            let text = test_report::rows_text(difference, Paint { colour: self.colour });
            text.lines().for_each(|line| say!("{INDENT}{line}"));
        }
    }

    fn drawn(&self, told: &Told<'_>) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let columns: Vec<&String> = told.rows.first().into_iter().flat_map(|row| row.keys()).collect();
        table.set_header(columns.iter().map(|column| Cell::new(column).add_attribute(Attribute::Bold)));
        for row in told.rows {
            let was = told.before.and_then(|before| before.iter().find(|known| known.get(told.key) == row.get(told.key)));
            let cell = |column: &&String| {
                let value = row.get(*column).unwrap_or(&Json::Null);
                let is_new = told.before.is_some() && was.and_then(|was| was.get(*column)) != Some(value);
                cell_of(value, is_new)
            };
            table.add_row(columns.iter().map(cell));
        }
        table
    }

    pub(super) fn verdict(&self, is_right: bool) {
        match is_right {
            true => say!("\n{} every row is as it must be", self.paint("32", "✓")),
            false => say!("\n{} rows are not as they must be", self.paint("31", "✗")),
        }
    }

    /// What there is to try while it goes on serving.
    pub(super) fn invite(&self, invitation: &[(&str, String)]) {
        say!("\n{}", self.bold("It goes on serving; ctrl-c stops it."));
        for (name, text) in invitation {
            say!("{INDENT}{} {text}", self.faint(&format!("{name:10}")));
        }
    }

    /// Progress, written over itself on a terminal and said once elsewhere.
    pub(super) fn waiting(&self, since: Duration) {
        if self.progress {
            write_over(&format!("\r{INDENT}waiting for more updates of this order… {:.1} s", since.as_secs_f64()));
        } else if !self.waits.replace(true) {
            output::note(&format!("{INDENT}waiting for more updates of this order…"));
        }
    }

    /// Takes the progress away again.
    pub(super) fn waited(&self) {
        self.waits.set(false);
        if self.progress {
            write_over("\r\u{1b}[2K");
        }
    }

    fn status(&self, status: u16) -> String {
        let code = if (200..300).contains(&status) { "32" } else { "33" };
        self.paint(code, &status.to_string())
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn faint(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        Paint { colour: self.colour }.paint(code, text)
    }
}

/// Progress on a terminal; that it cannot be shown does not matter.
fn write_over(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn cell_of(value: &Json, is_new: bool) -> Cell {
    let text = if value.is_null() { "NULL".to_owned() } else { text_of(value) };
    let is_number = text.parse::<f64>().is_ok();
    let cell = Cell::new(text).set_alignment(if is_number { CellAlignment::Right } else { CellAlignment::Left });
    if is_new { cell.fg(Color::Yellow).add_attribute(Attribute::Bold) } else { cell }
}

fn shown(took: Duration) -> String {
    match took.as_millis() {
        short @ ..1000 => format!("{short} ms"),
        _ => format!("{:.2} s", took.as_secs_f64()),
    }
}
