//! `receive:`: which requests are a source's. Paths of literal segments and `:parameters`, values of query parameters and headers.

use percent_encoding::percent_decode_str;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{Named, options};
use crate::config::shape::{Form, Shape};
use crate::config::source::{Span, Spanned};
use crate::config::units::{ByteSize, Rate};
use crate::model::delivery::Request;
use crate::steps::choose::Pattern;

pub(super) const METHODS: [&str; 7] = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// The largest body that is read without `max_body`.
pub const MAX_BODY: u64 = 1 << 20;

options! {
    /// Which requests are this source's.
    pub struct ReceiveOptions {
        /// Literal segments and `:parameters`: `/in/timemoto/:integration`; `/in/SOURCE` by default.
        path: Option<Spanned<String>>,
        /// The methods that may be used.
        methods: Vec<Spanned<String>> as method = "[POST]",
        /// Only requests with one of these values: `{ APISource: [A, "B*"] }`.
        query: Named<Vec<Pattern>>,
        /// Likewise for headers, by their lower-case name with `_`.
        headers: Named<Vec<Pattern>>,
        /// The largest body, counted on the bytes read.
        max_body: Option<ByteSize> = "1MiB",
        /// How many in how long, per tenant; over it 429.
        rate: Option<Rate>,
    }
}

/// An HTTP method; it may be written in lower case.
fn method() -> Shape {
    Shape::Form(Form {
        words: "HTTP method",
        pattern: "^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|get|post|put|patch|delete|head|options)$",
        numbers: false,
        examples: &["POST", "GET"],
    })
}

/// A compiled receive block.
#[derive(Clone, Debug)]
pub struct Receive {
    /// The path's segments.
    pub path: Vec<Segment>,
    /// The methods, in upper case.
    pub methods: Vec<String>,
    /// The methods that handshakes let in, deliveries or not.
    pub handshake_methods: Vec<String>,
    /// The values that query parameters must have.
    pub query: Vec<(String, Vec<Pattern>)>,
    /// The values that headers must have, by lower-case name with `_`.
    pub headers: Vec<(String, Vec<Pattern>)>,
    /// The largest body in bytes.
    pub max_body: u64,
    /// How many in how long, per tenant.
    pub rate: Option<Rate>,
    /// Where the path stands, or what stands in its place.
    pub span: Span,
}

/// One segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// As it is, percent-decoded.
    Literal(String),
    /// Anything but nothing, under this name in `params`.
    Parameter(String),
}

/// Compiles the block; `file` is the place to point at when nothing was written.
pub fn compile(options: Option<&ReceiveOptions>, source: &str, file: Span, diagnostics: &mut Diagnostics) -> Option<Receive> {
    let default = Spanned { value: format!("/in/{source}"), span: options.map_or(file, |options| options.span) };
    let path = options.and_then(|options| options.path.as_ref()).unwrap_or(&default);
    let segments = compile_path(path, diagnostics);
    let methods = options.map_or_else(Vec::new, |options| options.methods.clone());
    for method in methods.iter().filter(|method| !METHODS.contains(&method.to_ascii_uppercase().as_str())) {
        let message = format!("expected an HTTP method such as `POST`; found the text `{}`", method.value);
        let diagnostic = Diagnostic::error("wrong-type", method.span, message);
        diagnostics.report(diagnostic.did_you_mean(&method.value, METHODS, method.span));
    }
    let patterns =
        |named: &Named<Vec<Pattern>>| named.entries.iter().map(|(name, values)| (name.value.clone(), values.clone())).collect();
    Some(Receive {
        path: segments?,
        methods: if methods.is_empty() {
            vec!["POST".to_owned()]
        } else {
            methods.iter().map(|method| method.to_ascii_uppercase()).collect()
        },
        handshake_methods: Vec::new(),
        query: options.map_or_else(Vec::new, |options| patterns(&options.query)),
        headers: options
            .map_or_else(Vec::new, |options| patterns(&options.headers))
            .into_iter()
            .map(|(name, values): (String, _)| (name.to_ascii_lowercase().replace('-', "_"), values))
            .collect(),
        max_body: options.and_then(|options| options.max_body).map_or(MAX_BODY, |size| size.0),
        rate: options.and_then(|options| options.rate),
        span: path.span,
    })
}

