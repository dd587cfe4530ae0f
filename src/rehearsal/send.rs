//! A webhook as a sender would make it, with the credentials that its source asks for.

use std::net::IpAddr;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value as Json};

use super::made_up;
use crate::auth::jwt;
use crate::auth::scheme::Auth;
use crate::auth::secret::SecretSource;
use crate::auth::signature::scheme::Scheme;
use crate::auth::signature::sign::Signing;
use crate::expr::scope::SecretValues;
use crate::model::delivery::Request;
use crate::routes::source::Source;
use crate::routes::test_file::AuthBreak;

/// What a path cannot hold as it is.
const NOT_IN_PATHS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'?').add(b'#').add(b'`').add(b'{').add(b'}');

/// A key that we never issued; no secret of a test is equal to it either.
const WRONG: &str = "htk_wrong";

/// A request that is to be sent.
#[derive(Clone, Debug, Default)]
pub struct WebhookRequest {
    /// `POST`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Not yet encoded.
    pub query: Vec<(String, String)>,
    /// Names as on the wire.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: WebhookBody,
    /// The sender's address, where one is made up.
    pub client: Option<IpAddr>,
}

/// A body that is to be sent.
#[derive(Clone, Debug, Default)]
pub enum WebhookBody {
    /// None.
    #[default]
    Empty,
    /// JSON, into which a credential can be put.
    Json(Json),
    /// As it is.
    Text(String),
}

/// What a request gets so that it passes, or does not.
#[derive(Clone, Debug)]
pub enum Credential {
    /// This value at this place of the event document.
    Value(Vec<String>, String),
    /// A fresh API key at this place.
    ApiKey(Vec<String>),
    /// The endpoint id of a fresh integration at this place.
    Endpoint(Vec<String>),
    /// A token with the claims of the test, signed with this secret.
    Claims(Box<jwt::Scheme>, String),
    /// This header.
    Header(&'static str, String),
    /// This address of the sender.
    From(IpAddr),
    /// A signature over all the rest, with these fields of the integration.
    Signature(Box<Scheme>, Signing, SecretValues),
}

/// The credentials that `auth` asks for, which is the source's own or that of one of its handshakes, or what breaks them; `given` are fields of the integration that the test names. An error
/// says why they cannot be added.
pub fn credentials_of(
    source: &Source,
    auth: &Auth,
    broken: Option<AuthBreak>,
    given: &[(String, String)],
) -> Result<Vec<Credential>, String> {
    if broken == Some(AuthBreak::Stale) && !auth.leaves().into_iter().any(grows_old) {
        return Err("it has no signature with a `tolerance`, so no request is too old".to_owned());
    }
    // that it is for an integration is no credential, unless its id is
    let is_credential =
        |place: &Vec<String>| source.auth.leaves().into_iter().any(|leaf| leaf.endpoint_place().as_ref() == Some(place));
    let named = source.integration().endpoint_place().filter(|place| !is_credential(place));
    let mut credentials: Vec<Credential> = named.map(Credential::Endpoint).into_iter().collect();
    if broken != Some(AuthBreak::None) {
        credentials.extend(credentials_for(auth, broken, given)?);
    }
    Ok(credentials)
}

/// How a request is verified: by the scheme of the handshake that it is, else by the source's. Says whether it is the handshake's.
pub fn scheme_for<'a>(source: &'a Source, request: &WebhookRequest) -> (&'a Auth, bool) {
    let arriving = request.arriving();
    let params = source.receive.path_parameters(&arriving.path).unwrap_or_default();
    let handshake = source.handshakes.find(&arriving, &params);
    match handshake.and_then(|(_, handshake, _)| handshake.auth.as_ref()) {
        Some((scheme, _)) => (scheme, true),
        None => (&source.auth, false),
    }
}

fn grows_old(auth: &Auth) -> bool {
    matches!(auth, Auth::Signature(scheme) if scheme.has_tolerance())
}

