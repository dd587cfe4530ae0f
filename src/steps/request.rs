//! The request that a call or a login makes: method, URLs, query, headers and body as written, compiled, and filled in.

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::api::compile_headers;
use super::body::{self, Body};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::config::source::Span;
use crate::config::yaml::Node;
use crate::expr::convert::scalar_text;
use crate::expr::reads::Reads;
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Value, ValueError};
use crate::model::failure::{Failure, Step};

/// What a request is written as.
pub(super) struct Written<'a> {
    /// What makes it, for messages: ``the call `order` ``.
    pub(super) what: String,
    /// Where that stands.
    pub(super) span: Span,
    /// The methods that may be written, each with its URLs.
    pub(super) urls: &'a [(Method, &'a [Node])],
    pub(super) query: &'a Named<Node>,
    pub(super) headers: &'a Named<Node>,
    pub(super) bodies: body::Written<'a>,
}

/// A compiled request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    method: Method,
    urls: Vec<Target>,
    query: Vec<(String, Value)>,
    headers: Vec<(HeaderName, Value)>,
    body: Option<Body>,
}

/// One URL that is asked.
#[derive(Clone, Debug)]
struct Target {
    url: Value,
    written: String,
    /// Whether it is one secret and nothing else: whoever holds that decides where it leads.
    is_secret: bool,
}

/// Where a URL leads, as far as that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// A path below an API's base.
    Below,
    /// To this origin.
    To(String),
    /// To wherever a secret says.
    BySecret,
    /// Only known when it is filled in.
    Elsewhere,
}

/// A request that can be sent.
pub(super) struct Filled {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Option<(String, bytes::Bytes)>,
    /// An origin that may be called besides the API's own.
    pub(super) origin: Option<String>,
}

/// Another page than the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    /// The whole URL, in place of the one that was written.
    pub(super) url: Option<Url>,
    /// What stands in the query besides.
    pub(super) query: Vec<(String, String)>,
}

/// Compiles one.
pub(super) fn compile(written: &Written<'_>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Request> {
    let (method, nodes) = method(written, diagnostics)?;
    let urls: Vec<_> = nodes.iter().map(|node| target(node, compiler, diagnostics)).collect();
    let query: Vec<_> = written
        .query
        .entries
        .iter()
        .map(|(name, node)| Some((name.value.clone(), Value::compile_text(node, compiler, diagnostics)?)))
        .collect();
    let headers = compile_headers(written.headers, compiler, diagnostics);
    let body = body::compile(&written.bodies, &method, compiler, diagnostics);
    Some(Request {
        method,
        urls: urls.into_iter().collect::<Option<_>>()?,
        query: query.into_iter().collect::<Option<_>>()?,
        headers: headers?,
        body: body?,
    })
}

fn method<'a>(written: &Written<'a>, diagnostics: &mut Diagnostics) -> Option<(Method, &'a [Node])> {
    let option = |method: &Method| format!("`{}`", method.as_str().to_ascii_lowercase());
    let found: Vec<&(Method, &[Node])> = written.urls.iter().filter(|(_, nodes)| !nodes.is_empty()).collect();
    match found.as_slice() {
        [(method, nodes)] => Some((method.clone(), nodes)),
        [] => {
            let options: Vec<String> = written.urls.iter().map(|(method, _)| option(method)).collect();
            let (last, others) = options.split_last()?;
            let message = format!("{} needs {} or {last}; found none", written.what, others.join(", "));
            let example = written.urls[0].0.as_str().to_ascii_lowercase();
            diagnostics.report(
                Diagnostic::error("missing-option", written.span, message)
                    .hint(format!("such as `{example}: \"/orders/{{{{ number }}}}\"`")),
            );
            None
        }
        [(first, nodes), (second, _), ..] => {
            let message = format!("{} is a {first} or a {second}; found both", written.what);
            let hint = format!("keep one of {} and {}", option(first), option(second));
            diagnostics.report(Diagnostic::error("one-of", nodes[0].head(), message).hint(hint));
            None
        }
    }
}

