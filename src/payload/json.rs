//! JSON bodies. Numbers keep their digits; what is not JSON is refused by place, never by content.

use serde_json::Value as Json;
use serde_json::error::Category;

use super::limits::Budget;

/// Reads a text.
pub fn decode(text: &str) -> Result<Json, String> {
    decode_within(text, Budget::verified())
}

/// Reads a body.
pub(super) fn decode_within(text: &str, mut budget: Budget) -> Result<Json, String> {
    // no value is shorter than a byte
    if text.len() > budget.left() {
        take_values(text, &mut budget).map_err(|reason| format!("the body is too much to be read: {reason}"))?;
    }
    serde_json::from_str(text)
        .map_err(|error| format!("the body is not JSON: {} at line {}, column {}", fault(&error), error.line(), error.column()))
}

/// Takes the values that a text has, as far as it is JSON: itself, and what stands in its lists and objects.
pub(super) fn take_values(text: &str, budget: &mut Budget) -> Result<(), String> {
    let mut bytes = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let mut values = 1;
    let (mut is_text, mut opened) = (false, false);
    while let Some(byte) = bytes.next() {
        values += usize::from(std::mem::take(&mut opened) && !matches!(byte, b']' | b'}'));
        match byte {
            b'\\' if is_text => drop(bytes.next()),
            b'"' => is_text = !is_text,
            b',' if !is_text => values += 1,
            b'[' | b'{' if !is_text => opened = true,
            _ => {}
        }
    }
    budget.take_all(values)
}

/// What is wrong, without what stands there: it may be a secret.
pub(super) fn fault(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        Category::Eof => "it ends too early",
        Category::Data => "it has a value that cannot be held",
        Category::Syntax | Category::Io => "syntax error",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_survive_and_content_is_not_repeated() {
        assert_eq!(decode(r#"{"a":1.50,"b":9007199254740993}"#).expect("json").to_string(), r#"{"a":1.50,"b":9007199254740993}"#);
        let reason = decode(r#"{"key":"hunter2" oops"#).expect_err("broken");
        assert!(reason.contains("line 1") && !reason.contains("hunter2"), "{reason}");
        assert!(decode(&"[".repeat(100_000)).is_err());
    }

    fn values_in(value: &Json) -> usize {
        match value {
            Json::Array(items) => 1 + items.iter().map(values_in).sum::<usize>(),
            Json::Object(fields) => 1 + fields.values().map(values_in).sum::<usize>(),
            _ => 1,
        }
    }

    #[test]
    fn more_values_than_a_body_may_have_are_refused() {
        let list = |count: usize| format!("[{}]", vec!["[ ]"; count].join(","));
        assert!(decode_within(&list(99_999), Budget::unverified()).is_ok());
        let reason = decode_within(&list(100_000), Budget::unverified()).expect_err("too many");
        assert_eq!(reason, "the body is too much to be read: it has more than 100000 values");
        assert!(decode(&list(100_000)).is_ok(), "a verified sender may send more");
    }

    proptest! {
        #[test]
        fn values_are_counted_as_they_are_read(text in "[\\[\\]{},:1\" \\\\]{0,24}") {
            if let Ok(value) = serde_json::from_str::<Json>(&text) {
                let counted = (1..).find(|most| take_values(&text, &mut Budget::of(*most)).is_ok());
                // of a name that stands twice only the last value is kept
                prop_assert!(counted >= Some(values_in(&value)), "{text}");
            }
        }

        #[test]
        fn any_text_is_a_value_or_a_reason(text in any::<String>(), signs in "[\\[\\]{}:,\"\\\\u0-9eE.+-]{0,60}") {
            let _ = decode(&text);
            let _ = decode(&signs);
        }
    }
}
