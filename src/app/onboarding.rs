//! What to paste at a provider: the URL, or the header, that carries an API key or an endpoint id. The one place that knows how a source's
//! `receive` and `auth` become an address.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::auth::scheme::Auth;
use crate::expr::jsonpath::Path;
use crate::routes::receive::Segment;
use crate::routes::source::Source;
use crate::secret::Secret;
use crate::steps::integration::FoundBy;

/// Everything but the letters that a query can hold as they are; `*` stays, so that a pattern can be read.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'*');
/// Likewise for a segment of a path.
const SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}').add(b'/').add(b'%');

/// Where a sender sends to. Holds a key: shown once, never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The event that it is for, when each has its own.
    pub event: Option<String>,
    /// The method: `POST`.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The header that carries the key: `x-api-key: htk_…`.
    pub header: Option<String>,
    /// What else the person at the provider has to know.
    pub note: Option<String>,
}

/// What a sender of a source proves itself by, as far as it is at hand.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The API key, at the one moment at which it is known.
    pub key: Option<&'a Secret<String>>,
    /// The endpoint id of the integration.
    pub endpoint: Option<&'a Secret<String>>,
}

/// What stands at a place of the request: a credential, or words in its stead.
struct Filled<'a> {
    place: Vec<String>,
    what: &'static str,
    value: &'a str,
    is_known: bool,
}

impl<'a> Filled<'a> {
    fn new(place: Vec<String>, what: &'static str, secret: Option<&'a Secret<String>>, words: &'a str) -> Self {
        Self { place, what, value: secret.map_or(words, |secret| secret.expose().as_str()), is_known: secret.is_some() }
    }

    /// As a part of a URL; words that stand in for something are to be read, not sent.
    fn encoded(&self, set: &'static AsciiSet) -> String {
        if self.is_known { utf8_percent_encode(self.value, set).to_string() } else { self.value.to_owned() }
    }
}

/// The addresses of a source for one sender: one, or one per event where the event is a parameter of the query.
pub fn addresses(source: &Source, public_url: &str, credentials: Credentials<'_>) -> Vec<Address> {
    let filled = filled(source, credentials);
    let (mut headers, mut notes, mut parameters, mut in_path) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for one in &filled {
        let place: Vec<&str> = one.place.iter().map(String::as_str).collect();
        match place.as_slice() {
            ["query", name] => parameters.push(format!("{}={}", utf8_percent_encode(name, QUERY), one.encoded(QUERY))),
            ["headers", name] => headers.push(format!("{}: {}", name.replace('_', "-"), one.value)),
            ["params", name] => in_path.push((*name, one.encoded(SEGMENT))),
            [] => notes.push(format!("the {} is {}", one.what, one.value)),
            elsewhere => {
                notes.push(format!("the request carries the {} at `$.{}`: {}", one.what, elsewhere.join("."), one.value));
            }
        }
    }
    notes.extend(headers.iter().skip(1).map(|header| format!("it has the header {header} too")));
    let base = format!("{}{}", public_url.trim_end_matches('/'), path_of(source, &in_path));
    let method = source.receive.methods.first().cloned().unwrap_or_else(|| "POST".to_owned());
    let address = |(event, values): Variant| Address {
        event,
        method: method.clone(),
        url: with_query(&base, &parameters, &values),
        header: headers.first().cloned(),
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    };
    variants(source).into_iter().map(address).collect()
}

/// Whether a key that we issue opens the source.
pub fn takes_api_keys(source: &Source) -> bool {
    source.auth.leaves().iter().any(|scheme| matches!(scheme, Auth::ApiKey(_)))
}

/// Whether requests of the source carry the endpoint id of an integration.
pub fn takes_endpoint_ids(source: &Source) -> bool {
    endpoint_place(source).is_some()
}

fn filled<'a>(source: &Source, credentials: Credentials<'a>) -> Vec<Filled<'a>> {
    let key = takes_api_keys(source).then(|| key_place(source).unwrap_or_default());
    let endpoint = endpoint_place(source);
    let key = key.map(|place| Filled::new(place, "key", credentials.key, "<API-KEY>"));
    let endpoint = endpoint.map(|place| Filled::new(place, "endpoint id", credentials.endpoint, "<ENDPOINT-ID>"));
    key.into_iter().chain(endpoint).collect()
}

