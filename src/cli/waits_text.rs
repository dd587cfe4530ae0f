//! Why work of a source waits, as text: what the providers' APIs said, and when it goes on.

use serde_json::{Value as Json, json};

use super::flags::Format;
use super::onboarding_text;
use super::output::{self, to_the_second};
use crate::app::source_waits::{Circuit, Held, SourceDetails};

/// A source: why its work waits, then what its handshakes have shown.
pub(super) fn print(details: &SourceDetails, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        let mut whole = serde_json::to_value(&details.onboarding)?;
        if let Json::Object(fields) = &mut whole {
            fields.insert("held".to_owned(), json!(details.held));
            fields.insert("circuits".to_owned(), json!(details.circuits));
        }
        return output::json(&whole);
    }
    details.held.iter().for_each(|held| output::data(&held_lines(held)));
    match &details.circuits {
        Some(circuits) => circuits.iter().for_each(|circuit| output::data(&circuit_lines(circuit))),
        None => output::note("no server runs, so nothing is known of APIs that are left alone"),
    }
    onboarding_text::print_values(&details.onboarding, format)
}

fn held_lines(held: &Held) -> String {
    let whose = held.tenant.as_deref().map_or_else(|| "all work".to_owned(), |tenant| format!("the work of `{tenant}`"));
    let until = to_the_second(&held.until);
    let head = if held.needs_attention {
        format!("needs attention: {whose} waits for other credentials, until {until} at most")
    } else {
        format!("held: {whose} waits until {until}")
    };
    with_reason(head, &held.reason)
}

fn circuit_lines(circuit: &Circuit) -> String {
    let tenant = circuit.tenant.as_ref().map_or_else(String::new, |tenant| format!(" of `{tenant}`"));
    let integration = circuit.integration.as_ref().map_or_else(String::new, |id| format!(", integration {id}"));
    let head = format!(
        "circuit open: api `{}`{tenant}{integration} is left alone since {}, after {} failed requests in a row; one call asks again at {}",
        circuit.api,
        to_the_second(&circuit.since),
        circuit.failures,
        to_the_second(&circuit.next_probe),
    );
    with_reason(head, &circuit.reason)
}

fn with_reason(head: String, reason: &str) -> String {
    reason.lines().fold(head, |text, line| format!("{text}\n  {line}"))
}
