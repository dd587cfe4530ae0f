//! `read`: what stands at `at`, taken apart: one signature or several, and what else the sender wrote beside them.

use super::tokens::{Token, report_unknown, tokens_of};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::yaml::Node;

/// The most signatures of one request that are looked at.
const MOST_SIGNATURES: usize = 16;
const NAMES: &[&str] = &["signature", "timestamp", "id"];
const SEPARATORS: [char; 4] = [',', ';', '&', ' '];

/// How to read what stands at `at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    text: String,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// All of it is the signature.
    Whole,
    /// Parts in any order, each known by the text before it.
    Parts(char, Vec<Part>),
    /// Fixed text and placeholders, one behind the other.
    Sequence(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    before: String,
    name: Name,
    after: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(Name),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Signature,
    Timestamp,
    Id,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The signatures, in the order in which they stand; one of them must be right.
    pub signatures: Vec<String>,
    /// The timestamp.
    pub timestamp: Option<String>,
    /// The id.
    pub id: Option<String>,
}

/// Compiles it. Without one, all that stands there is the signature.
pub(super) fn compile(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Option<Reading> {
    let Some(node) = node else { return Some(Reading { text: "{signature}".to_owned(), form: Form::Whole }) };
    let tokens = tokens_of(node, diagnostics)?;
    let mut pieces = Vec::new();
    for token in tokens {
        pieces.push(match token {
            Token::Text(text) => Piece::Text(text),
            Token::Placeholder(name, range) => {
                let known = match name.as_str() {
                    "signature" => Name::Signature,
                    "timestamp" => Name::Timestamp,
                    "id" => Name::Id,
                    _ => {
                        report_unknown(&name, range, NAMES, node, diagnostics);
                        return None;
                    }
                };
                Piece::Name(known)
            }
        });
    }
    let touching = pieces.windows(2).any(|two| matches!(two, [Piece::Name(_), Piece::Name(_)]));
    let without = !pieces.contains(&Piece::Name(Name::Signature));
    if touching || without {
        let message =
            if without { "`read` does not say where the signature stands" } else { "two placeholders need text between them" };
        diagnostics.report(
            Diagnostic::error("bad-placeholder", node.span, message)
                .hint("such as `sha256={signature}` or `t={timestamp},v1={signature}`"),
        );
        return None;
    }
    Some(Reading { text: node.text().unwrap_or_default().to_owned(), form: form_of(pieces) })
}

fn form_of(pieces: Vec<Piece>) -> Form {
    if matches!(pieces.as_slice(), [Piece::Name(_)]) {
        return Form::Whole;
    }
    parts_of(&pieces).unwrap_or(Form::Sequence(pieces))
}

/// The parts with names of their own; none where they are only known by their order.
fn parts_of(pieces: &[Piece]) -> Option<Form> {
    let mut separator: Option<char> = None;
    let mut parts: Vec<Part> = Vec::new();
    let mut before = String::new();
    for piece in pieces {
        match piece {
            Piece::Name(name) => parts.push(Part { before: std::mem::take(&mut before), name: *name, after: String::new() }),
            Piece::Text(text) => match parts.last_mut() {
                None => before.clone_from(text),
                Some(last) => match text.find(SEPARATORS) {
                    Some(at) => {
                        let found = text[at..].chars().next()?;
                        // `, ` is a comma
                        if *separator.get_or_insert(found) != found {
                            return None;
                        }
                        text[..at].clone_into(&mut last.after);
                        text[at + found.len_utf8()..].trim_start().clone_into(&mut before);
                    }
                    None => text.clone_into(&mut last.after),
                },
            },
        }
    }
    let separator = separator.unwrap_or(' ');
    // what comes behind the last part, or what a part begins with, must not be cut by the separator
    let can_be_told =
        |part: &Part| !part.before.is_empty() && !part.before.contains(separator) && !part.after.contains(separator);
    let is_separated = parts.len() == 1 || separator_is_between(pieces);
    (before.is_empty() && is_separated && parts.iter().all(can_be_told)).then_some(Form::Parts(separator, parts))
}

/// Whether there is a separator between each two placeholders.
fn separator_is_between(pieces: &[Piece]) -> bool {
    pieces.windows(3).all(|three| match three {
        [Piece::Name(_), Piece::Text(text), Piece::Name(_)] => text.contains(SEPARATORS),
        _ => true,
    })
}

impl Reading {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it says where the timestamp stands.
    pub fn has_timestamp(&self) -> bool {
        self.has(Name::Timestamp)
    }

    /// Whether it says where the id stands.
    pub fn has_id(&self) -> bool {
        self.has(Name::Id)
    }

    fn has(&self, name: Name) -> bool {
        match &self.form {
            Form::Whole => false,
            Form::Parts(_, parts) => parts.iter().any(|part| part.name == name),
            Form::Sequence(pieces) => pieces.contains(&Piece::Name(name)),
        }
    }

    /// Takes a text apart; `None` when it has another form. Two timestamps that differ are another form.
    pub fn read(&self, text: &str) -> Option<Parts> {
        let text = text.trim();
        let mut found = Parts::default();
        match &self.form {
            Form::Whole => found.add(Name::Signature, text)?,
            Form::Parts(separator, parts) => {
                for one in text.split(*separator).map(str::trim) {
                    for part in parts {
                        let value =
                            one.strip_prefix(part.before.as_str()).and_then(|rest| rest.strip_suffix(part.after.as_str()));
                        if let Some(value) = value {
                            found.add(part.name, value)?;
                            break;
                        }
                    }
                }
            }
            Form::Sequence(pieces) => read_sequence(pieces, text, &mut found)?,
        }
        let is_whole = (!self.has_timestamp() || found.timestamp.is_some()) && (!self.has_id() || found.id.is_some());
        (is_whole && !found.signatures.is_empty()).then_some(found)
    }

    /// The opposite of reading, for one signature.
    pub fn write(&self, signature: &str, timestamp: &str, id: &str) -> String {
        let value = |name: Name| match name {
            Name::Signature => signature,
            Name::Timestamp => timestamp,
            Name::Id => id,
        };
        match &self.form {
            Form::Whole => signature.to_owned(),
            Form::Parts(separator, parts) => {
                let one = |part: &Part| format!("{}{}{}", part.before, value(part.name), part.after);
                parts.iter().map(one).collect::<Vec<_>>().join(&separator.to_string())
            }
            Form::Sequence(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.as_str(),
                    Piece::Name(name) => value(*name),
                })
                .collect(),
        }
    }
}

