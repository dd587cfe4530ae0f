//! A delivery as text that can be read at two in the morning: what went wrong first, then everything else.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::output::{counted, to_the_second};
use crate::app::deliveries::{AttemptView, DeliveryView};
use crate::model::attempt::{CallTrace, ChangeTrace, Outcome};
use crate::model::delivery::DeliveryId;
use crate::model::failure::Retry;
use crate::model::forward::ForwardSummary;
use crate::model::record::RecordSummary;

/// A value on one line may be this long, in characters.
const LONGEST_LINE: usize = 100;

/// The whole text.
pub(super) fn of(delivery: &DeliveryView) -> String {
    let mut text = String::new();
    head(&mut text, delivery);
    for record in &delivery.records {
        record_lines(&mut text, record);
        let own = |one: &&AttemptView| one.record == record.number && one.run == record.run;
        for attempt in delivery.attempts.iter().filter(own) {
            attempt_lines(&mut text, attempt);
        }
        let own = |one: &&ForwardSummary| one.number == record.number && one.run == record.run;
        delivery.forwards.iter().filter(own).for_each(|forward| forward_lines(&mut text, forward));
    }
    line(&mut text, "\nrequest (secrets are •••)");
    value_lines(&mut text, 2, &delivery.request);
    text
}

/// The last twelve digits, which tell deliveries of one moment apart, and which record and run it is if there are several.
pub(super) fn short_id(delivery: DeliveryId, number: u32, run: u32) -> String {
    let id = delivery.to_string();
    let end = id.rsplit('-').next().unwrap_or(&id);
    let record = if number > 0 { format!(" #{number}") } else { String::new() };
    let run = if run > 1 { format!(" run {run}") } else { String::new() };
    format!("…{end}{record}{run}")
}

/// Why a record is in its state, and when something will happen next.
pub(super) fn why(record: &RecordSummary) -> String {
    let by = record.superseded_by.map(|by| format!("{} ran for it", short_id(by, 0, 1)));
    let next = record.next_at.as_deref().map(|next| format!("next at {}", to_the_second(next)));
    let forwards = |count: u32, what: &str| (count > 0).then(|| format!("{} {what}", counted(count as usize, "forward")));
    let (dead, open) = (forwards(record.forwards_dead, "dead"), forwards(record.forwards_open, "not sent yet"));
    [record.reason.clone(), by, blocks(record), next, dead, open].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// How many wait for a record that backs off.
fn blocks(record: &RecordSummary) -> Option<String> {
    match record.blocks {
        0 => None,
        1 => Some("1 other waits for it".to_owned()),
        count => Some(format!("{count} others wait for it")),
    }
}

fn head(text: &mut String, delivery: &DeliveryView) {
    line(text, &format!("delivery {}", delivery.delivery));
    let tenant = delivery.caller.tenant.as_ref().map_or_else(|| "-".to_owned(), |tenant| tenant.name.clone());
    let key = delivery.caller.api_key.map_or_else(String::new, |key| format!(", API key {key}"));
    line(text, &format!("  source    {}", delivery.source));
    line(text, &format!("  tenant    {tenant} (by {}{key})", delivery.caller.scheme));
    line(text, &format!("  received  {}", delivery.received_at));
    let kept = if delivery.request_kept { "" } else { "; no longer kept, so that nothing of it can run again" };
    line(text, &format!("  body      {} bytes, sha256 {}{kept}", delivery.body_bytes, start_of(&delivery.body_sha256)));
    line(text, &format!("  version   {} of the route file", start_of(&delivery.bundle)));
}

fn record_lines(text: &mut String, record: &RecordSummary) {
    let run = if record.run > 1 { format!(" (run {})", record.run) } else { String::new() };
    line(text, &format!("\nrecord {}{run}: {}", record.number, record.state.word().to_uppercase()));
    for (name, value) in [
        ("why", record.reason.clone()),
        ("ran", record.superseded_by.map(|by| format!("delivery {by}"))),
        ("blocks", blocks(record)),
        ("next", record.next_at.clone()),
        ("event", record.event.clone()),
        ("lane", record.lane.clone()),
        ("finished", record.finished_at.clone()),
    ] {
        if let Some(value) = value {
            line(text, &format!("  {name:<9} {value}"));
        }
    }
    if record.attempts == 0 && record.state.is_open() {
        line(text, "  no attempt yet");
    }
}

fn forward_lines(text: &mut String, forward: &ForwardSummary) {
    let tries = if forward.attempts == 1 { "1 try".to_owned() } else { format!("{} tries", forward.attempts) };
    line(text, &format!("  forward {}: {}, {tries}", forward.target, forward.state.word().to_uppercase()));
    let id = Some(forward.id.to_string());
    let about =
        [("id", id), ("why", forward.reason.clone()), ("next", forward.next_at.clone()), ("ended", forward.finished_at.clone())];
    for (name, value) in about {
        value.iter().for_each(|value| line(text, &format!("    {name:<7} {value}")));
    }
    for call in forward.last.iter().flat_map(|last| &last.calls) {
        line(text, &format!("    call {}", call_text(call)));
        call.body.iter().for_each(|body| line(text, &format!("      answered: {}", one_line(body))));
    }
    for step in forward.last.iter().flat_map(|last| &last.steps) {
        line(text, "    sent");
        value_lines(text, 6, &step.added);
    }
}

fn attempt_lines(text: &mut String, view: &AttemptView) {
    let attempt = &view.attempt;
    let outcome = match &attempt.outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Ignored { reason } => format!("ignored: {reason}"),
        Outcome::Failed { failure } => {
            let again = match failure.retry {
                Retry::Credentials => " (held until the credentials change)",
                Retry::Never => " (for good)",
                Retry::Later | Retry::NotBefore { .. } => "",
            };
            format!("FAILED in {}{again}: {}", word_of(&failure.step), failure.reason)
        }
    };
    line(text, &format!("  attempt {} at {}, {} ms: {outcome}", attempt.number, attempt.started_at, attempt.took_ms));
    attempt.notes.iter().for_each(|note| line(text, &format!("    note: {note}")));
    for step in &attempt.steps {
        line(text, &format!("    after {}", step.step));
        value_lines(text, 6, &step.added);
    }
    for call in &attempt.calls {
        line(text, &format!("    call {}", call_text(call)));
        call.body.iter().for_each(|body| line(text, &format!("      answered: {}", one_line(body))));
    }
    attempt.changes.iter().for_each(|change| line(text, &format!("    {}", change_text(change))));
}

