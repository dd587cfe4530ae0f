//! The `Content-Type` header: its media type and parameters, and the format that it stands for.

use super::Format;
use crate::config::yaml::shorten;

/// A parsed header.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ContentType {
    /// `application/json`, in lower case; empty when there is none.
    pub media_type: String,
    parameters: Vec<(String, String)>,
}

impl ContentType {
    /// Reads a header's value; whatever stands there, something comes of it.
    pub fn parse(header: &str) -> Self {
        let (media_type, parameters) = header.split_once(';').unwrap_or((header, ""));
        Self { media_type: media_type.trim().to_ascii_lowercase(), parameters: read_parameters(parameters) }
    }

    /// A parameter such as `charset`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The format that a body of this type is in.
    ///
    /// | declared as | is read as |
    /// |---|---|
    /// | `application/json`, `text/json`, `*/*+json` | json |
    /// | `application/x-www-form-urlencoded` | form |
    /// | `application/xml`, `text/xml`, `*/*+xml` | xml |
    /// | `text/csv`, `application/csv` | csv |
    /// | `application/x-ndjson`, `application/jsonl` and their kin | ndjson |
    /// | `multipart/form-data` | multipart |
    /// | `application/jwt`, `*/*+jwt` | jwt |
    /// | `text/plain`, `application/octet-stream`, nothing | json when the body's first sign is `{` or `[`, else text |
    ///
    /// The last line is for senders that do not say what they send. It never guesses twice: what begins like JSON has to be
    /// JSON, and a bare `0042` stays the text it is. Anything else is refused and asks for `payload: { format: … }`.
    pub fn format(&self, begins_like_json: impl FnOnce() -> bool) -> Result<Format, String> {
        let subtype = self.media_type.split_once('/').map_or("", |(_, subtype)| subtype);
        let suffix = subtype.rsplit('+').next().unwrap_or_default();
        Ok(match self.media_type.as_str() {
            "" | "text/plain" | "application/octet-stream" => {
                if begins_like_json() {
                    Format::Json
                } else {
                    Format::Text
                }
            }
            "application/x-www-form-urlencoded" => Format::Form,
            "multipart/form-data" => Format::Multipart,
            "text/csv" | "application/csv" => Format::Csv(super::csv::Csv::default()),
            _ => match suffix {
                "x-ndjson" | "ndjson" | "jsonl" | "x-jsonl" | "jsonlines" | "x-jsonlines" | "json-lines" => Format::Ndjson,
                "xml" => Format::Xml,
                "jwt" => Format::Jwt,
                suffix if suffix.ends_with("json") => Format::Json,
                _ => {
                    return Err(format!(
                        "the body is declared as `{}`, which is not read by itself; if it is JSON all the same, say `payload: {{ format: json }}`",
                        shorten(&self.media_type)
                    ));
                }
            },
        })
    }
}

/// `; a=b; c="d;e"`: names in lower case, quotes and the escapes inside them undone.
pub(super) fn read_parameters(text: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|letter: char| letter == ';' || letter.is_ascii_whitespace());
        if rest.is_empty() {
            return parameters;
        }
        let end = rest.find(['=', ';']).unwrap_or(rest.len());
        let name = rest[..end].trim().to_ascii_lowercase();
        rest = &rest[end..];
        let Some(value) = rest.strip_prefix('=') else { continue };
        let value = value.trim_start();
        if let Some(quoted) = value.strip_prefix('"') {
            let (value, after) = unquote(quoted);
            parameters.push((name, value));
            rest = after.find(';').map_or("", |end| &after[end..]);
        } else {
            let end = value.find(';').unwrap_or(value.len());
            parameters.push((name, value[..end].trim().to_owned()));
            rest = &value[end..];
        }
    }
}

/// What stands before the closing quote, and what behind it. A backslash before anything but `"` and `\` is itself: browsers
/// send Windows paths that way.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = quoted.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' if matches!(letters.peek(), Some((_, '"' | '\\'))) => value.extend(letters.next().map(|(_, letter)| letter)),
            _ => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_content_type_says_the_format() {
        for (header, expected) in [
            ("application/json; charset=utf-8", Format::Json),
            ("application/vnd.api+json", Format::Json),
            ("Application/CloudEvents+JSON", Format::Json),
            ("application/x-www-form-urlencoded", Format::Form),
            ("text/xml", Format::Xml),
            ("application/soap+xml; action=x", Format::Xml),
            ("text/csv; header=present", Format::Csv(super::super::csv::Csv::default())),
            ("application/x-ndjson", Format::Ndjson),
            ("application/jsonl", Format::Ndjson),
            ("multipart/form-data; boundary=x", Format::Multipart),
            ("application/secevent+jwt", Format::Jwt),
            ("", Format::Text),
            ("text/plain", Format::Text),
        ] {
            assert_eq!(ContentType::parse(header).format(|| false), Ok(expected), "{header}");
        }
        assert_eq!(ContentType::parse("text/plain").format(|| true), Ok(Format::Json));
        assert!(ContentType::parse("image/png").format(|| true).expect_err("unread").contains("image/png"));
    }

    #[test]
    fn parameters_are_read_with_and_without_quotes() {
        let read = ContentType::parse(r#"multipart/form-data; Boundary="a;b\"c"; charset = UTF-8 ;x"#);
        assert_eq!(read.parameter("boundary"), Some("a;b\"c"));
        assert_eq!(read.parameter("charset"), Some("UTF-8"));
        assert_eq!(ContentType::parse(r#"a/b; f="C:\x\"#).parameter("f"), Some(r"C:\x\"));
    }

    proptest! {
        #[test]
        fn any_header_is_read(header in any::<String>(), signs in "[;=\"\\\\ a-c/]{0,40}") {
            ContentType::parse(&header);
            ContentType::parse(&signs);
        }
    }
}
