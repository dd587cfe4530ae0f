//! Form bodies: `name=value&name=value`, percent-encoded, `+` for a space.

use serde_json::{Map, Value as Json};

use super::charset::Charset;
use super::limits::Budget;

/// Reads a body into an object of texts.
///
/// A name that occurs once is a text, one that occurs several times the list of its texts (`lists` makes it a list always).
/// `name=` and `name` without `=` are the empty text. Empty pieces (`a=1&&b=2`) count for nothing, and a `%` without two hex
/// digits behind it is itself. Names are taken as they are: PHP's `item[0][id]` is the name `item[0][id]`.
pub(super) fn decode(bytes: &[u8], charset: Charset, mut budget: Budget) -> Result<Json, String> {
    let (charset, bytes) = charset.with_ascii(bytes)?;
    let mut fields = Map::new();
    let bytes = trim_line_end(&bytes);
    for (pair, number) in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).zip(1usize..) {
        budget.take()?;
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        let part = |part: &[u8]| unescape(part, charset).map_err(|reason| format!("field {number} of the body: {reason}"));
        add(&mut fields, part(name)?, Json::String(part(value)?));
    }
    Ok(Json::Object(fields))
}

/// Adds a field; of one that is there already it makes a list. Values that are lists themselves cannot be told apart from that.
pub(super) fn add(fields: &mut Map<String, Json>, name: String, value: Json) {
    match fields.get_mut(&name) {
        None => drop(fields.insert(name, value)),
        Some(Json::Array(values)) => values.push(value),
        Some(first) => *first = Json::Array(vec![first.take(), value]),
    }
}

/// Percent-encoding and `+` undone.
pub(super) fn unescape(part: &[u8], charset: Charset) -> Result<String, String> {
    let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let bytes: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    charset.text_of_part(&bytes).map(std::borrow::Cow::into_owned)
}

/// Without the line break that templates and files leave at the end.
pub(super) fn trim_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(body: &[u8], charset: &str) -> Result<String, String> {
        decode(body, Charset::named(charset).expect("known"), Budget::verified()).map(|json| json.to_string())
    }

    #[test]
    fn fields_are_texts_and_repeated_ones_lists() {
        for (body, expected) in [
            ("old=1001&new=1002", r#"{"old":"1001","new":"1002"}"#),
            ("a=1&b=2&a=3&a=", r#"{"a":["1","3",""],"b":"2"}"#),
            ("name=J%C3%B8rgen+S%26S&empty=&bare&&=x\r\n", r#"{"name":"Jørgen S&S","empty":"","bare":"","":"x"}"#),
            ("p=100%&q=%zz%4", r#"{"p":"100%","q":"%zz%4"}"#),
            ("a=b=c", r#"{"a":"b=c"}"#),
            ("\u{FEFF}number=7", r#"{"number":"7"}"#),
        ] {
            assert_eq!(decoded(body.as_bytes(), "utf-8").as_deref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn escapes_are_bytes_of_the_charset() {
        assert_eq!(decoded(b"by=%C6r\xF8", "iso-8859-1").as_deref(), Ok(r#"{"by":"Ærø"}"#));
        let reason = decoded(b"a=1&by=hunter%C6", "utf-8").expect_err("latin");
        assert!(reason.starts_with("field 2 of the body: byte 6") && !reason.contains("hunter"), "{reason}");
        assert_eq!(decoded(b"a\0=\0\xF8\0", "utf-16").as_deref(), Ok(r#"{"a":"ø"}"#));
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(fields in prop::collection::btree_map(".{1,8}", ".{0,8}", 0..8)) {
            let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
            let expected: Map<String, Json> = fields.into_iter().map(|(name, value)| (name, Json::String(value))).collect();
            prop_assert_eq!(decode(body.as_bytes(), Charset::UTF_8, Budget::verified()), Ok(Json::Object(expected)));
        }

        #[test]
        fn any_bytes_are_an_object_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..200), signs in "[a%&=+\\nF8]{0,40}") {
            let _ = decode(&bytes, Charset::UTF_8, Budget::verified());
            prop_assert!(decode(signs.as_bytes(), Charset::named("latin1").expect("known"), Budget::verified()).is_ok());
        }
    }
}