fn key_place(source: &Source) -> Option<Vec<String>> {
    source.auth.leaves().into_iter().find_map(|scheme| match scheme {
        Auth::ApiKey(scheme) => scheme.place(),
        _ => None,
    })
}

/// Where the endpoint id stands, if the source looks for one; empty when that is no single place.
fn endpoint_place(source: &Source) -> Option<Vec<String>> {
    if let FoundBy::Endpoint(at) = &source.integration().found {
        return Some(at.as_path().and_then(Path::place).unwrap_or_default());
    }
    source.auth.leaves().into_iter().find_map(|scheme| match scheme {
        Auth::Integration(scheme) => Some(scheme.place().unwrap_or_default()),
        _ => None,
    })
}

fn path_of(source: &Source, filled: &[(&str, String)]) -> String {
    let segments = source.receive.path.iter().map(|segment| match segment {
        Segment::Parameter(name) => match filled.iter().find(|(known, _)| known == name) {
            Some((_, value)) => format!("/{value}"),
            None => format!("/:{name}"),
        },
        Segment::Literal(text) => format!("/{}", utf8_percent_encode(text, SEGMENT)),
    });
    segments.collect()
}

/// Values of the query, and the event that they mean, if they mean one.
type Variant = (Option<String>, Vec<(String, String)>);

/// The values of the query that a source asks for: one set, or one per event when the event stands in the query.
fn variants(source: &Source) -> Vec<Variant> {
    let event_parameter = event_parameter(source);
    let mut sets = vec![(None, Vec::new())];
    for (name, patterns) in &source.receive.query {
        let is_event = event_parameter.as_deref() == Some(name);
        let texts: Vec<String> = if is_event {
            events_named(source).into_iter().filter(|event| patterns.iter().any(|pattern| pattern.matches(event))).collect()
        } else {
            Vec::new()
        };
        let literals: Vec<String> =
            patterns.iter().filter(|pattern| pattern.is_literal()).map(|pattern| pattern.text().to_owned()).collect();
        let texts = [texts, literals].into_iter().find(|texts| !texts.is_empty());
        let texts = texts.unwrap_or_else(|| patterns.iter().take(1).map(|pattern| pattern.text().to_owned()).collect());
        sets = sets
            .iter()
            .flat_map(|(event, values): &Variant| {
                texts.iter().map(move |text| {
                    let mut values = values.clone();
                    values.push((name.clone(), text.clone()));
                    (if is_event { Some(text.clone()) } else { event.clone() }, values)
                })
            })
            .collect();
    }
    sets
}

/// `APISource` where the file says `event: $.query.APISource`.
fn event_parameter(source: &Source) -> Option<String> {
    let place = source.admission.event.as_ref()?.as_path().and_then(Path::place)?;
    match place.as_slice() {
        [query, name] if query == "query" => Some(name.clone()),
        _ => None,
    }
}

/// The events that routes do something for, in file order.
fn events_named(source: &Source) -> Vec<String> {
    let routes = source.admission.routes.iter().filter(|route| route.ignore.is_none());
    let mut names: Vec<String> = Vec::new();
    for pattern in routes.flat_map(|route| &route.matcher.events) {
        if pattern.is_literal() && !names.iter().any(|name| name == pattern.text()) {
            names.push(pattern.text().to_owned());
        }
    }
    names
}

