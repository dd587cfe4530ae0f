//! The request as the first keys of the event document: method, path, query, params, headers.

use serde_json::{Map, Value as Json, json};

use crate::model::delivery::Request;
use crate::model::event::EventDocument;

/// The names it adds.
pub const NAMES: [&str; 7] = ["method", "path", "query", "query_all", "params", "headers", "headers_all"];

/// The document of a request. A header name is lower case with `_`; one that has `_` on the wire is left out, so that it cannot
/// pose as another.
pub fn document(request: &Request, params: &[(String, String)]) -> EventDocument {
    let (query, query_all) = first_and_all(
        form_urlencoded::parse(request.query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned())),
    );
    let readable = request.headers.iter().filter(|(name, _)| !name.contains('_'));
    let named = readable.map(|(name, value)| (name.replace('-', "_"), String::from_utf8_lossy(value).into_owned()));
    let (headers, headers_all) = first_and_all(named);
    let mut document = EventDocument::default();
    document.set("method", json!(request.method));
    document.set("path", json!(request.path));
    document.set("query", query);
    document.set("query_all", query_all);
    document.set("params", params.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Json>());
    document.set("headers", headers);
    document.set("headers_all", headers_all);
    document
}

fn first_and_all(pairs: impl Iterator<Item = (String, String)>) -> (Json, Json) {
    let mut first = Map::new();
    let mut all: Map<String, Json> = Map::new();
    for (name, value) in pairs {
        if let Json::Array(values) = all.entry(name.clone()).or_insert_with(|| json!([])) {
            values.push(json!(value));
        }
        first.entry(name).or_insert_with(|| json!(value));
    }
    (Json::Object(first), Json::Object(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_keep_the_first_and_all() {
        let request = Request {
            method: "POST".into(),
            path: "/".into(),
            query: "a=1&a=2&b=%C3%B8".into(),
            headers: vec![("x-topic".into(), "t".into()), ("x_topic".into(), "posing".into())],
            body: "".into(),
            peer: None,
        };
        let document = document(&request, &[]);
        assert_eq!(document.get("query").map(|query| query.to_string()).as_deref(), Some(r#"{"a":"1","b":"ø"}"#));
        assert_eq!(document.get("query_all").map(|query| query["a"].to_string()).as_deref(), Some(r#"["1","2"]"#));
        assert_eq!(document.get("headers_all").map(|headers| headers["x_topic"].to_string()).as_deref(), Some(r#"["t"]"#));
    }
}
