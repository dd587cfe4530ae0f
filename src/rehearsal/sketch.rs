//! A route file and its tests to start from: guessed from captured requests, or an example to write over. The result passes `check`
//! and `test` as it is; what was guessed says so.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use crate::auth::preset;
use crate::expr::convert::{Reading, convert};
use crate::model::change::ValueType;
use crate::model::delivery::Request;

/// The two files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sketch {
    /// The route file.
    pub route: String,
    /// Its tests.
    pub tests: String,
}

/// What is guessed from requests.
struct Guess {
    path: Option<String>,
    credential: Option<Credential>,
    /// A path to the event's name.
    event: Option<String>,
    /// A path to the sender's own id of a delivery.
    id: Option<String>,
    /// The names that lead to the object that rows are made of; `body` first.
    thing: Vec<String>,
    /// The field of it that rows are found by.
    key: String,
    columns: Vec<Column>,
    left_out: Vec<String>,
}

struct Credential {
    /// As in a path: `headers.x_token`.
    place: String,
    prefix: &'static str,
    is_signature: bool,
}

struct Column {
    field: String,
    name: String,
    declared: Option<&'static str>,
}

/// Fields that most likely name an event, the likeliest first.
const EVENT_FIELDS: [&str; 8] = ["event", "event_name", "event_type", "eventType", "topic", "type", "action", "kind"];
const EVENT_HEADERS: [&str; 3] = ["event", "topic", "hook_type"];
/// Fields that most likely are a delivery's own id.
const ID_FIELDS: [&str; 6] = ["delivery_id", "event_id", "eventId", "webhook_id", "notification_id", "message_id"];
const ID_HEADERS: [&str; 5] = ["delivery", "delivery_id", "webhook_id", "request_id", "event_id"];
/// Fields that rows are found by.
const KEY_FIELDS: [&str; 7] = ["id", "uuid", "number", "no", "code", "key", "_id"];
const CREDENTIALS: [&str; 11] =
    ["token", "signature", "api_key", "access_key", "apikey", "hmac", "secret", "authorization", "sha256", "password", "jwt"];

/// An example to write over.
pub fn example(name: &str) -> Sketch {
    let body = serde_json::json!({ "event": "created", "data": { "id": 1, "name": "an example" } });
    let request = Request {
        method: "POST".to_owned(),
        path: format!("/in/{name}"),
        query: String::new(),
        headers: Vec::new(),
        body: body.to_string().into(),
        peer: None,
    };
    from_requests(name, &[request]).unwrap_or(Sketch { route: String::new(), tests: String::new() })
}

/// Guesses from captured requests; all are about the same thing. An error says which one cannot be used.
pub fn from_requests(name: &str, requests: &[Request]) -> Result<Sketch, String> {
    let mut bodies = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        match serde_json::from_slice(&request.body) {
            Ok(Json::Object(body)) => bodies.push(body),
            _ => {
                return Err(format!("capture {}: its body is no JSON object, which is all that can be guessed from", number + 1));
            }
        }
    }
    let guess = Guess::of(name, requests, &bodies)?;
    Ok(Sketch { route: guess.route(name), tests: guess.tests(name, requests, &bodies) })
}

impl Guess {
    fn of(name: &str, requests: &[Request], bodies: &[Map<String, Json>]) -> Result<Self, String> {
        let Some(request) = requests.first() else {
            return Err("there is no request to guess from".to_owned());
        };
        let (thing, key) = thing_of(bodies).ok_or("no field that all captures have could be a key, such as `id` or `number`")?;
        let own_path = format!("/in/{name}");
        let mut guess = Self {
            path: Some(request.path.clone()).filter(|path| *path != own_path),
            credential: credential_of(request),
            event: event_of(requests, bodies, &thing),
            id: id_of(requests, bodies),
            columns: Vec::new(),
            left_out: Vec::new(),
            thing,
            key,
        };
        for body in bodies {
            guess.add_columns(body);
        }
        Ok(guess)
    }

    fn add_columns(&mut self, body: &Map<String, Json>) {
        let Some(thing) = object_at(body, &self.thing[1..]) else { return };
        let event = self.event.as_deref().unwrap_or_default().to_owned();
        for (field, value) in thing {
            let path = format!("$.{}.{field}", self.thing.join("."));
            let taken = *field == self.key || path == event || Some(&path) == self.id.as_ref();
            if taken || self.columns.iter().any(|column| column.field == *field) || is_credential(field) {
                continue;
            }
            let declared = declared_of(value);
            match value {
                Json::Array(_) | Json::Object(_) if !self.left_out.contains(field) => self.left_out.push(field.clone()),
                Json::Array(_) | Json::Object(_) => {}
                _ => self.columns.push(Column { field: field.clone(), name: snake_case(field), declared }),
            }
        }
    }