fn with_query(base: &str, filled: &[String], values: &[(String, String)]) -> String {
    let values =
        values.iter().map(|(name, value)| format!("{}={}", utf8_percent_encode(name, QUERY), utf8_percent_encode(value, QUERY)));
    let pairs: Vec<String> = filled.iter().cloned().chain(values).collect();
    if pairs.is_empty() { base.to_owned() } else { format!("{base}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::app::settings::{EnvironmentSecrets, Settings};
    use crate::app::sources::surroundings;
    use crate::clock::Clock;
    use crate::routes::load::{Texts, load};

    /// The lines a person would paste for a file with this `receive`, `auth`, `event` and so on.
    fn pasted(file: &str) -> Vec<String> {
        let write = if file.contains("routes:") { "" } else { "\nwrite: { insert: log, set: { raw: $.body } }\n" };
        let text = format!("{file}{write}");
        let texts = Texts { routes: BTreeMap::from([("in.yaml".to_owned(), text)]), ..Texts::default() };
        let surroundings = surroundings(&Settings::default(), Box::new(EnvironmentSecrets::new(Clock::system())));
        let loaded = load(&texts, surroundings.world(), &[]);
        let source = loaded.files[0].source.clone().unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        let (key, endpoint) = (Secret::from("htk_k"), Secret::from("hti_e"));
        let credentials = Credentials { key: Some(&key), endpoint: Some(&endpoint) };
        let addresses = addresses(&source, "https://hooks.example/", credentials);
        let line = |one: Address| {
            let parts = [one.event, Some(one.method), Some(one.url), one.header, one.note];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" | ")
        };
        addresses.into_iter().map(line).collect()
    }

    #[test]
    fn a_key_in_the_query_is_part_of_the_url() {
        assert_eq!(pasted("auth: { api_key: $.query.key }"), ["POST | https://hooks.example/in/in?key=htk_k"]);
    }

    #[test]
    fn each_event_of_a_query_pattern_has_its_own_url() {
        let file = "receive: { path: /, query: { APISource: eConomic* } }
auth: { api_key: $.query.APIKey }
event: $.query.APISource
routes:
  - { event: [eConomicOrder, eConomicCustomer], write: { insert: a, set: { b: $.body } } }
  - { event: eConomicUser, ignore: of no interest }
  - { event: Other, write: { insert: a, set: { b: $.body } } }";
        assert_eq!(
            pasted(file),
            [
                "eConomicOrder | POST | https://hooks.example/?APIKey=htk_k&APISource=eConomicOrder",
                "eConomicCustomer | POST | https://hooks.example/?APIKey=htk_k&APISource=eConomicCustomer",
            ]
        );
    }

    #[test]
    fn a_pattern_without_named_events_stays_a_pattern_and_a_list_becomes_several() {
        let file = |query: &str| format!("receive: {{ path: /a b, query: {query} }}\nauth: {{ api_key: $.query.key }}");
        assert_eq!(pasted(&file("{ from: x* }")), ["POST | https://hooks.example/a%20b?key=htk_k&from=x*"]);
        assert_eq!(
            pasted(&file("{ from: [x, y] }")),
            ["POST | https://hooks.example/a%20b?key=htk_k&from=x", "POST | https://hooks.example/a%20b?key=htk_k&from=y"]
        );
    }

    #[test]
    fn a_key_elsewhere_is_told_apart_from_the_url() {
        assert_eq!(pasted("auth: { api_key: $.headers.x_api_key }"), ["POST | https://hooks.example/in/in | x-api-key: htk_k"]);
        assert_eq!(
            pasted("receive: { path: /in/:key, methods: PUT }\nauth: { api_key: $.params.key }"),
            ["PUT | https://hooks.example/in/htk_k"]
        );
        assert_eq!(
            pasted("auth: { api_key: $.body.key }"),
            ["POST | https://hooks.example/in/in | the request carries the key at `$.body.key`: htk_k"]
        );
    }

    #[test]
    fn an_endpoint_id_stands_where_the_file_looks_for_it() {
        let by_path = "receive: { path: /in/:integration }\nauth: { integration: $.params.integration }";
        assert_eq!(pasted(by_path), ["POST | https://hooks.example/in/hti_e"]);
        let beside_a_key = "auth: { api_key: $.headers.x_key }\nintegration: { is: $.query.IntegrationKey }";
        assert_eq!(pasted(beside_a_key), ["POST | https://hooks.example/in/in?IntegrationKey=hti_e | x-key: htk_k"]);
    }
}
