//! `{form_sorted}`: the fields of a form as some senders sign them, each name followed by its value, by name and then by value.

use std::collections::BTreeMap;

use crate::model::delivery::Request;

/// Whether the body is a form.
pub(super) fn is_form(request: &Request) -> bool {
    let kind = request.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The fields of a form, by the bytes of their names; the values of one name by their bytes, equal ones once. Of another body nothing.
pub(super) fn sorted(request: &Request, body: &[u8]) -> Vec<u8> {
    if !is_form(request) {
        return Vec::new();
    }
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        fields.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    let mut text = Vec::new();
    for (name, mut values) in fields {
        values.sort();
        values.dedup();
        for value in values {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(value.as_bytes());
        }
    }
    text
}
