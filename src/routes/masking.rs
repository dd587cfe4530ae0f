//! What of a request may be seen: what is secret in it, the mask for one delivery, and the view of its request that is stored
//! beside the sealed one.

use serde_json::{Value as Json, json};

use super::credentials;
use super::file::FileOptions;
use super::handshake::Handshakes;
use super::source::Source;
use crate::auth::scheme::Auth;
use crate::auth::secret::{SecretSource, Values};
use crate::expr::reads::Reads;
use crate::expr::template::Engine;
use crate::model::delivery::Request;
use crate::model::event::EventDocument;
use crate::model::integration::Integration;
use crate::secret::{MASK, Mask};
use crate::steps::admission::{Received, Route};
use crate::steps::forward::Forward;
use crate::steps::integration::IntegrationRule;

/// Headers that are secret whoever sends them.
const SECRET_HEADERS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x_api_key", "set_cookie"];

/// The most secret values of one request that are looked for everywhere. A list of thousands (a CSV with a column of passwords)
/// would make that search take minutes; its whole body is covered instead.
const MOST_SEARCHED: usize = 100;

impl Source {
    /// Covers what the operator and the integration hold and what this request brought along, wherever it turns up.
    pub fn mask_for(&self, document: &EventDocument, integration: Option<&Integration>) -> Mask {
        let mut mask = self.mask.clone();
        if let Some(integration) = integration {
            integration.secrets.values().for_each(|secret| mask.cover_value(secret.expose()));
            mask.cover_value(integration.endpoint.expose());
        }
        let mut left = MOST_SEARCHED;
        for name in SECRET_HEADERS {
            for block in ["headers", "headers_all"] {
                cover_place(document, vec![block.to_owned(), name.to_owned()], &mut mask, &mut left);
            }
        }
        let mut left = MOST_SEARCHED;
        for place in &self.secret_places {
            cover_place(document, place.clone(), &mut mask, &mut left);
        }
        if left == 0 {
            mask.cover_place(vec!["body".to_owned()]);
        }
        mask
    }

    /// The request without its secrets, as JSON text. A body in which secrets could not be found is not shown at all.
    pub fn masked_view(&self, request: &Request, received: &Received, mask: &Mask) -> String {
        let value = |name: &str| received.document.get(name).map_or(Json::Null, |value| Json::clone(value));
        let body = match &received.undecoded {
            Some(_) => json!(format!("{MASK} {} bytes that could not be decoded", request.body.len())),
            None => value("body"),
        };
        // under the names that the event document has, so that the mask finds its places
        let document = json!({ "query_all": value("query_all"), "headers_all": value("headers_all"), "body": body });
        let mut masked = mask.document(&document);
        let mut part = |name: &str| masked.get_mut(name).map_or(Json::Null, Json::take);
        let (query, headers, body) = (part("query_all"), part("headers_all"), part("body"));
        json!({ "method": request.method, "path": mask.text(&request.path), "query": query, "headers": headers, "body": body })
            .to_string()
    }
}

/// What is secret: what the operator holds, wherever it turns up, and the places that auth, fields and `payload.secret` name.
pub(super) fn secrecy(
    (auth, handshakes, routes): (&Auth, &Handshakes, &[Route]),
    integration: &IntegrationRule,
    declared: &[Vec<String>],
    secrets: &[(String, Values)],
    options: &FileOptions,
    engine: &Engine,
) -> (Mask, Vec<Vec<String>>) {
    let mut mask = Mask::default();
    let inline = auth.leaves().into_iter().filter_map(Auth::secret).flat_map(SecretSource::declared);
    let signs = routes.iter().flat_map(|route| &route.forwards).filter_map(Forward::sign);
    let inline = inline.chain(signs.flat_map(|scheme| scheme.secret().declared()));
    secrets.iter().flat_map(|(_, values)| values).chain(inline).for_each(|secret| mask.cover_value(secret.expose()));
    let mut reads = Reads::default();
    auth.add_secret_places(engine, &mut reads);
    handshakes.cover(engine, &mut mask, &mut reads);
    integration.add_secret_places(engine, &mut reads);
    credentials::places(options, engine).into_iter().for_each(|place| reads.add(place));
    let mut places: Vec<Vec<String>> = declared.to_vec();
    for place in reads.places() {
        places.push(place.to_vec());
        // of a repeated query parameter or header every value counts
        if let [block @ ("query" | "headers"), name, ..] = place.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            places.push(vec![format!("{block}_all"), (*name).to_owned()]);
        }
    }
    (mask, places)
}

fn cover_place(document: &EventDocument, place: Vec<String>, mask: &mut Mask, left: &mut usize) {
    if let Some((first, rest)) = place.split_first()
        && let Some(value) = document.get(first)
    {
        cover_texts_at(value, rest, mask, left);
    }
    mask.cover_place(place);
}

/// Covers the texts at a place, in every item of a list on the way; what is no object on the way is covered itself, because an
/// expression may do more with a text than name its fields.
fn cover_texts_at(value: &Json, place: &[String], mask: &mut Mask, left: &mut usize) {
    match (value, place) {
        (Json::Object(fields), [first, rest @ ..]) => {
            fields.get(first).into_iter().for_each(|field| cover_texts_at(field, rest, mask, left));
        }
        (Json::Array(items), [first, rest @ ..]) => match first.parse::<usize>() {
            Ok(index) => items.get(index).into_iter().for_each(|item| cover_texts_at(item, rest, mask, left)),
            Err(_) => items.iter().for_each(|item| cover_texts_at(item, place, mask, left)),
        },
        (value, _) => cover_texts(value, mask, left),
    }
}

fn cover_texts(value: &Json, mask: &mut Mask, left: &mut usize) {
    let mut cover = |text: &str| {
        if *left > 0 {
            *left -= 1;
            mask.cover_value(text);
        }
    };
    match value {
        Json::String(text) => cover(text),
        Json::Number(number) => cover(&number.to_string()),
        Json::Array(items) => items.iter().for_each(|item| cover_texts(item, mask, left)),
        Json::Object(fields) => fields.values().for_each(|field| cover_texts(field, mask, left)),
        Json::Null | Json::Bool(_) => {}
    }
}
