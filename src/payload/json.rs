//! JSON bodies. Numbers keep their digits; what is not JSON is refused by place, never by content.

use serde_json::Value as Json;
use serde_json::error::Category;

/// Reads a body.
pub fn decode(text: &str) -> Result<Json, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("the body is not JSON: {} at line {}, column {}", fault(&error), error.line(), error.column()))
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

    proptest! {
        #[test]
        fn any_text_is_a_value_or_a_reason(text in any::<String>(), signs in "[\\[\\]{}:,\"\\\\u0-9eE.+-]{0,60}") {
            let _ = decode(&text);
            let _ = decode(&signs);
        }
    }
}
