//! What of a request may be seen: the mask for one delivery, and the view of its request that is stored beside the sealed one.

use serde_json::{Value as Json, json};

use super::source::Source;
use crate::expr::reads::value_at;
use crate::model::delivery::Request;
use crate::model::event::EventDocument;
use crate::secret::{MASK, Mask};
use crate::steps::admission::Received;

/// Headers that are secret whoever sends them.
const SECRET_HEADERS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x_api_key", "set_cookie"];

impl Source {
    /// Covers what the operator holds and what this request brought along, wherever it turns up.
    pub fn mask_for(&self, document: &EventDocument) -> Mask {
        let mut mask = self.mask.clone();
        for place in &self.secret_places {
            mask.cover_place(place.clone());
            if let Some(value) = value_at(document, place) {
                cover_texts(value, &mut mask);
            }
        }
        for name in SECRET_HEADERS {
            for block in ["headers", "headers_all"] {
                let place = vec![block.to_owned(), name.to_owned()];
                if let Some(value) = value_at(document, &place).filter(|value| !value.is_object()) {
                    cover_texts(value, &mut mask);
                }
                mask.cover_place(place);
            }
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

fn cover_texts(value: &Json, mask: &mut Mask) {
    match value {
        Json::String(text) => mask.cover_value(text),
        Json::Number(number) => mask.cover_value(&number.to_string()),
        Json::Array(items) => items.iter().for_each(|item| cover_texts(item, mask)),
        Json::Object(fields) => fields.values().for_each(|field| cover_texts(field, mask)),
        Json::Null | Json::Bool(_) => {}
    }
}