    fn route(&self, name: &str) -> String {
        let mut text = format!("# Guessed by `hooktable new`: read it line by line, then delete this comment.\ntitle: {name}\n");
        if let Some(path) = &self.path {
            let _ = writeln!(text, "receive: {{ path: {} }}", quoted(path));
        }
        self.write_auth(name, &mut text);
        if let Some(event) = &self.event {
            let _ = writeln!(text, "event: {}", quoted(event));
        }
        if let Some(id) = &self.id {
            let _ = writeln!(text, "id: {}   # the sender's own id: a second one is a duplicate", quoted(id));
        }
        let key = snake_case(&self.key);
        let table = snake_case(name);
        let _ = writeln!(text, "extract: {{ thing_id: {} }}", quoted(&self.place(&self.key)));
        let _ = writeln!(text, "lane: \"{table}/{{{{ thing_id }}}}\"   # one at a time for each, in order");
        let _ = writeln!(text, "write:\n  upsert: {table}\n  key: {{ {}: $.thing_id }}\n  set:", quoted(&key));
        for Column { field, name, declared } in &self.columns {
            let place = quoted(&self.place(field));
            let _ = match declared {
                Some(declared) => writeln!(text, "    {}: {{ from: {place}, as: {declared} }}", quoted(name)),
                None => writeln!(text, "    {}: {place}", quoted(name)),
            };
        }
        let _ = writeln!(text, "    received_at: $.received_at");
        if !self.left_out.is_empty() {
            let _ = writeln!(text, "  # left out, as they are lists or objects: {}", self.left_out.join(", "));
        }
        text
    }

    fn write_auth(&self, name: &str, text: &mut String) {
        let variable = format!("{}_TOKEN", name.to_ascii_uppercase().replace('-', "_"));
        let known = self.credential.as_ref().and_then(|found| preset::of_place(&format!("$.{}", found.place)));
        if let Some(known) = known {
            let _ = writeln!(text, "auth: {{ preset: {known}, secret: token }}");
            let _ = writeln!(text, "secrets: {{ token: {{ env: {variable} }} }}");
            return;
        }
        let (place, prefix) = match &self.credential {
            Some(found) => {
                if found.is_signature {
                    let _ = writeln!(
                        text,
                        "# `{}` looks like a signature over the body, which a fixed token cannot check: see `signature` in docs/route-file.md",
                        found.place
                    );
                }
                (found.place.as_str(), found.prefix)
            }
            None => {
                text.push_str("# no header or parameter looked like a credential: how does the sender prove who it is?\n");
                ("headers.x_token", "")
            }
        };
        text.push_str("# or a key that we issue, which says which tenant it is: auth: { api_key: $.query.key }\n");
        let prefix = if prefix.is_empty() { String::new() } else { format!(", prefix: \"{prefix}\"") };
        let _ = writeln!(text, "auth: {{ token: {}, secret: token{prefix} }}", quoted(&format!("$.{place}")));
        let _ = writeln!(text, "secrets: {{ token: {{ env: {variable} }} }}");
    }

    /// The path of a field of the thing.
    fn place(&self, field: &str) -> String {
        let mut path = format!("$.{}", self.thing[0]);
        for name in self.thing[1..].iter().map(String::as_str).chain([field]) {
            path.push_str(&segment(name));
        }
        path
    }

