//! Values without names: `1001&1002`, as templates of merge fields send them. The file names the places.

use serde_json::{Map, Value as Json};

use super::charset::Charset;
use super::form::{trim_line_end, unescape};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::FromYaml;
use crate::config::source::{Span, Spanned};
use crate::config::yaml::Node;

/// Whether a value's percent-encoding is undone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Decode {
    /// It is, and `+` is a space.
    #[default]
    Percent,
    /// The value is what stands there.
    Raw,
}

impl FromYaml for Decode {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("percent") => Some(Self::Percent),
            Some("raw") => Some(Self::Raw),
            _ => {
                crate::config::options::report_expected("`percent` or `raw`", node, diagnostics);
                None
            }
        }
    }
}

/// The places of a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Positional {
    fields: Vec<String>,
    separator: String,
    decode: Decode,
}

/// What a file says of the places; `format` is where it asks for them.
pub(super) fn compile(
    format: Span,
    fields: Vec<String>,
    separator: Option<&Spanned<String>>,
    decode: Decode,
    diagnostics: &mut Diagnostics,
) -> Option<Positional> {
    if fields.is_empty() {
        diagnostics.report(
            Diagnostic::error("missing-option", format, "`positional` needs the names of its values")
                .hint("write `fields: [old, new]` beside it"),
        );
        return None;
    }
    if let Some(separator) = separator.filter(|separator| separator.value.is_empty() || !separator.value.is_ascii()) {
        let message = "a separator is one or more ASCII signs";
        diagnostics.report(Diagnostic::error("wrong-type", separator.span, message).hint("such as `\"&\"`, the default"));
        return None;
    }
    let separator = separator.map_or_else(|| "&".to_owned(), |separator| separator.value.clone());
    Some(Positional { fields, separator, decode })
}

/// Reads a body into an object of texts, cut at the separator first and decoded then.
///
/// An empty value is the empty text: `&1002` has an empty first value, `1001&` an empty second. With fewer values than names
/// the last names are missing: `30088` for `[old, new]` has no `new`. More values than names are a failure. A line break at
/// the very end is left out.
pub fn decode(positional: &Positional, bytes: &[u8], charset: Charset) -> Result<Json, String> {
    let (charset, bytes) = charset.with_ascii(bytes)?;
    let Positional { fields, separator, decode } = positional;
    let mut named = Map::new();
    let mut names = fields.iter();
    let mut rest = Some(trim_line_end(&bytes));
    while let Some(body) = rest {
        let Some(name) = names.next() else { return Err(too_many(positional, &bytes)) };
        let cut = memchr::memmem::find(body, separator.as_bytes());
        let value = cut.map_or(body, |at| &body[..at]);
        rest = cut.map(|at| &body[at + separator.len()..]);
        let text = match decode {
            Decode::Percent => unescape(value, charset),
            Decode::Raw => charset.text_of_part(value).map(std::borrow::Cow::into_owned),
        };
        named.insert(name.clone(), Json::String(text.map_err(|reason| format!("the value of `{name}`: {reason}"))?));
    }
    Ok(Json::Object(named))
}

fn too_many(positional: &Positional, bytes: &[u8]) -> String {
    let Positional { fields, separator, .. } = positional;
    let values = memchr::memmem::find_iter(bytes, separator.as_bytes()).count() + 1;
    format!(
        "the body has {values} values between `{separator}`; `fields` names {}; if a value may hold `{separator}`, have the sender \
         percent-encode it or write another separator",
        fields.len()
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positional(separator: &str, decode: Decode) -> Positional {
        Positional { fields: vec!["old".into(), "new".into()], separator: separator.into(), decode }
    }

    fn decoded(body: &str, decode: Decode) -> Result<String, String> {
        super::decode(&positional("&", decode), body.as_bytes(), Charset::UTF_8).map(|json| json.to_string())
    }

    #[test]
    fn every_place_keeps_its_value() {
        for (body, expected) in [
            ("1001&1002", r#"{"old":"1001","new":"1002"}"#),
            ("1001&1001", r#"{"old":"1001","new":"1001"}"#),
            ("&1002", r#"{"old":"","new":"1002"}"#),
            ("1001&", r#"{"old":"1001","new":""}"#),
            ("&\r\n", r#"{"old":"","new":""}"#),
            ("30088", r#"{"old":"30088"}"#),
            ("007%26x&a+b=%C3%B8", r#"{"old":"007&x","new":"a b=ø"}"#),
        ] {
            assert_eq!(decoded(body, Decode::Percent).as_deref(), Ok(expected), "{body}");
        }
        assert_eq!(decoded("a%26b+c&100%", Decode::Raw).as_deref(), Ok(r#"{"old":"a%26b+c","new":"100%"}"#));
    }

    #[test]
    fn more_values_than_names_are_refused_without_being_shown() {
        let reason = decoded("hunter2&b&c", Decode::Raw).expect_err("three");
        assert!(
            reason.starts_with("the body has 3 values") && reason.contains("names 2") && !reason.contains("hunter2"),
            "{reason}"
        );
    }

    #[test]
    fn a_separator_may_be_longer() {
        let body = b"a-b--c";
        let json = super::decode(&positional("--", Decode::Raw), body, Charset::UTF_8).map(|json| json.to_string());
        assert_eq!(json.as_deref(), Ok(r#"{"old":"a-b","new":"c"}"#));
    }

    proptest! {
        #[test]
        fn encoded_values_come_back_at_their_places(old in "\\PC{0,8}", new in "\\PC{0,8}") {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let body = format!("{}&{}", encode(&old), encode(&new));
            let json = super::decode(&positional("&", Decode::Percent), body.as_bytes(), Charset::UTF_8);
            prop_assert_eq!(json, Ok(serde_json::json!({ "old": old, "new": new })));
        }

        #[test]
        fn any_bytes_are_an_object_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = super::decode(&positional("&", Decode::Percent), &bytes, Charset::UTF_8);
            let _ = super::decode(&positional("\0", Decode::Raw), &bytes, Charset::named("latin1").expect("known"));
        }
    }
}
