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
use crate::rehearsal::play::Played;
use crate::rehearsal::report::Verdict;
use crate::rehearsal::sender::SentAnswer;

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { output::data(&format!($($text)*)) };
}

/// How far what belongs to a step is moved in.
const INDENT: &str = "   ";

/// The most rows of a table that are shown.
const MOST_ROWS: usize = 6;
/// How many letters fit where there is no terminal.
const WIDTH: usize = 110;
/// How many letters of a value are shown at most.
const LONGEST_VALUE: usize = 36;

/// What all webhooks came to.
pub(super) struct Total {
    pub(super) webhooks: usize,
    pub(super) sources: usize,
    pub(super) calls: usize,
    pub(super) forwards: usize,
    /// How many were not as expected.
    pub(super) wrong: usize,
}

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

impl Told<'_> {
    /// Whether a value is another one than when the table was shown last.
    fn is_new(&self, row: &Row, column: &str) -> bool {
        self.before.is_some_and(|before| {
            let was = before.iter().find(|known| known.get(self.key) == row.get(self.key));
            was.and_then(|was| was.get(column)) != row.get(column)
        })
    }
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
        say!("{}", self.bold("Hooktable demo: webhooks become rows, offline"));
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
            self.fitting(told);
        }
        if let Some(before) = told.before {
            changes(told.key, before, told.rows).iter().for_each(|change| say!("{INDENT}{}", self.paint("33", change)));
        }
        if let Some(difference) = difference {
            let text = test_report::rows_text(difference, Paint { colour: self.colour });
            text.lines().for_each(|line| say!("{INDENT}{line}"));
        }
    }

    /// The columns for which there is room, those that changed before all others, and how many there are besides.
    fn fitting(&self, told: &Told<'_>) {
        let columns = fitting(told, Table::new().width().map_or(WIDTH, usize::from));
        self.drawn(told, &columns).lines().for_each(|line| say!("{INDENT}{line}"));
        let all = told.rows.first().map_or(0, Row::len);
        match all - columns.len() {
            0 => {}
            1 => say!("{INDENT}{}", self.faint("… and 1 more column")),
            more => say!("{INDENT}{}", self.faint(&format!("… and {more} more columns"))),
        }
    }

    fn drawn(&self, told: &Told<'_>, columns: &[&String]) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(columns.iter().map(|column| Cell::new(column).add_attribute(Attribute::Bold)));
        for row in told.rows {
            let cell = |column: &&String| cell_of(row.get(*column).unwrap_or(&Json::Null), told.is_new(row, column));
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

    /// A source, before its webhooks.
    pub(super) fn source(&self, title: &str, path: &str) {
        let file = path.rsplit('/').next().unwrap_or(path);
        say!("\n{INDENT}{}  {}", self.bold(title), self.faint(file));
    }

    /// One webhook, and what is wrong with it.
    pub(super) fn played(&self, played: &Played) {
        let paint = Paint { colour: self.colour };
        let sign = if played.verdict.is_passed() { paint.good("✓") } else { paint.bad("✗") };
        let status = played.status.map_or_else(|| "–".to_owned(), |status| self.status(status));
        let state = played.state.map_or_else(|| "answered".to_owned(), |state| state.to_string());
        let counted = |count: usize, what: &str| match count {
            0 => String::new(),
            1 => format!(", 1 {what}"),
            many => format!(", {many} {what}s"),
        };
        let took = played.took.map(|took| format!(", {}", shown(took))).unwrap_or_default();
        let shows: String = played.shown.iter().map(|(name, value)| format!(", shows staff the {name} {value}")).collect();
        let what = format!("{state}{shows}{}{}{took}", counted(played.calls, "call"), counted(played.forwards, "forward"));
        let events = played.events.first().map(|event| format!("{event}: ")).unwrap_or_default();
        say!("{INDENT}{sign} {events}{}  → {status} {}", played.name, self.faint(&what));
        match &played.verdict {
            Verdict::Passed => {}
            Verdict::Broken(reason) => say!("{INDENT}{INDENT}{}", paint.bad(reason)),
            Verdict::Failed { mismatches, seen } => {
                let texts = mismatches.iter().map(|mismatch| test_report::mismatch_text(mismatch, paint));
                let texts = texts.chain([test_report::seen_text(seen)]).collect::<String>();
                texts.lines().for_each(|line| say!("{INDENT}{INDENT}{line}"));
            }
        }
    }

    /// Tests that were not played, by their reasons.
    pub(super) fn left_out(&self, tests: &[(String, &'static str)]) {
        let mut reasons: Vec<&str> = tests.iter().map(|(_, reason)| *reason).collect();
        reasons.dedup();
        for reason in reasons {
            let names: Vec<String> =
                tests.iter().filter(|(_, known)| *known == reason).map(|(name, _)| format!("“{name}”")).collect();
            say!("\n{INDENT}{}", self.faint(&format!("not played, {reason}: {}", names.join(", "))));
        }
    }

    /// A table with its first rows, as wide as there is room for.
    pub(super) fn excerpt(&self, table: &str, rows: &[Row]) {
        let count = if rows.len() == 1 { "1 row".to_owned() } else { format!("{} rows", rows.len()) };
        say!("\n{INDENT}{}  {}", self.bold(table), self.faint(&count));
        let shown: Vec<Row> = rows.iter().take(MOST_ROWS).cloned().collect();
        self.fitting(&Told { table, key: "", rows: &shown, before: None });
        if rows.len() > MOST_ROWS {
            say!("{INDENT}{}", self.faint(&format!("… and {} more", rows.len() - MOST_ROWS)));
        }
    }

    /// How many rows there are in each table.
    pub(super) fn counts(&self, tables: &[(String, usize)]) {
        if !tables.is_empty() {
            let counts: Vec<String> = tables.iter().map(|(table, count)| format!("{table} {count}")).collect();
            say!("\n{INDENT}rows: {}", counts.join(", "));
        }
    }

    pub(super) fn total(&self, total: &Total) {
        let counted = |count: usize, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
        let Total { webhooks, sources, calls, forwards, wrong } = *total;
        let (webhooks, sources) = (counted(webhooks, "webhook"), counted(sources, "source"));
        let text = format!("{webhooks} of {sources}, {}, {}", counted(calls, "API call"), counted(forwards, "forward"));
        match wrong {
            0 => say!("\n{} {text}: all rows as expected", self.paint("32", "✓")),
            wrong => say!("\n{} {text}: {} not as expected", self.paint("31", "✗"), counted(wrong, "webhook")),
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
        self.progress(&format!("waiting for more updates of this order… {:.1} s", since.as_secs_f64()));
    }

    pub(super) fn progress(&self, text: &str) {
        if self.progress {
            write_over(&format!("\r{INDENT}{text}"));
        } else if !self.waits.replace(true) {
            output::note(&format!("{INDENT}{text}"));
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

/// As many columns as fit into so many letters, in their own order, without those that are empty in all rows.
fn fitting<'t>(told: &Told<'t>, width: usize) -> Vec<&'t String> {
    let filled = |column: &&String| told.rows.iter().any(|row| row.get(*column).is_some_and(|value| !value.is_null()));
    let all: Vec<&String> = told.rows.first().into_iter().flat_map(Row::keys).filter(filled).collect();
    let changed = |column: &&String| *column == told.key || told.rows.iter().any(|row| told.is_new(row, column));
    let (first, rest): (Vec<&String>, Vec<&String>) = all.iter().copied().partition(changed);
    let mut left = width.saturating_sub(INDENT.len() + 1);
    let mut kept = Vec::new();
    for column in first.into_iter().chain(rest) {
        let values = told.rows.iter().map(|row| text_of_cell(row.get(column).unwrap_or(&Json::Null)).chars().count());
        let needed = values.chain([column.chars().count()]).max().unwrap_or(0) + 3;
        if needed > left {
            break;
        }
        left -= needed;
        kept.push(column);
    }
    all.into_iter().filter(|column| kept.contains(column)).collect()
}

fn cut(text: &str) -> String {
    match text.chars().count() {
        ..=LONGEST_VALUE => text.to_owned(),
        _ => text.chars().take(LONGEST_VALUE - 1).chain(['…']).collect(),
    }
}

/// Progress on a terminal; that it cannot be shown does not matter.
fn write_over(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn text_of_cell(value: &Json) -> String {
    if value.is_null() { "NULL".to_owned() } else { cut(&text_of(value)) }
}

fn cell_of(value: &Json, is_new: bool) -> Cell {
    let text = text_of_cell(value);
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