fn compile_path(path: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Vec<Segment>> {
    let error = |message: String| Diagnostic::error("bad-path-pattern", path.span, message);
    if !path.value.starts_with('/') || path.value.contains(['?', '#', '*']) {
        diagnostics.report(
            error(format!("expected a path that begins with `/`, without `?`, `#` and `*`; found `{}`", path.value))
                .hint("such as `/in/timemoto/:integration`; values of the query go under `query:`"),
        );
        return None;
    }
    let mut segments = Vec::new();
    for text in path.value.split('/').skip(1) {
        let segment = match text.strip_prefix(':') {
            Some(name) if !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_') => {
                Segment::Parameter(name.to_owned())
            }
            Some(name) => {
                diagnostics.report(
                    error(format!("`:{name}` cannot be a parameter's name")).hint("it has letters, digits and `_`: `:customer`"),
                );
                return None;
            }
            None => Segment::Literal(decode(text)),
        };
        if segments.contains(&segment) && matches!(segment, Segment::Parameter(_)) {
            diagnostics.report(error(format!("`{text}` stands twice in the path")).hint("give one of them another name"));
        }
        segments.push(segment);
    }
    Some(segments)
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl Receive {
    /// The parameters of a path, when it is this source's.
    pub fn path_parameters(&self, path: &str) -> Option<Vec<(String, String)>> {
        let mut texts = path.split('/').skip(1);
        let mut parameters = Vec::new();
        for segment in &self.path {
            let text = decode(texts.next()?);
            match segment {
                Segment::Literal(literal) if *literal == text => {}
                Segment::Parameter(name) if !text.is_empty() => parameters.push((name.clone(), text)),
                _ => return None,
            }
        }
        texts.next().is_none().then_some(parameters)
    }

    /// Whether the query parameters and headers have the values that are asked for; of a repeated one the first counts.
    pub fn values_match(&self, request: &Request) -> bool {
        let query = |name: &str| {
            form_urlencoded::parse(request.query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let header = |name: &str| request.header(&name.replace('_', "-")).map(str::to_owned);
        let fits = |patterns: &[Pattern], value: Option<String>| {
            value.is_some_and(|value| patterns.iter().any(|pattern| pattern.matches(&value)))
        };
        self.query.iter().all(|(name, patterns)| fits(patterns, query(name)))
            && self.headers.iter().all(|(name, patterns)| fits(patterns, header(name)))
    }

    /// Whether some request is both this one's and the other's.
    pub fn overlaps(&self, other: &Receive) -> bool {
        let segments = self.path.len() == other.path.len()
            && self.path.iter().zip(&other.path).all(|pair| match pair {
                (Segment::Literal(left), Segment::Literal(right)) => left == right,
                (Segment::Literal(literal), Segment::Parameter(_)) | (Segment::Parameter(_), Segment::Literal(literal)) => {
                    !literal.is_empty()
                }
                (Segment::Parameter(_), Segment::Parameter(_)) => true,
            });
        let methods = self.let_in().any(|method| other.let_in().any(|theirs| theirs == method));
        segments && methods && values_overlap(&self.query, &other.query) && values_overlap(&self.headers, &other.headers)
    }

    /// The methods of deliveries and those of handshakes.
    pub fn let_in(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().chain(&self.handshake_methods).map(String::as_str)
    }

    /// The path as it was written.
    pub fn path_text(&self) -> String {
        let segments = self.path.iter().map(|segment| match segment {
            Segment::Literal(text) => format!("/{text}"),
            Segment::Parameter(name) => format!("/:{name}"),
        });
        segments.collect()
    }
}

/// A name that only one side asks for keeps nothing apart: the other side takes any value of it.
fn values_overlap(left: &[(String, Vec<Pattern>)], right: &[(String, Vec<Pattern>)]) -> bool {
    left.iter().all(|(name, patterns)| match right.iter().find(|(other, _)| other == name) {
        Some((_, others)) => patterns.iter().any(|pattern| others.iter().any(|other| pattern.overlaps(other))),
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::options::FromYaml;
    use crate::config::source::Sources;
    use crate::config::yaml::parse;

    fn receive(text: &str) -> Receive {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", text);
        let mut diagnostics = Diagnostics::default();
        let node = parse(&sources, file, &mut diagnostics).expect("yaml");
        let options = ReceiveOptions::from_yaml(&node, &mut diagnostics);
        let receive = compile(options.as_ref(), "a", node.span, &mut diagnostics);
        assert_eq!(diagnostics.all(), [], "{text}");
        receive.expect("compiles")
    }

    fn takes(receive: &Receive, request: &Request) -> bool {
        receive.path_parameters(&request.path).is_some()
            && receive.values_match(request)
            && receive.methods.contains(&request.method)
    }

    /// Every request that the small blocks of [`any_receive`] can tell apart.
    fn requests() -> Vec<Request> {
        let paths = ["/", "/a", "/b", "/a/", "/b/", "/a/a", "/a/b", "/b/a", "/b/b", "//", "//a", "//b"];
        let values = [None, Some("a"), Some("b"), Some("ab"), Some("ba"), Some("")];
        let mut requests = Vec::new();
        for (path, method) in paths.into_iter().flat_map(|path| [(path, "POST"), (path, "GET")]) {
            for (p, q) in values.into_iter().flat_map(|p| values.map(|q| (p, q))) {
                let topic = q.map(|value| ("x-topic".into(), value.as_bytes().to_vec().into()));
                requests.push(Request {
                    method: method.into(),
                    path: path.into(),
                    query: p.map(|value| format!("p={value}")).unwrap_or_default(),
                    headers: topic.into_iter().collect(),
                    body: "".into(),
                    peer: None,
                });
            }
        }
        requests
    }

    fn any_receive() -> impl Strategy<Value = String> {
        let path = prop::sample::select(vec!["/", "/a", "/:x", "/a/b", "/:x/b", "/a/:y", "/:x/:y", "/a/"]);
        let methods = prop::sample::select(vec!["[POST]", "[GET]", "[POST, GET]"]);
        let values =
            prop::sample::select(vec!["", "{ N: a }", "{ N: [a, b] }", "{ N: \"a*\" }", "{ N: \"*b\" }", "{ N: \"*\" }"]);
        (path, methods, values.clone(), values).prop_map(|(path, methods, query, headers)| {
            let block = |name: &str, key: &str, values: &str| {
                if values.is_empty() { String::new() } else { format!(", {name}: {}", values.replace('N', key)) }
            };
            let (query, headers) = (block("query", "p", query), block("headers", "x_topic", headers));
            format!("{{ path: \"{path}\", methods: {methods}{query}{headers} }}")
        })
    }

    proptest! {
        #[test]
        fn blocks_overlap_when_some_request_is_both_ones(left in any_receive(), right in any_receive()) {
            let (one, other) = (receive(&left), receive(&right));
            let common = requests().into_iter().find(|request| takes(&one, request) && takes(&other, request));
            prop_assert_eq!(one.overlaps(&other), common.is_some(), "{} {} {:?}", left, right, common);
            prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
        }
    }
}
