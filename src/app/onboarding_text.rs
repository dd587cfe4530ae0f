//! What a customer is handed: the text of the source's file with this tenant's URL, body and fields filled in, or a plain list where
//! the file has none. Secrets are words in angle brackets in it; a key stands in it only when it has just been made.

use serde_json::{Map, Value as Json, json};

use super::onboarding::Address;
use crate::model::event::EventDocument;
use crate::model::integration::Integration;
use crate::routes::source::Source;
use crate::secret::Secret;
use crate::steps::integration::Field;

/// What stands where a key would that nobody can show any more.
const NO_KEY: &str = "<API key: shown only when it is created>";

/// Everything a text is made of.
pub(super) struct Handed<'a> {
    pub(super) source: &'a Source,
    pub(super) tenant: &'a str,
    pub(super) integration: Option<&'a Integration>,
    /// The key, if it was made just now.
    pub(super) key: Option<&'a Secret<String>>,
    pub(super) addresses: &'a [Address],
    /// `en`, `da`, `de`.
    pub(super) language: &'a str,
}

/// The text of the file, if it has one and it can be made.
pub(super) fn of_file(handed: &Handed<'_>) -> Option<String> {
    let mut document = document(handed);
    if let Some(Ok(body)) = handed.source.onboarding.body(&document) {
        document.set("body", json!(body));
    }
    match handed.source.onboarding.text(handed.language, &document)? {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::warn!(source = handed.source.name, error, "the onboarding text cannot be made");
            None
        }
    }
}

/// The text of the file, or else a list of what is needed.
pub(super) fn of_file_or_plain(handed: &Handed<'_>) -> String {
    of_file(handed).unwrap_or_else(|| plain(handed))
}

fn document(handed: &Handed<'_>) -> EventDocument {
    let mut document = EventDocument::default();
    let address = |address: &Address| json!({ "event": address.event, "method": address.method, "url": address.url, "header": address.header });
    let fields = handed.source.integration().fields.iter();
    let field: Map<String, Json> = fields.map(|field| (field.name.clone(), json!(value_of(field, handed)))).collect();
    let mut integration = Map::new();
    if let Some(one) = handed.integration {
        integration.extend(one.fields.iter().map(|(name, value)| (name.clone(), json!(value))));
        integration.insert("id".to_owned(), json!(one.id));
    }
    document.set("url", json!(handed.addresses.first().map(|address| &address.url)));
    document.set("addresses", Json::Array(handed.addresses.iter().map(address).collect()));
    document.set("key", json!(handed.key.map_or(NO_KEY, |key| key.expose().as_str())));
    document.set("field", Json::Object(field));
    document.set("integration", Json::Object(integration));
    document.set("tenant", json!(handed.tenant));
    document.set("lang", json!(handed.language));
    document
}

/// What is stored of an open field; of a secret, or where nothing is stored, its label in angle brackets.
fn value_of(field: &Field, handed: &Handed<'_>) -> String {
    let stored = handed.integration.filter(|_| !field.secret).and_then(|one| one.fields.get(&field.name));
    stored.cloned().unwrap_or_else(|| format!("<{}>", label(field, handed.language)))
}

/// What a field is called when it is asked for.
pub(super) fn label<'f>(field: &'f Field, language: &str) -> &'f str {
    field.label.as_ref().map(|label| label.in_language(language)).filter(|label| !label.is_empty()).unwrap_or(&field.name)
}

/// The words of the plain list, by language.
struct Words {
    address: &'static str,
    header: &'static str,
    body: &'static str,
    fields: &'static str,
    comes_along: &'static str,
    stored: &'static str,
    missing: &'static str,
    no_key: &'static str,
}

fn words(language: &str) -> Words {
    match language {
        "da" => Words {
            address: "Webhooken sendes til:",
            header: "med headeren",
            body: "med denne body:",
            fields: "Felter:",
            comes_along: "følger med webhooken",
            stored: "er gemt",
            missing: "mangler",
            no_key: "API-nøglen vises kun, når den oprettes; `hooktable keys rotate` udsteder en ny.",
        },
        "de" => Words {
            address: "Der Webhook geht an:",
            header: "mit dem Header",
            body: "mit diesem Body:",
            fields: "Felder:",
            comes_along: "kommt mit dem Webhook",
            stored: "ist gespeichert",
            missing: "fehlt",
            no_key: "Der API-Schlüssel wird nur gezeigt, wenn er ausgestellt wird; `hooktable keys rotate` stellt einen neuen aus.",
        },
        _ => Words {
            address: "The webhook goes to:",
            header: "with the header",
            body: "with this body:",
            fields: "Fields:",
            comes_along: "comes along with the webhook",
            stored: "is stored",
            missing: "is missing",
            no_key: "The API key is shown only when it is created; `hooktable keys rotate` issues a new one.",
        },
    }
}

fn plain(handed: &Handed<'_>) -> String {
    let words = words(handed.language);
    let mut lines = vec![format!("# {}: {}", handed.source.title, handed.tenant), String::new(), words.address.to_owned()];
    for address in handed.addresses {
        let event = address.event.as_ref().map_or_else(String::new, |event| format!("{event}: "));
        lines.extend([String::new(), format!("    {event}{} {}", address.method, address.url)]);
        lines.extend(address.header.iter().map(|header| format!("    {} {header}", words.header)));
        lines.extend(address.note.iter().map(|note| format!("    {note}")));
    }
    if let Some(Ok(body)) = handed.source.onboarding.body(&document(handed)) {
        lines.extend([String::new(), words.body.to_owned(), String::new(), format!("    {body}")]);
    }
    let fields = &handed.source.integration().fields;
    if !fields.is_empty() {
        lines.extend([String::new(), words.fields.to_owned(), String::new()]);
        lines.extend(fields.iter().map(|field| format!("- {}", field_line(field, handed, &words))));
    }
    if handed.key.is_none() && super::onboarding::takes_api_keys(handed.source) {
        lines.extend([String::new(), words.no_key.to_owned()]);
    }
    lines.join("\n")
}

fn field_line(field: &Field, handed: &Handed<'_>, words: &Words) -> String {
    let is_stored = handed.integration.is_some_and(|one| {
        if field.secret { one.secrets.contains_key(&field.name) } else { one.fields.contains_key(&field.name) }
    });
    let state = match (is_stored, &field.from) {
        (true, _) => words.stored,
        (false, Some(_)) => words.comes_along,
        (false, None) => words.missing,
    };
    let help = field.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
    format!("{}{help}: {state}", label(field, handed.language))
}
