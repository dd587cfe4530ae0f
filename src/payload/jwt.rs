//! JSON Web Tokens as bodies: reads what a compact JWS says. **It verifies nothing**: whoever sends can write any claims. Proving
//! the sender is `auth`'s business, which looks at the request's own bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

/// Reads a body into `{ "header": …, "claims": … }`.
///
/// The body is the compact token itself (`eyJ….eyJ….…`), or JSON around it: a text, or an object that has one such token
/// among its fields (Shipmondo's `{"data": "eyJ…"}`). Claims that are themselves a text of JSON are read with `from_json`.
pub fn decode(text: &str) -> Result<Json, String> {
    let text = text.trim();
    if !text.starts_with(['{', '"']) {
        return read(text);
    }
    match super::json::decode(text)? {
        Json::String(token) => read(token.trim()),
        Json::Object(fields) => {
            let mut tokens = fields.values().filter_map(Json::as_str).filter_map(|text| read(text).ok());
            match (tokens.next(), tokens.next()) {
                (Some(token), None) => Ok(token),
                (None, _) => {
                    Err("no field of the body is a signed token (three parts of base64url with dots between)".to_owned())
                }
                (Some(_), Some(_)) => Err("several fields of the body are tokens; expected one".to_owned()),
            }
        }
        _ => Err("the body is no token".to_owned()),
    }
}

fn read(token: &str) -> Result<Json, String> {
    let parts: Vec<&str> = token.splitn(6, '.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err(match parts.len() {
            5 => "the body is an encrypted token (five parts); expected a signed one (three)".to_owned(),
            found => format!("the body has {found} parts with dots between; a signed token has three"),
        });
    };
    let bytes = |part: &str, name: &str| {
        URL_SAFE_NO_PAD.decode(part).map_err(|_| format!("the {name} of the token is not base64url without padding"))
    };
    let part = |part: &str, name: &str| {
        serde_json::from_slice::<Json>(&bytes(part, name)?).map_err(|_| format!("the {name} of the token is not JSON"))
    };
    bytes(signature, "signature")?;
    let header = part(header, "header")?;
    if !header.is_object() {
        return Err("the header of the token is no JSON object".to_owned());
    }
    Ok(json!({ "header": header, "claims": part(claims, "claims part")? }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims), URL_SAFE_NO_PAD.encode("signature"))
    }

    #[test]
    fn claims_are_read_bare_or_inside_json() {
        let token = token(r#"{"alg":"HS256"}"#, r#"{"id":9007199254740993,"total":1.50}"#);
        let expected = r#"{"header":{"alg":"HS256"},"claims":{"id":9007199254740993,"total":1.50}}"#;
        for body in [
            token.clone(),
            format!(" {token}\n"),
            format!("\"{token}\""),
            format!(r#"{{"data":"{token}","version":"1.0","n":2}}"#),
        ] {
            assert_eq!(decode(&body).map(|json| json.to_string()).as_deref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for (body, reason) in [
            ("hunter2".to_owned(), "has 1 parts"),
            ("a.b.c.d.e".to_owned(), "encrypted"),
            ("=.e30.x".to_owned(), "the signature of the token is not base64url"),
            (token("[]", "{}"), "header of the token is no JSON object"),
            (token("{}", "hunter2"), "the claims part of the token is not JSON"),
            (r#"{"data":"hunter2"}"#.to_owned(), "no field of the body"),
            (format!(r#"{{"a":"{0}","b":"{0}"}}"#, token("{}", "{}")), "several fields"),
            ("{".to_owned(), "not JSON"),
        ] {
            let found = decode(&body).expect_err(&body);
            assert!(found.contains(reason) && !found.contains("hunter2"), "{found}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_a_reason(text in any::<String>(), signs in "[a-z0-9_.=-]{0,40}") {
            let _ = decode(&text);
            let _ = decode(&signs);
        }
    }
}