    fn tests(&self, name: &str, requests: &[Request], bodies: &[Map<String, Json>]) -> String {
        let mut text = "# Run with `hooktable test`.\ntests:\n".to_owned();
        for (number, (request, body)) in requests.iter().zip(bodies).enumerate() {
            let headers = self.test_headers(request);
            let query: Map<String, Json> = form_urlencoded::parse(request.query.as_bytes())
                .filter(|(name, _)| !is_credential(name))
                .map(|(name, value)| (name.into_owned(), Json::from(value.into_owned())))
                .collect();
            let _ = writeln!(text, "  - name: capture {} becomes a row\n    send:", number + 1);
            for (option, value) in [("query", query), ("headers", headers), ("json", without_credentials(body))] {
                if !value.is_empty() {
                    let _ = writeln!(text, "      {option}: {}", Json::Object(value));
                }
            }
            let thing = object_at(body, &self.thing[1..]);
            let value = thing.and_then(|thing| thing.get(&self.key)).unwrap_or(&Json::Null);
            let row = Json::Object([(snake_case(&self.key), value.clone())].into_iter().collect());
            let table = snake_case(name);
            let _ = writeln!(text, "    expect: {{ status: 200, state: done, rows: {{ {table}: [{row}] }} }}");
        }
        let _ = writeln!(text, "  - name: a sender without the token is refused");
        let first = bodies.first().map(without_credentials).unwrap_or_default();
        let _ = writeln!(text, "    send: {{ json: {}, auth: none }}\n    expect: {{ status: 401 }}", Json::Object(first));
        text
    }

    /// The headers that the file looks at; its credential is added by the test.
    fn test_headers(&self, request: &Request) -> Map<String, Json> {
        let read = [&self.event, &self.id].into_iter().flatten().filter_map(|path| path.strip_prefix("$.headers."));
        let headers = read.filter_map(|name| Some((name.to_owned(), Json::from(request.header(&name.replace('_', "-"))?))));
        headers.collect()
    }
}

/// The headers of a request by the names that paths have.
fn headers_of(request: &Request) -> impl Iterator<Item = (String, String)> + '_ {
    let readable = request.headers.iter().filter(|(name, _)| !name.contains('_'));
    readable.map(|(name, value)| (name.replace('-', "_"), String::from_utf8_lossy(value).into_owned()))
}

fn is_credential(name: &str) -> bool {
    let name = snake_case(name);
    let has = |word: &str| format!("_{name}_").contains(&format!("_{word}_"));
    CREDENTIALS.into_iter().any(has)
}

fn credential_of(request: &Request) -> Option<Credential> {
    let headers: Vec<(String, String)> = headers_of(request).collect();
    let is_known = |name: &str| preset::of_place(&format!("$.headers.{name}")).is_some();
    let known = headers.iter().find(|(name, _)| is_known(name));
    let header = known.or_else(|| headers.iter().find(|(name, _)| is_credential(name)));
    if let Some((name, value)) = header {
        let is_signature = name.contains("signature") || name.contains("hmac") || name.contains("sha");
        let prefix = ["Bearer ", "Token ", "Basic "].into_iter().find(|prefix| value.starts_with(prefix)).unwrap_or_default();
        return Some(Credential { place: format!("headers.{name}"), prefix, is_signature });
    }
    let parameters: Vec<String> = form_urlencoded::parse(request.query.as_bytes()).map(|(name, _)| name.into_owned()).collect();
    let name = parameters.iter().find(|name| is_credential(name) || name.as_str() == "key")?;
    Some(Credential { place: format!("query{}", segment(name)), prefix: "", is_signature: false })
        .filter(|one| one.place.starts_with("query."))
}

fn event_of(requests: &[Request], bodies: &[Map<String, Json>], thing: &[String]) -> Option<String> {
    let all_have = |name: &&&str| bodies.iter().all(|body| body.get(**name).is_some_and(Json::is_string));
    // a type beside the key is the thing's own
    let field = EVENT_FIELDS.iter().find(all_have).filter(|name| thing.len() > 1 || name.starts_with("event"));
    let header = || header_of_all(requests, |name| name.starts_with("x_") && EVENT_HEADERS.iter().any(|end| name.ends_with(end)));
    field.map(|field| format!("$.body.{field}")).or_else(header)
}

fn id_of(requests: &[Request], bodies: &[Map<String, Json>]) -> Option<String> {
    let is_told = |value: &Json| value.is_string() || value.is_number();
    let all_have = |name: &&&str| bodies.iter().all(|body| body.get(**name).is_some_and(is_told));
    let field = || ID_FIELDS.iter().find(all_have).map(|field| format!("$.body.{field}"));
    header_of_all(requests, |name| ID_HEADERS.iter().any(|end| name.ends_with(end))).or_else(field)
}

/// The path of the first header of that kind that all requests have.
fn header_of_all(requests: &[Request], is_wanted: impl Fn(&str) -> bool) -> Option<String> {
    let mut names = headers_of(requests.first()?).map(|(name, _)| name).filter(|name| is_wanted(name));
    let name = names.find(|name| requests.iter().all(|request| headers_of(request).any(|(other, _)| other == *name)))?;
    Some(format!("$.headers.{name}"))
}

