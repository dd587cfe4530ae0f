//! What people see while they set a source up: its window, what its handshakes have shown, the requests that were refused. Whoever
//! sent those chose what stands in them, so nothing of it reaches the terminal unescaped.

use serde_json::Value as Json;

use super::flags::Format;
use super::output;
use crate::app::source_operations::{Onboarding, Shown};
use crate::intake::rejected::RejectedRequest;

/// The window that was opened, and the URLs for the provider.
pub(super) fn print_window(onboarding: &Onboarding, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::json(onboarding);
    }
    let until = onboarding.open_until.as_deref().map_or_else(String::new, output::to_the_second);
    output::note(&format!("the onboarding window of {} is open until {until}", onboarding.source));
    for address in &onboarding.addresses {
        let event = address.event.as_ref().map_or_else(String::new, |event| format!("{event}: "));
        output::data(&format!("{event}{} {}", address.method, address.url));
        address.header.iter().chain(&address.note).for_each(|more| output::data(&format!("  {more}")));
    }
    if onboarding.shows {
        output::note(&format!("what its provider tells comes up in `hooktable sources show {}`", onboarding.source));
    } else {
        output::note("its file has no handshake that shows anything, so there will be nothing to read");
    }
    Ok(())
}

/// What handshakes have shown.
pub(super) fn print_values(onboarding: &Onboarding, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::json(onboarding);
    }
    let source = &onboarding.source;
    match &onboarding.open_until {
        Some(until) => output::note(&format!("the onboarding window is open until {}", output::to_the_second(until))),
        None => output::note(&format!("no onboarding window is open; `hooktable sources onboard {source}` opens one")),
    }
    if onboarding.values.is_empty() {
        output::note("nothing was shown yet");
    } else {
        output::note("anyone could have sent these: compare time and address with what you did at the provider\n");
    }
    onboarding.values.iter().for_each(|shown| output::data(&value_lines(shown)));
    if onboarding.dropped > 0 {
        output::note(&format!("{} more came and were not kept: too many, or too long", onboarding.dropped));
    }
    Ok(())
}

fn value_lines(shown: &Shown) -> String {
    let peer = shown.peer.as_deref().unwrap_or("an unknown address");
    let (first, last) = (output::to_the_second(&shown.first_at), output::to_the_second(&shown.last_at));
    let times = output::counted(usize::try_from(shown.times).unwrap_or(usize::MAX), "time");
    format!("{}: {}\n  {times}, first {first}, last {last} from {peer}", shown.name, escaped(&shown.value))
}

/// Refused requests.
pub(super) fn print_rejected(rejected: &[RejectedRequest], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::json(&rejected);
    }
    if rejected.is_empty() {
        output::note("no request was refused since the server started");
    }
    rejected.iter().for_each(|request| output::data(&request_lines(request)));
    Ok(())
}

fn request_lines(request: &RejectedRequest) -> String {
    let peer = request.peer.as_deref().unwrap_or("an unknown address");
    let (at, method, path) = (output::to_the_second(&request.at), escaped(&request.method), escaped(&request.path));
    let mut lines = vec![format!("{at}  {}  {method} {path}  from {peer}", request.status)];
    lines.push(format!("  told     {}", escaped(&request.told)));
    lines.extend(request.findings.iter().map(|finding| format!("  found    {}", escaped(finding))));
    for (name, part) in [("query", &request.query), ("headers", &request.headers), ("body", &request.body)] {
        let is_empty = part.is_null() || part.as_object().is_some_and(serde_json::Map::is_empty);
        if !is_empty {
            let text = match part {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            lines.push(format!("  {name:<8} {}", escaped(&text)));
        }
    }
    lines.join("\n")
}

/// A text that cannot steer a terminal: control characters, and those that turn or hide what stands around them, are written out.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        let hides = matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
        if letter.is_control() || hides || letter == '\\' {
            safe.extend(letter.escape_default());
        } else {
            safe.push(letter);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_sent_steers_the_terminal() {
        assert_eq!(escaped("a\u{1b}[2J\u{9b}1mø\r\n\u{202e}b\\c"), "a\\u{1b}[2J\\u{9b}1mø\\r\\n\\u{202e}b\\\\c");
    }
}
