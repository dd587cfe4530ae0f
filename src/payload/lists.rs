//! What is a list however often it occurs. In XML and forms one line of an order looks like a text or an object, and two look
//! like a list; the file says which places are lists, and here they become so.

use serde_json::{Map, Value as Json, json};

/// Makes the value at `place` (names below the body, in every item of a list on the way) a list: one value becomes a list of
/// one, none an empty list. A null counts as none; where the object around it is missing, nothing is made up.
pub(super) fn make_list(value: &mut Json, place: &[String]) {
    match (value, place) {
        (Json::Array(_), []) => {}
        (value, []) => *value = Json::Array(if value.is_null() { vec![] } else { vec![value.take()] }),
        (Json::Array(items), place) => items.iter_mut().for_each(|item| make_list(item, place)),
        (Json::Object(fields), [last]) => make_list(fields.entry(last).or_insert(json!([])), &[]),
        (Json::Object(fields), [first, rest @ ..]) => fields.get_mut(first).into_iter().for_each(|field| make_list(field, rest)),
        // an XML element without content
        (value @ Json::String(_), place) if value.as_str().is_some_and(|text| text.trim().is_empty()) => {
            *value = Json::Object(Map::new());
            make_list(value, place);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(body: &str, place: &[&str]) -> String {
        let mut value = serde_json::from_str(body).expect("json");
        make_list(&mut value, &place.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        value.to_string()
    }

    #[test]
    fn one_value_is_a_list_of_one_and_none_is_an_empty_list() {
        let place = ["order", "line"];
        assert_eq!(made(r#"{"order":{"line":[1,2]}}"#, &place), r#"{"order":{"line":[1,2]}}"#);
        assert_eq!(made(r#"{"order":{"line":{"n":1}}}"#, &place), r#"{"order":{"line":[{"n":1}]}}"#);
        assert_eq!(made(r#"{"order":{}}"#, &place), r#"{"order":{"line":[]}}"#);
        assert_eq!(made(r#"{"order":"\n "}"#, &place), r#"{"order":{"line":[]}}"#);
        assert_eq!(made(r#"{"order":{"line":null}}"#, &place), r#"{"order":{"line":[]}}"#);
        assert_eq!(made(r#"{"order":[{"line":1},{}]}"#, &place), r#"{"order":[{"line":[1]},{"line":[]}]}"#);
        assert_eq!(made(r#"{"other":1}"#, &place), r#"{"other":1}"#);
        assert_eq!(made(r#"{"order":"text"}"#, &place), r#"{"order":"text"}"#);
        assert_eq!(made(r#"{"a":1}"#, &[]), r#"[{"a":1}]"#);
    }
}