/// The beginning of an answer on one line.
fn one_line(body: &str) -> String {
    let whole = body.split_whitespace().collect::<Vec<_>>().join(" ");
    let start: String = whole.chars().take(2 * LONGEST_LINE).collect();
    if start.len() < whole.len() { format!("{start}…") } else { start }
}

fn call_text(call: &CallTrace) -> String {
    let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let retries = if call.retries > 0 { format!(", {} retries", call.retries) } else { String::new() };
    let shared = if call.shared {
        ", shared with another call"
    } else if call.cached {
        ", from the cache"
    } else {
        ""
    };
    let error = call.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
    format!("{} {} {} -> {status}, {} ms{retries}{shared}{error}", call.name, call.method, call.url, call.took_ms)
}

fn change_text(change: &ChangeTrace) -> String {
    let counts = [(change.inserted, "inserted"), (change.updated, "updated"), (change.deleted, "deleted")];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let counts = match change.outdated {
        true => "left alone: what is there has a newer version, or the same one and may have come later".to_owned(),
        false if counts.is_empty() => "nothing changed".to_owned(),
        false => counts.join(", "),
    };
    let key = if change.key.as_object().is_some_and(serde_json::Map::is_empty) || change.key.is_null() {
        String::new()
    } else {
        format!(" {}", change.key)
    };
    format!("{} {}.{}{key}: {counts}", change.verb, change.database, change.table)
}

/// A map a name a line, deeper only where it does not fit.
fn value_lines(text: &mut String, indent: usize, value: &Json) {
    let pad = " ".repeat(indent);
    let fits = |value: &Json| {
        let short = value.to_string();
        (short.chars().count() <= LONGEST_LINE).then_some(short)
    };
    match value {
        Json::Object(fields) => {
            for (name, field) in fields {
                match fits(field) {
                    Some(short) => line(text, &format!("{pad}{name}: {short}")),
                    None => {
                        line(text, &format!("{pad}{name}:"));
                        value_lines(text, indent + 2, field);
                    }
                }
            }
        }
        Json::Array(items) => {
            for item in items {
                match fits(item) {
                    Some(short) => line(text, &format!("{pad}- {short}")),
                    None => {
                        line(text, &format!("{pad}-"));
                        value_lines(text, indent + 2, item);
                    }
                }
            }
        }
        scalar => line(text, &format!("{pad}{scalar}")),
    }
}

fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}");
}

fn start_of(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}

fn word_of(step: &crate::model::failure::Step) -> String {
    format!("{step:?}").to_lowercase()
}
