//! What to paste at a provider: the URL, or the header, that carries an API key. The one place that knows how a source's
//! `receive` and `auth` become an address.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::auth::scheme::Auth;
use crate::expr::jsonpath::Path;
use crate::routes::receive::Segment;
use crate::routes::source::Source;
use crate::secret::Secret;

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

/// The addresses of a source for the holder of a key: one, or one per event where the event is a parameter of the query.
pub fn addresses(source: &Source, public_url: &str, key: &Secret<String>) -> Vec<Address> {
    let place = key_place(source);
    let place: Vec<&str> = place.iter().flatten().map(String::as_str).collect();
    let (mut header, mut note, mut parameters) = (None, None, Vec::new());
    let mut path_key = None;
    match place.as_slice() {
        ["query", name] => parameters.push(((*name).to_owned(), key.expose().clone())),
        ["headers", name] => header = Some(format!("{}: {}", name.replace('_', "-"), key.expose())),
        ["params", name] => path_key = Some(*name),
        [] => note = Some(format!("the key is {}", key.expose())),
        elsewhere => note = Some(format!("the request carries the key at `$.{}`: {}", elsewhere.join("."), key.expose())),
    }
    let base = format!("{}{}", public_url.trim_end_matches('/'), path_of(source, path_key.map(|name| (name, key))));
    let method = source.receive.methods.first().cloned().unwrap_or_else(|| "POST".to_owned());
    let address = |(event, values): Variant| Address {
        event,
        method: method.clone(),
        url: with_query(&base, parameters.iter().chain(&values)),
        header: header.clone(),
        note: note.clone(),
    };
    variants(source).into_iter().map(address).collect()
}

/// Whether a key that we issue opens the source.
pub fn takes_api_keys(source: &Source) -> bool {
    source.auth.leaves().iter().any(|scheme| matches!(scheme, Auth::ApiKey(_)))
}

fn key_place(source: &Source) -> Option<Vec<String>> {
    source.auth.leaves().into_iter().find_map(|scheme| match scheme {
        Auth::ApiKey(scheme) => scheme.place(),
        _ => None,
    })
}

fn path_of(source: &Source, key: Option<(&str, &Secret<String>)>) -> String {
    let segments = source.receive.path.iter().map(|segment| match (segment, key) {
        (Segment::Parameter(name), Some((known, key))) if name == known => {
            format!("/{}", utf8_percent_encode(key.expose(), SEGMENT))
        }
        (Segment::Parameter(name), _) => format!("/:{name}"),
        (Segment::Literal(text), _) => format!("/{}", utf8_percent_encode(text, SEGMENT)),
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

fn with_query<'v>(base: &str, values: impl Iterator<Item = &'v (String, String)>) -> String {
    let pairs: Vec<String> = values
        .map(|(name, value)| format!("{}={}", utf8_percent_encode(name, QUERY), utf8_percent_encode(value, QUERY)))
        .collect();
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
        let addresses = addresses(&source, "https://hooks.example/", &Secret::from("htk_k"));
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
}
