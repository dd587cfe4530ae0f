//! What tests came to, as text for people, and as JUnit and JSON for machines. Makes texts; `test` prints them.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::test_variants;
use crate::rehearsal::compare::{Line, Row, TableDifference, text_of};
use crate::rehearsal::report::{Mismatch, Outcome, Seen, Verdict};

/// The longest value that is shown in a table of differences, in characters.
const LONGEST_VALUE: usize = 40;
/// The longest answer that is shown, in characters.
const LONGEST_ANSWER: usize = 300;

/// How text is coloured.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    /// Whether it is at all.
    pub(super) colour: bool,
}

impl Paint {
    /// Text in the colour of this code.
    pub(super) fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// One test: a line, and what is not as expected below it.
pub(super) fn text(outcome: &Outcome, paint: Paint, verbose: bool) -> String {
    let sign = if outcome.is_passed() { paint.good("✓") } else { paint.bad("✗") };
    let took = paint.faint(&format!("({})", milliseconds(outcome.took)));
    let mut text = format!("{sign} {} {took}\n", outcome.name);
    let details = details(&outcome.verdict, paint);
    if !details.is_empty() {
        let place = format!("{}:{}", outcome.path, outcome.line);
        for line in std::iter::once(place.as_str()).chain(details.lines()) {
            let _ = writeln!(text, "    {line}");
        }
        text.push('\n');
    }
    text.push_str(&test_variants::text(outcome, paint, verbose));
    text
}

/// `13 passed, 0 failed in 412 ms`; `problems` in the files are counted when there are any.
pub(super) fn summary(outcomes: &[Outcome], problems: usize, took: Duration, paint: Paint) -> String {
    let passed = outcomes.iter().filter(|outcome| outcome.is_passed()).count();
    let failed = outcomes.len() - passed;
    let problems = match problems {
        0 => String::new(),
        1 => ", 1 problem in the files".to_owned(),
        many => format!(", {many} problems in the files"),
    };
    let words = format!("{passed} passed, {failed} failed{problems}{}", test_variants::counts(outcomes));
    let words = if failed == 0 && problems.is_empty() { paint.good(&words) } else { paint.bad(&words) };
    format!("{words} in {}\n", milliseconds(took))
}

fn milliseconds(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// What is not as expected, and what happened; empty for a test that passed.
fn details(verdict: &Verdict, paint: Paint) -> String {
    match verdict {
        Verdict::Passed => String::new(),
        Verdict::Broken(reason) => format!("the test cannot be run: {reason}"),
        Verdict::Failed { mismatches, seen } => {
            let mut text = String::new();
            for mismatch in mismatches {
                text.push_str(&mismatch_text(mismatch, paint));
            }
            text.push_str(&seen_text(seen));
            text
        }
    }
}

pub(super) fn mismatch_text(mismatch: &Mismatch, paint: Paint) -> String {
    match mismatch {
        Mismatch::Value { what, expected, found } => {
            format!("{what}: expected {}, found {}\n", paint.good(expected), paint.bad(found))
        }
        Mismatch::Table { table, reason } => format!("rows of `{table}` cannot be compared: {reason}\n"),
        Mismatch::Rows(difference) => rows_text(difference, paint),
    }
}

/// The rows line by line: `-` is expected and not there, `+` is there and not expected.
pub(super) fn rows_text(difference: &TableDifference, paint: Paint) -> String {
    let TableDifference { table, expected, found, columns, lines } = difference;
    let mut text = format!(
        "rows of `{table}`: {expected} expected, {found} found ({} expected, {} found)\n",
        paint.good("-"),
        paint.bad("+")
    );
    let shown = |row: &Row| columns.iter().map(|column| shown_value(row, column)).collect::<Vec<_>>();
    let mut drawn: Vec<(char, Vec<String>, String)> = vec![(' ', columns.clone(), String::new())];
    for line in lines {
        match line {
            Line::Same(row) => drawn.push((' ', shown(row), String::new())),
            Line::Missing(row) => drawn.push(('-', shown(row), "no such row".to_owned())),
            Line::Unexpected(row) => drawn.push(('+', shown(row), "not expected".to_owned())),
            Line::Changed { expected, found, columns } => {
                drawn.push(('-', shown(expected), String::new()));
                drawn.push(('+', shown(found), format!("differs in {}", columns.join(", "))));
            }
        }
    }
    let width = |column: usize| drawn.iter().map(|(_, cells, _)| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for (sign, cells, note) in &drawn {
        let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let line = format!("{sign} {}  {note}", cells.join("  "));
        let line = line.trim_end();
        let _ = match sign {
            '-' => writeln!(text, "  {}", paint.good(line)),
            '+' => writeln!(text, "  {}", paint.bad(line)),
            _ => writeln!(text, "  {line}"),
        };
    }
    text
}

/// A value of a row; a column that an expected row does not name is left empty.
fn shown_value(row: &Row, column: &str) -> String {
    let Some(value) = row.get(column) else { return String::new() };
    if value.is_null() {
        return "NULL".to_owned();
    }
    shortened(&text_of(value), LONGEST_VALUE)
}

fn shortened(text: &str, most: usize) -> String {
    let text = text.replace(['\n', '\r'], " ");
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn seen_text(seen: &Seen) -> String {
    let mut text = format!("answer: {} {}\n", seen.status, shortened(&seen.body, LONGEST_ANSWER));
    for record in &seen.records {
        let attempts = if record.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", record.attempts) };
        let number = if seen.records.len() > 1 { format!(" {}", record.number) } else { String::new() };
        let reason = record.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let _ = writeln!(text, "record{number}: {} after {attempts}{reason}", record.state);
    }
    for call in &seen.calls {
        let _ = writeln!(text, "call: {call}");
    }
    text
}

/// All tests as a list of objects.
pub(super) fn json(outcomes: &[Outcome]) -> Json {
    outcomes.iter().map(object).collect()
}

fn object(outcome: &Outcome) -> Json {
    let mut object = json!({
        "path": outcome.path,
        "line": outcome.line,
        "name": outcome.name,
        "status": status_word(&outcome.verdict),
        "took_ms": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
    });
    match &outcome.verdict {
        Verdict::Passed => {}
        Verdict::Broken(reason) => object["reason"] = json!(reason),
        Verdict::Failed { mismatches, seen } => {
            object["mismatches"] = mismatches.iter().map(mismatch_object).collect();
            object["answer"] = json!({ "status": seen.status, "body": seen.body });
            let record = |record: &crate::rehearsal::report::SeenRecord| {
                json!({
                    "number": record.number,
                    "state": record.state,
                    "attempts": record.attempts,
                    "reason": record.reason,
                })
            };
            object["records"] = seen.records.iter().map(record).collect();
            object["calls"] = json!(seen.calls);
        }
    }
    if !outcome.variants.is_empty() {
        object["variants"] = outcome.variants.iter().map(test_variants::object).collect();
    }
    object
}

fn status_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed { .. } => "failed",
        Verdict::Broken(_) => "broken",
    }
}

pub(super) fn mismatch_object(mismatch: &Mismatch) -> Json {
    match mismatch {
        Mismatch::Value { what, expected, found } => json!({ "what": what, "expected": expected, "found": found }),
        Mismatch::Table { table, reason } => json!({ "what": "rows", "table": table, "reason": reason }),
        Mismatch::Rows(difference) => {
            let rows = |wanted: fn(&Line) -> Option<&Row>| difference.lines.iter().filter_map(wanted).collect::<Vec<_>>();
            let missing = rows(|line| match line {
                Line::Missing(row) | Line::Changed { expected: row, .. } => Some(row),
                Line::Same(_) | Line::Unexpected(_) => None,
            });
            let unexpected = rows(|line| match line {
                Line::Unexpected(row) | Line::Changed { found: row, .. } => Some(row),
                Line::Same(_) | Line::Missing(_) => None,
            });
            json!({ "what": "rows", "table": difference.table, "missing": missing, "unexpected": unexpected })
        }
    }
}

/// All tests as JUnit's XML: a suite per test file. `problems` are drawn texts of files that could not be run.
pub(super) fn junit(outcomes: &[Outcome], problems: &[String]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let mut paths: Vec<&str> = outcomes.iter().map(|outcome| outcome.path.as_str()).collect();
    paths.dedup();
    for path in paths {
        let own: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.path == path).collect();
        let count = |word: &str| own.iter().filter(|outcome| status_word(&outcome.verdict) == word).count();
        let variants: Vec<_> = own.iter().flat_map(|outcome| &outcome.variants).collect();
        let took: Duration = own.iter().map(|outcome| outcome.took).sum();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">",
            escaped(path),
            own.len() + variants.len(),
            count("failed") + variants.iter().filter(|variant| test_variants::word(&variant.finding) == "failed").count(),
            count("broken") + variants.iter().filter(|variant| test_variants::word(&variant.finding) == "broken").count(),
            took.as_secs_f64()
        );
        for outcome in own {
            xml.push_str(&junit_case(outcome));
            outcome.variants.iter().for_each(|variant| xml.push_str(&test_variants::junit(outcome, variant)));
        }
        xml.push_str("  </testsuite>\n");
    }
    if !problems.is_empty() {
        let count = problems.len();
        let _ = writeln!(xml, "  <testsuite name=\"problems\" tests=\"{count}\" failures=\"0\" errors=\"{count}\" time=\"0\">");
        for problem in problems {
            let message = escaped(problem.lines().next().unwrap_or_default());
            let _ = writeln!(xml, "    <testcase name=\"the test files can be read\" classname=\"problems\" time=\"0\">");
            let _ = writeln!(xml, "      <error message=\"{message}\">{}</error>\n    </testcase>", escaped(problem));
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn junit_case(outcome: &Outcome) -> String {
    let (path, name, time) = (escaped(&outcome.path), escaped(&outcome.name), outcome.took.as_secs_f64());
    let open = format!(
        "    <testcase name=\"{name}\" classname=\"{path}\" file=\"{path}\" line=\"{}\" time=\"{time:.3}\"",
        outcome.line
    );
    let element = match &outcome.verdict {
        Verdict::Passed => return format!("{open}/>\n"),
        Verdict::Failed { .. } => "failure",
        Verdict::Broken(_) => "error",
    };
    let details = details(&outcome.verdict, Paint { colour: false });
    let message = escaped(details.lines().next().unwrap_or_default());
    format!("{open}>\n      <{element} message=\"{message}\">{}</{element}>\n    </testcase>\n", escaped(&details))
}

/// Text inside XML; what XML cannot hold at all is left out.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            letter if letter.is_control() => {}
            letter => escaped.push(letter),
        }
    }
    escaped
}
