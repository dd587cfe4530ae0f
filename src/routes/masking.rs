//! What of a request may be seen: the mask for one delivery, and the view of its request that is stored beside the sealed one.

use serde_json::{Value as Json, json};

use super::source::Source;
use crate::expr::reads::value_at;
use crate::model::delivery::Request;
use crate::model::event::EventDocument;
use crate::payload;
use crate::secret::{MASK, Mask};

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
    pub fn masked_view(&self, request: &Request, params: &[(String, String)]) -> (Mask, String) {
        let mut document = payload::request::document(request, params);
        let decoded = self.admission.payload.decode(request);
        if let Ok(Some(body)) = &decoded {
            document.set("body", body.clone());
        }
        let mask = self.mask_for(&document);
        let mut view = mask.document(&json!({
            "method": request.method,
            "path": request.path,
            "query": document.get("query_all").map(|query| Json::clone(query)),
            "query_all": document.get("query_all").map(|query| Json::clone(query)),
            "headers": document.get("headers_all").map(|headers| Json::clone(headers)),
            "headers_all": document.get("headers_all").map(|headers| Json::clone(headers)),
            "body": document.get("body").map(|body| Json::clone(body)),
        }));
        if let Json::Object(fields) = &mut view {
            fields.remove("query_all");
            fields.remove("headers_all");
            if decoded.is_err() {
                fields.insert("body".to_owned(), json!(format!("{MASK} {} bytes that could not be decoded", request.body.len())));
            }
        }
        (mask, view.to_string())
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
