//! What the hostile variants of a test came to, as text, JUnit and JSON.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::output::counted;
use super::test_report::{Paint, escaped, mismatch_object, mismatch_text, seen_text};
use crate::rehearsal::hostile::{Finding, VariantOutcome};
use crate::rehearsal::report::Outcome;

/// A line for each variant that failed or warns; with `verbose` for all of them.
pub(super) fn text(outcome: &Outcome, paint: Paint, verbose: bool) -> String {
    let mut text = String::new();
    for variant in &outcome.variants {
        let words = variant.variant.words();
        let _ = match &variant.finding {
            Finding::Same if verbose => {
                let took = paint.faint(&format!("({} ms)", variant.took.as_millis()));
                writeln!(text, "    {} {words} {took}", paint.good("✓"))
            }
            Finding::NotApplicable(reason) if verbose => {
                writeln!(text, "    {}", paint.faint(&format!("– {words}: not applicable, {reason}")))
            }
            Finding::Same | Finding::NotApplicable(_) => continue,
            Finding::Warning(reason) => writeln!(text, "    {} {words}: {reason}", paint.paint("33", "!")),
            finding @ (Finding::Different { .. } | Finding::Broken(_)) => {
                let _ = writeln!(text, "    {} {words}", paint.bad("✗"));
                let _ = writeln!(text, "        {}:{}", outcome.path, outcome.line);
                details(finding, paint).lines().try_for_each(|line| writeln!(text, "        {line}"))
            }
        };
    }
    text
}

/// What is told of a finding below its line.
fn details(finding: &Finding, paint: Paint) -> String {
    match finding {
        Finding::Same => String::new(),
        Finding::Warning(reason) | Finding::NotApplicable(reason) => format!("{reason}\n"),
        Finding::Broken(reason) => format!("it cannot be run: {reason}\n"),
        Finding::Different { reason, mismatches, seen } => {
            let mismatches: String = mismatches.iter().map(|mismatch| mismatch_text(mismatch, paint)).collect();
            format!("{reason}\n{mismatches}{}", seen_text(seen))
        }
    }
}

/// `; hostile: 60 passed, 0 failed, 2 warnings, 29 not applicable`; nothing without variants.
pub(super) fn counts(outcomes: &[Outcome]) -> String {
    let all: Vec<&VariantOutcome> = outcomes.iter().flat_map(|outcome| &outcome.variants).collect();
    if all.is_empty() {
        return String::new();
    }
    let count = |wanted: &str| all.iter().filter(|variant| word(&variant.finding) == wanted).count();
    let failed = count("failed") + count("broken");
    let warnings = counted(count("warning"), "warning");
    format!("; hostile: {} passed, {failed} failed, {warnings}, {} not applicable", count("passed"), count("not_applicable"))
}

/// A finding in one word, for machines.
pub(super) fn word(finding: &Finding) -> &'static str {
    match finding {
        Finding::Same => "passed",
        Finding::Warning(_) => "warning",
        Finding::NotApplicable(_) => "not_applicable",
        Finding::Different { .. } => "failed",
        Finding::Broken(_) => "broken",
    }
}

/// One variant for machines.
pub(super) fn object(variant: &VariantOutcome) -> Json {
    let mut object = json!({
        "name": variant.variant.words(),
        "status": word(&variant.finding),
        "took_ms": u64::try_from(variant.took.as_millis()).unwrap_or(u64::MAX),
    });
    match &variant.finding {
        Finding::Same => {}
        Finding::Warning(reason) | Finding::NotApplicable(reason) | Finding::Broken(reason) => object["reason"] = json!(reason),
        Finding::Different { reason, mismatches, seen } => {
            object["reason"] = json!(reason);
            object["mismatches"] = mismatches.iter().map(mismatch_object).collect();
            object["answer"] = json!({ "status": seen.status, "body": seen.body });
            object["calls"] = json!(seen.calls);
        }
    }
    object
}

/// One variant as a test case of its own.
pub(super) fn junit(outcome: &Outcome, variant: &VariantOutcome) -> String {
    let (path, took) = (escaped(&outcome.path), variant.took.as_secs_f64());
    let name = escaped(&format!("{}: {}", outcome.name, variant.variant.words()));
    let open = format!(
        "    <testcase name=\"{name}\" classname=\"{path}\" file=\"{path}\" line=\"{}\" time=\"{took:.3}\"",
        outcome.line
    );
    let text = details(&variant.finding, Paint { colour: false });
    let message = escaped(text.lines().next().unwrap_or_default());
    let inner = match &variant.finding {
        Finding::Same => return format!("{open}/>\n"),
        Finding::NotApplicable(_) => format!("<skipped message=\"{message}\"/>"),
        Finding::Warning(_) => format!("<system-out>warning: {}</system-out>", escaped(text.trim_end())),
        Finding::Different { .. } => format!("<failure message=\"{message}\">{}</failure>", escaped(&text)),
        Finding::Broken(_) => format!("<error message=\"{message}\">{}</error>", escaped(&text)),
    };
    format!("{open}>\n      {inner}\n    </testcase>\n")
}
