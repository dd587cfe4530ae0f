//! A test's request from a captured one: what the capture says, but for the credentials, which are those of tests.

use percent_encoding::percent_decode_str;

use super::send::{WebhookBody, WebhookRequest};
use crate::auth::scheme::Auth;
use crate::expr::reads::Reads;
use crate::expr::template::Engine;
use crate::routes::receive::{Receive, Segment};
use crate::routes::saved;
use crate::routes::source::Source;

/// Headers that belong to the connection it was captured on.
const OF_THE_WIRE: [&str; 5] = ["connection", "content-length", "expect", "host", "transfer-encoding"];

/// Whether a file is a captured request, not a body alone.
pub(super) fn is_one(path: &str) -> bool {
    path.ends_with(".http")
}

/// Reads one. The endpoint id of an integration makes room for that of the test, and what verifies the sender is taken out.
pub(super) fn read(text: &str, source: &Source, engine: &Engine) -> Result<WebhookRequest, String> {
    let captured = saved::read(text, &source.receive)?;
    let header = |(name, value): (String, bytes::Bytes)| (name, String::from_utf8_lossy(&value).into_owned());
    let body = String::from_utf8_lossy(&captured.body).into_owned();
    let mut request = WebhookRequest {
        path: path_of(&captured.path, source),
        method: captured.method,
        query: form_urlencoded::parse(captured.query.as_bytes()).into_owned().collect(),
        headers: captured.headers.into_iter().map(header).filter(|(name, _)| !OF_THE_WIRE.contains(&name.as_str())).collect(),
        body: match serde_json::from_str(&body) {
            Ok(json) => WebhookBody::Json(json),
            Err(_) if body.is_empty() => WebhookBody::Empty,
            Err(_) => WebhookBody::Text(body),
        },
        client: None,
    };
    let mut credentials = Reads::default();
    source.auth.add_secret_places(engine, &mut credentials);
    credentials.places().for_each(|place| request.take_out(place));
    request.take_out(&["headers".to_owned(), "authorization".to_owned()]);
    Ok(request)
}

fn path_of(captured: &str, source: &Source) -> String {
    let endpoint = source.integration().endpoint_place();
    let endpoint = endpoint.or_else(|| source.auth.leaves().into_iter().find_map(Auth::endpoint_place));
    let Receive { path, .. } = &source.receive;
    let Some(parameters) = source.receive.path_parameters(captured) else {
        return percent_decode_str(captured).decode_utf8_lossy().into_owned();
    };
    let segments = path.iter().map(|segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Parameter(name) if endpoint.as_ref().is_some_and(|place| place[1..] == [name.clone()]) => format!("/:{name}"),
        Segment::Parameter(name) => {
            let value = parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            format!("/{}", value.unwrap_or_default())
        }
    });
    segments.collect()
}