fn target(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Target> {
    let text = node.text().unwrap_or_default();
    if !text.starts_with(['/', '{']) && !text.starts_with("http") {
        diagnostics.report(
            Diagnostic::error("bad-url", node.head(), format!("expected the path of a URL; found {}", node.describe()))
                .hint("it begins with `/` and takes values in braces: `\"/orders/{{ number }}\"`"),
        );
        return None;
    }
    if let Some(segment) = dot_segment(text) {
        let message = format!("the segment `{segment}` in a path leads to another path than the one that stands here");
        diagnostics.report(Diagnostic::error("bad-url", node.head(), message).hint("write the path that is meant, without it"));
        return None;
    }
    let url = Value::compile_url(node, compiler, diagnostics)?;
    let inner = text.trim().strip_prefix("{{").and_then(|text| text.strip_suffix("}}")).unwrap_or_default();
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    let is_secret = inner.trim().strip_prefix("secret.").is_some_and(is_name);
    Some(Target { url, written: text.to_owned(), is_secret })
}

impl Request {
    /// How many URLs there are to ask, each when the one before has no such thing.
    pub(super) fn count(&self) -> usize {
        self.urls.len()
    }

    /// The URLs as they were written.
    pub(super) fn written(&self) -> impl Iterator<Item = &str> {
        self.urls.iter().map(|target| target.written.as_str())
    }

    /// Where the first URL leads, as far as that is written.
    pub(super) fn leads(&self) -> Leads {
        let Some(target) = self.urls.first() else { return Leads::Elsewhere };
        let written = target.written.as_str();
        // an origin ends where the path begins; one with braces in it is only known when it is filled in
        let origin = written.match_indices('/').nth(2).map_or(written, |(end, _)| &written[..end]);
        match Url::parse(origin).ok().filter(|url| url.has_host() && !origin.contains('{')) {
            Some(url) => Leads::To(url.origin().ascii_serialization()),
            None if target.is_secret => Leads::BySecret,
            None if written.starts_with('/') => Leads::Below,
            None => Leads::Elsewhere,
        }
    }

    /// `GET` or `POST`.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Adds what it looks at.
    pub(super) fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        let urls = self.urls.iter().map(|target| &target.url);
        let named = self.query.iter().map(|(_, value)| value).chain(self.headers.iter().map(|(_, value)| value));
        urls.chain(named).for_each(|value| value.add_reads(engine, reads));
        self.body.iter().for_each(|body| body.add_reads(engine, reads));
    }

    /// Fills it in: the URL of number `index` below `base`, or another page of it; `shared` headers go before its own.
    pub(super) fn fill(
        &self,
        index: usize,
        page: &Page,
        base: &str,
        shared: &[(HeaderName, Value)],
        context: Context<'_>,
    ) -> Result<Filled, Failure> {
        let target = self.urls.get(index).ok_or_else(|| Failure::permanent(Step::Enrich, "there is no such URL"))?;
        let first = self.url(target, base, context)?;
        let origin = target.is_secret.then(|| first.origin().ascii_serialization());
        let mut url = page.url.clone().unwrap_or(first);
        if page.url.is_none() {
            for (name, value) in &self.query {
                if let Some(value) = value.evaluate(context).map_err(|error| mapping(name, &error))? {
                    let text = scalar_text(&value)
                        .ok_or_else(|| Failure::permanent(Step::Enrich, format!("`query.{name}` is no text or number")))?;
                    url.query_pairs_mut().append_pair(name, &text);
                }
            }
        }
        for (name, value) in &page.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in shared.iter().chain(&self.headers) {
            let text = value.text(context).map_err(|error| mapping(&format!("header `{name}`"), &error))?;
            let value = header_value(name, &text)?;
            headers.retain(|(known, _)| known != name);
            headers.push((name.clone(), value));
        }
        let body = self.body.as_ref().map(|body| body.fill(context)).transpose()?;
        Ok(Filled { method: self.method.clone(), url, headers, body, origin })
    }

    fn url(&self, target: &Target, base: &str, context: Context<'_>) -> Result<Url, Failure> {
        let text = target.url.text(context).map_err(|error| mapping("URL", &error))?;
        // a secret leads wherever the operator says; everything else is asked for as it is written
        if let Some(segment) = dot_segment(&text).filter(|_| !target.is_secret) {
            let reason =
                format!("a value makes the segment `{segment}` in `{}`, which would lead to another path", target.written);
            return Err(Failure::permanent(Step::Enrich, reason));
        }
        Url::parse(&absolute(&text, base)).map_err(|_| {
            let found = if target.is_secret { "the secret".to_owned() } else { format!("`{}`", target.written) };
            Failure::permanent(Step::Enrich, format!("{found} is no URL that can be called; expected `https://…` or a path"))
        })
    }
}

/// A segment of a URL's path that the path would be resolved by: "this folder", or "the one above". Browsers' rules for URLs take
/// `%2e` for a dot and `\` for a slash, and see neither tabs nor line breaks.
fn dot_segment(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default().replace(['\t', '\n', '\r'], "");
    path.split(['/', '\\']).find_map(|segment| match segment.trim().to_ascii_lowercase().replace("%2e", ".").as_str() {
        "." => Some("."),
        ".." => Some(".."),
        _ => None,
    })
}

/// A path as a URL below `base`; a URL as it is.
pub(super) fn absolute(url: &str, base: &str) -> String {
    if url.starts_with('/') { format!("{base}{url}") } else { url.to_owned() }
}

/// A header's value, which is never shown.
pub(super) fn header_value(name: &HeaderName, text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Failure::permanent(Step::Enrich, format!("header `{name}` has letters that no header can have")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A value of a call that cannot be had: nothing but another file or another record helps.
pub(super) fn mapping(what: &str, error: &ValueError) -> Failure {
    Failure::permanent(Step::Enrich, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segments_that_lead_elsewhere_are_found_however_they_are_written() {
        for (url, expected) in [
            ("/p/../tasks", Some("..")),
            ("/p/%2E%2e/tasks", Some("..")),
            ("/p/.%2E", Some("..")),
            ("/p/%2e/tasks", Some(".")),
            ("https://a.example/p\\..\\tasks", Some("..")),
            ("/p/.\t./tasks", Some("..")),
            ("/p/.. ", Some("..")),
            ("/p/..a/...", None),
            ("/p/%252E%252E/tasks", None),
            ("/p?at=../x", None),
            ("https://a.example/p#/../x", None),
        ] {
            assert_eq!(dot_segment(url), expected, "{url}");
        }
    }

    proptest! {
        #[test]
        fn a_path_without_such_a_segment_is_asked_for_as_it_is_written(path in "(/|\\\\|\\.|%2e|%2E|\\t|a|%2F| ){0,12}") {
            let parsed = Url::parse(&format!("https://a.example/p/{path}")).expect("a URL");
            let segments = path.trim_end().replace('\\', "/").matches('/').count() + 2;
            let kept = parsed.path_segments().map_or(0, Iterator::count);
            prop_assert!(dot_segment(&path).is_some() || kept == segments, "{path:?} is {parsed}");
        }
    }
}