fn read_sequence(pieces: &[Piece], text: &str, found: &mut Parts) -> Option<()> {
    let mut rest = text;
    let mut pieces = pieces.iter().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
            Piece::Name(name) => {
                let end = match pieces.peek() {
                    Some(Piece::Text(next)) => rest.find(next.as_str())?,
                    _ => rest.len(),
                };
                found.add(*name, &rest[..end])?;
                rest = &rest[end..];
            }
        }
    }
    rest.is_empty().then_some(())
}

impl Parts {
    fn add(&mut self, name: Name, value: &str) -> Option<()> {
        let only = |place: &mut Option<String>| match place {
            Some(known) => (known == value).then_some(()),
            None => {
                *place = Some(value.to_owned());
                Some(())
            }
        };
        match name {
            Name::Signature => {
                if self.signatures.len() < MOST_SIGNATURES {
                    self.signatures.push(value.to_owned());
                }
                Some(())
            }
            Name::Timestamp => only(&mut self.timestamp),
            Name::Id => only(&mut self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::source::Sources;
    use crate::config::yaml::parse;

    fn reading(text: &str) -> Option<Reading> {
        let mut sources = Sources::default();
        let file = sources.add("a", serde_json::Value::from(text).to_string());
        let mut diagnostics = Diagnostics::default();
        let node = parse(&sources, file, &mut diagnostics)?;
        compile(Some(&node), &mut diagnostics)
    }

    fn read(pattern: &str, text: &str) -> Option<(Vec<String>, Option<String>)> {
        reading(pattern).expect(pattern).read(text).map(|found| (found.signatures, found.timestamp.or(found.id)))
    }

    fn parts(signatures: &[&str], other: Option<&str>) -> Option<(Vec<String>, Option<String>)> {
        Some((signatures.iter().map(|&one| one.to_owned()).collect(), other.map(str::to_owned)))
    }

    #[test]
    fn parts_stand_in_any_order_and_repeated_ones_are_candidates() {
        let stripe = "t={timestamp},v1={signature}";
        assert_eq!(read(stripe, "t=1,v1=a"), parts(&["a"], Some("1")));
        assert_eq!(read(stripe, "v0=x, v1=a ,t=1,v1=b"), parts(&["a", "b"], Some("1")));
        assert_eq!(read(stripe, "t=1,t=1,v1=a"), parts(&["a"], Some("1")));
        for wrong in ["", "t=1", "v1=a", "t=1,t=2,v1=a", "T=1,V1=a"] {
            assert_eq!(read(stripe, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_prefix_may_hold_what_separates_elsewhere() {
        assert_eq!(read("v1,{signature}", "v1,a= v1a,x v1,b"), parts(&["a=", "b"], None));
        assert_eq!(read("sha256={signature}", "sha256=ab"), parts(&["ab"], None));
        assert_eq!(read("sha256={signature}", "ab"), None);
        assert_eq!(read("{signature}", " ab "), parts(&["ab"], None));
    }

    #[test]
    fn what_has_no_names_is_known_by_its_order() {
        assert_eq!(read("{timestamp}.{signature}", "1.ab.c"), parts(&["ab.c"], Some("1")));
        assert_eq!(read("HMAC {id}:{signature}", "HMAC me:ab"), parts(&["ab"], Some("me")));
        assert_eq!(read("Sig id=\"{id}\",sig=\"{signature}\"", "Sig id=\"me\",sig=\"a\""), parts(&["a"], Some("me")));
        assert_eq!(read("HMAC {id}:{signature}", "hmac me:ab"), None);
    }

    #[test]
    fn a_pattern_without_a_signature_is_refused() {
        for wrong in ["t={timestamp}", "{signature", "{sig}", "{timestamp}{signature}", ""] {
            assert_eq!(reading(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(pattern in "[a-z{}=,; .:]{0,24}", text in "\\PC{0,40}") {
            if let Some(reading) = reading(&pattern) {
                reading.read(&text);
            }
        }

        #[test]
        fn what_is_written_is_read_again(
            pattern in prop::sample::select(vec![
                "{signature}", "sha256={signature}", "v1,{signature}", "t={timestamp},v1={signature}", "{timestamp}.{signature}",
                "id=\"{id}\";sig=\"{signature}\"", "HMAC {id}:{signature}",
            ]),
            signature in "[A-Za-z0-9+/]{1,40}={0,2}",
            timestamp in "[0-9]{1,12}",
            id in "[a-z0-9_]{1,12}",
        ) {
            let reading = reading(pattern).expect("a pattern");
            let found = reading.read(&reading.write(&signature, &timestamp, &id)).expect("what was written");
            prop_assert_eq!(found.signatures, vec![signature]);
            prop_assert!(found.timestamp.is_none_or(|found| found == timestamp));
            prop_assert!(found.id.is_none_or(|found| found == id));
        }
    }
}
