//! The first names of the event document: which exist at which step, and that an author's own names shadow none of them.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Spanned;
use crate::payload;

/// What decoding adds.
pub const BODY: [&str; 2] = ["body", "raw"];
/// What the inbox adds.
pub const INBOX: [&str; 4] = ["received_at", "source", "delivery", "attempt"];
const OTHERS: [&str; 13] = [
    "index",
    "tenant",
    "integration",
    "event",
    "claims",
    "answer",
    "session",
    "position",
    "field",
    "secret",
    "it",
    "loop",
    "headers",
];

/// Reports an author's own name that means something else already.
pub fn refuse_shadowing(name: &Spanned<String>, diagnostics: &mut Diagnostics) {
    let mut reserved = payload::request::NAMES.iter().chain(&BODY).chain(&INBOX).chain(&OTHERS);
    if reserved.any(|reserved| *reserved == name.value) {
        let message = format!("`{}` is a name of the event document already", name.value);
        diagnostics.report(Diagnostic::error("name-taken", name.span, message).hint("choose another name"));
    } else if !is_name(&name.value) {
        let message = format!("`{}` cannot be used in a path", name.value);
        diagnostics
            .report(Diagnostic::error("bad-name", name.span, message).hint("letters, digits and `_`, not starting with a digit"));
    }
}

fn is_name(text: &str) -> bool {
    let start = |letter: char| letter.is_ascii_alphabetic() || letter == '_' || !letter.is_ascii();
    text.starts_with(start) && text.chars().all(|letter| start(letter) || letter.is_ascii_digit())
}