fn signature_for(scheme: &Scheme, broken: Option<AuthBreak>, given: &[(String, String)]) -> Credential {
    let signing = match broken {
        Some(AuthBreak::Stale) if scheme.has_tolerance() => Signing::Stale,
        Some(AuthBreak::Wrong | AuthBreak::None) => Signing::Wrong,
        Some(AuthBreak::Stale) | None => Signing::Right,
    };
    let field = match scheme.secret() {
        SecretSource::Field(name) => Some((name.clone(), made_up::value_of(name, given).into())),
        SecretSource::Declared(_) => None,
    };
    Credential::Signature(Box::new(scheme.clone()), signing, field.into_iter().collect())
}

fn credentials_for(auth: &Auth, all: Option<AuthBreak>, given: &[(String, String)]) -> Result<Vec<Credential>, String> {
    // only signatures can be too old
    let broken = all.filter(|broken| *broken != AuthBreak::Stale);
    let nowhere = || "its `auth` does not look at one place of the request".to_owned();
    let secret = |scheme: &Auth| {
        let value = scheme.secret().filter(|_| broken.is_none()).and_then(|secret| match secret {
            SecretSource::Declared(values) => values.first().map(|value| value.expose().to_owned()),
            SecretSource::Field(name) => Some(made_up::value_of(name, given)),
        });
        value.unwrap_or_else(|| WRONG.to_owned())
    };
    Ok(match auth {
        Auth::None | Auth::Check(_) => Vec::new(),
        Auth::Signature(scheme) => vec![signature_for(scheme, all, given)],
        Auth::ApiKey(scheme) => {
            let place = scheme.place().ok_or_else(nowhere)?;
            vec![if broken.is_some() { Credential::Value(place, WRONG.to_owned()) } else { Credential::ApiKey(place) }]
        }
        Auth::Integration(scheme) => {
            let place = scheme.place().ok_or_else(nowhere)?;
            vec![if broken.is_some() { Credential::Value(place, WRONG.to_owned()) } else { Credential::Endpoint(place) }]
        }
        Auth::Token(scheme) => {
            let (place, prefix) = scheme.place();
            vec![Credential::Value(place.ok_or_else(nowhere)?, format!("{prefix}{}", secret(auth)))]
        }
        Auth::Jwt(scheme) => vec![Credential::Claims(Box::new(scheme.clone()), secret(auth))],
        Auth::Basic(scheme) => vec![Credential::Header("authorization", scheme.header(&secret(auth)))],
        // nobody knows where a request of a test comes from, unless it is said
        Auth::Ip(scheme) => scheme.example().filter(|_| broken.is_none()).map(Credential::From).into_iter().collect(),
        Auth::Any(schemes) => match schemes.first() {
            Some(first) => credentials_for(first, all, given)?,
            None => Vec::new(),
        },
        Auth::All(schemes) => {
            let each = schemes.iter().map(|scheme| credentials_for(scheme, all, given));
            each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
    })
}

impl WebhookRequest {
    /// Puts a credential where a source looks for it, in place of what is there.
    pub fn put(&mut self, place: &[String], value: &str) -> Result<(), String> {
        match place {
            [block, name] if block == "params" => {
                let segment = format!("/:{name}");
                let has_place = self.path.contains(&segment);
                self.path = self.path.replace(&segment, &format!("/{value}"));
                if has_place { Ok(()) } else { Err(format!("the path has no place for `:{name}`")) }
            }
            [block, name] if block.starts_with("query") => {
                self.query.retain(|(known, _)| known != name);
                self.query.push((name.clone(), value.to_owned()));
                Ok(())
            }
            [block, name] if block.starts_with("headers") => {
                let name = name.replace('_', "-");
                self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
                self.headers.push((name, value.to_owned()));
                Ok(())
            }
            [block, path @ ..] if block == "body" => {
                let has_place = match &mut self.body {
                    WebhookBody::Json(body) => put_into(body, path, value),
                    WebhookBody::Empty | WebhookBody::Text(_) => false,
                };
                if has_place { Ok(()) } else { Err(format!("the body has no place for `{}`", path.join("."))) }
            }
            place => Err(format!("nothing can be put at `$.{}`", place.join("."))),
        }
    }

    /// Takes out what stands at a place of the query, the headers or the body.
    pub fn take_out(&mut self, place: &[String]) {
        match place {
            [block, name] if block.starts_with("query") => self.query.retain(|(known, _)| known != name),
            [block, name] if block.starts_with("headers") => {
                let name = name.replace('_', "-");
                self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            }
            [block, path @ .., last] if block == "body" => {
                let WebhookBody::Json(body) = &mut self.body else { return };
                let parent = path.iter().try_fold(body, |value, name| value.get_mut(name.as_str()));
                if let Some(fields) = parent.and_then(Json::as_object_mut) {
                    fields.remove(last);
                }
            }
            _ => {}
        }
    }

    /// Path and query as in the request's first line.
    pub fn target(&self) -> String {
        let path = utf8_percent_encode(&self.path, NOT_IN_PATHS);
        if self.query.is_empty() {
            return path.to_string();
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{path}?{query}")
    }

    /// The headers, with the content type that goes without saying.
    pub fn all_headers(&self) -> Vec<(String, String)> {
        let mut headers = self.headers.clone();
        let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if matches!(self.body, WebhookBody::Json(_)) && !has_type {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        headers
    }

    /// As it will be seen when it arrives.
    pub fn arriving(&self) -> Request {
        let target = self.target();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let headers = self.all_headers().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), Bytes::from(value)));
        Request {
            method: self.method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.collect(),
            body: Bytes::from(self.bytes()),
            peer: self.client,
        }
    }

    /// The body's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.body {
            WebhookBody::Empty => Vec::new(),
            WebhookBody::Json(body) => body.to_string().into_bytes(),
            WebhookBody::Text(text) => text.clone().into_bytes(),
        }
    }
}

