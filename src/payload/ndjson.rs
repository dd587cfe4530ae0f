//! NDJSON (JSON lines): one JSON value a line makes a list. Blank lines count for nothing.

use serde_json::Value as Json;

use super::json::{fault, take_values};
use super::limits::Budget;

/// Reads a body. One line that is not JSON fails the whole of it, naming the line: nothing of a body that broke off is kept by halves.
pub(super) fn decode(text: &str, mut budget: Budget) -> Result<Json, String> {
    let lines = text.lines().zip(1usize..).filter(|(line, _)| !line.trim().is_empty());
    let values = lines.map(|(line, number)| {
        take_values(line, &mut budget).map_err(|reason| format!("the body is too much to be read: {reason}"))?;
        serde_json::from_str(line)
            .map_err(|error| format!("line {number} of the body is not JSON: {} at column {}", fault(&error), error.column()))
    });
    values.collect::<Result<Vec<Json>, String>>().map(Json::Array)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_line_is_an_item() {
        assert_eq!(
            decode("{\"a\":1.50}\r\n\n[2]\n3", Budget::verified()).map(|list| list.to_string()),
            Ok(r#"[{"a":1.50},[2],3]"#.to_owned())
        );
        assert_eq!(decode("\n \n", Budget::verified()), Ok(Json::Array(vec![])));
        let reason = decode("{}\n\n{\"key\": hunter2}", Budget::verified()).expect_err("broken");
        assert!(reason.contains("line 3") && !reason.contains("hunter2"), "{reason}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_or_a_reason(text in any::<String>(), signs in "[\\[\\]{}:,\"0-9\\n]{0,60}") {
            for text in [text, signs] {
                if let Ok(list) = decode(&text, Budget::verified()) {
                    prop_assert!(list.is_array());
                }
            }
        }
    }
}
