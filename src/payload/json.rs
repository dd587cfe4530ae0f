//! JSON bodies. Numbers keep their digits; what is not JSON is refused by place, never by content.

use serde_json::Value as Json;

/// Reads a body. The reason names a line and a column, not what stands there: it may be a secret.
pub fn decode(body: &[u8]) -> Result<Json, String> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Data => "it has a value that cannot be held",
            _ => "syntax error",
        };
        format!("the body is not JSON: {what} at line {}, column {}", error.line(), error.column())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive_and_content_is_not_repeated() {
        assert_eq!(decode(b"\xEF\xBB\xBF{\"a\":1.50}").expect("json").to_string(), r#"{"a":1.50}"#);
        let reason = decode(br#"{"key":"hunter2" oops"#).expect_err("broken");
        assert!(reason.contains("line 1") && !reason.contains("hunter2"), "{reason}");
        assert!(decode(&b"[".repeat(100_000)).is_err());
    }
}