/// The object that rows are made of and its key: the nearest one with a key that all captures have; what a body wraps comes first.
fn thing_of(bodies: &[Map<String, Json>]) -> Option<(Vec<String>, String)> {
    let first = bodies.first()?;
    let mut places: Vec<Vec<String>> = Vec::new();
    for (name, value) in first {
        if let Json::Object(inner) = value {
            places.push(vec![name.clone()]);
            places
                .extend(inner.iter().filter(|(_, value)| value.is_object()).map(|(below, _)| vec![name.clone(), below.clone()]));
        }
    }
    let wraps = |place: &Vec<String>| ["data", "payload", "object", "order", "resource"].contains(&place[0].as_str());
    places.sort_by_key(|place| (!wraps(place), place.len()));
    let body_first = !places.iter().any(wraps);
    places.insert(if body_first { 0 } else { places.len() }, Vec::new());
    places.into_iter().find_map(|place| {
        let has = |key: &&&str| {
            let value = |body| object_at(body, &place).and_then(|thing| thing.get(**key));
            bodies.iter().all(|body| value(body).is_some_and(|value| value.is_string() || value.is_number()))
        };
        let key = KEY_FIELDS.iter().find(has)?;
        let thing = std::iter::once("body".to_owned()).chain(place.iter().cloned()).collect();
        Some((thing, (*key).to_owned()))
    })
}

fn object_at<'b>(body: &'b Map<String, Json>, place: &[String]) -> Option<&'b Map<String, Json>> {
    place.iter().try_fold(body, |object, name| object.get(name)?.as_object())
}

fn declared_of(value: &Json) -> Option<&'static str> {
    let is = |kind| convert(value, kind, &Reading::default()).is_ok();
    let Json::String(text) = value else { return None };
    if text.len() == 10 && is(ValueType::Date) {
        return Some("date");
    }
    (text.len() > 10 && is(ValueType::Timestamp)).then_some("timestamp")
}

fn without_credentials(body: &Map<String, Json>) -> Map<String, Json> {
    let hidden = |(name, value): (&String, &Json)| {
        let value = if is_credential(name) && value.is_string() { Json::from("hidden") } else { value.clone() };
        (name.clone(), value)
    };
    body.iter().map(hidden).collect()
}

/// A name behind a path: `.name`, or in brackets where it is no plain one.
fn segment(name: &str) -> String {
    let plain = !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if plain { format!(".{name}") } else { format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")) }
}

/// A text in a flow map, in quotes where YAML needs them.
fn quoted(text: &str) -> String {
    let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_$./-".contains(letter));
    let is_text =
        text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '$' || letter == '/' || letter == '_');
    let means_more = ["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    if plain && is_text && !means_more { text.to_owned() } else { Json::from(text).to_string() }
}

/// `orderNumber` and `order-number` as a column is called: `order_number`.
fn snake_case(name: &str) -> String {
    let mut column = String::new();
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_alphanumeric() {
            if letter.is_uppercase() && after_small {
                column.push('_');
            }
            column.extend(letter.to_lowercase());
        } else if !column.ends_with('_') && !column.is_empty() {
            column.push('_');
        }
        after_small = letter.is_lowercase() || letter.is_ascii_digit();
    }
    let column = column.trim_end_matches('_');
    if column.is_empty() { "value".to_owned() } else { column.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_columns_and_paths() {
        assert_eq!(
            ["orderNumber", "order-number", "HTTPStatus", "Æ ø", "-"].map(snake_case),
            ["order_number", "order_number", "httpstatus", "æ_ø", "value"]
        );
        assert_eq!(["id", "order-id", "it's"].map(segment), [".id", "['order-id']", "['it\\'s']"]);
        assert_eq!(["$.body.id", "true", "a b"].map(quoted), ["$.body.id", "\"true\"", "\"a b\""]);
    }

    #[test]
    fn credentials_are_told_by_their_names() {
        for name in ["X-Token", "x_hub_signature_256", "authorization", "apiKey", "x_api_key"] {
            assert!(is_credential(name), "{name}");
        }
        for name in ["key", "monkey_business", "turkeys", "id", "content_type"] {
            assert!(!is_credential(name), "{name}");
        }
    }
}