/// Puts a text at a path of names, making the objects on the way; says whether there was room for it.
fn put_into(body: &mut Json, path: &[String], value: &str) -> bool {
    let [first, rest @ ..] = path else {
        // what was a number stays one
        *body = match (&*body, value.parse::<i64>()) {
            (Json::Number(_), Ok(number)) => number.into(),
            _ => Json::String(value.to_owned()),
        };
        return true;
    };
    match body {
        Json::Array(items) => {
            let item = first.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            item.is_some_and(|item| put_into(item, rest, value))
        }
        Json::Object(fields) => put_into(fields.entry(first.clone()).or_insert(Json::Object(Map::new())), rest, value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_credential_takes_the_place_of_what_was_written() {
        let mut request = WebhookRequest {
            path: "/in/a b".into(),
            query: vec![("key".into(), "old".into()), ("x".into(), "æ&".into())],
            headers: vec![("X-Token".into(), "old".into())],
            body: WebhookBody::Json(json!({ "n": 1 })),
            ..WebhookRequest::default()
        };
        for at in ["query.key", "headers.x_token", "body.auth.token"] {
            assert_eq!(request.put(&place(at), "new"), Ok(()), "{at}");
        }
        assert_eq!(request.target(), "/in/a%20b?x=%C3%A6%26&key=new");
        assert_eq!(request.headers, [("x-token".to_owned(), "new".to_owned())]);
        assert_eq!(request.bytes(), br#"{"n":1,"auth":{"token":"new"}}"#);
        assert!(request.put(&place("body.n.token"), "new").is_err());
        assert!(request.put(&place("params.key"), "new").is_err());
        for at in ["query.key", "headers.x_token", "body.auth.token", "body.nope.token"] {
            request.take_out(&place(at));
        }
        assert_eq!((request.target(), request.headers.len()), ("/in/a%20b?x=%C3%A6%26".to_owned(), 0));
        assert_eq!(request.bytes(), br#"{"n":1,"auth":{}}"#);
        request.path = "/in/:key/x".into();
        assert_eq!(request.put(&place("params.key"), "new"), Ok(()));
        assert_eq!(request.path, "/in/new/x");
    }
}
