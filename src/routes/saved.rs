//! A saved request: an `.http` file as editors and proxies write it, or a bare body. Reading one is the opposite of sending one.

use bytes::Bytes;

use super::receive::Receive;
use crate::model::delivery::Request;

/// Reads a saved request. A text without a request line is a body, sent to the source's own path.
pub fn read(text: &str, receive: &Receive) -> Result<Request, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match request_line(text) {
        Some((method, target)) => with_head(method, target, text),
        None => Ok(bare(text, receive)),
    }
}

/// Method and target, when the first line is a request line.
fn request_line(text: &str) -> Option<(&str, &str)> {
    let mut words = text.lines().next()?.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let is_method = method.len() >= 3 && method.chars().all(|letter| letter.is_ascii_uppercase());
    (is_method && (target.starts_with('/') || target.starts_with("http"))).then_some((method, target))
}

fn with_head(method: &str, target: &str, text: &str) -> Result<Request, String> {
    let (head, body) = split_head(text);
    let mut headers = Vec::new();
    for (number, line) in head.lines().enumerate().skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            return Err(format!(
                "line {}: expected a header such as `Content-Type: application/json`; found `{line}`",
                number + 1
            ));
        };
        headers.push((name.trim().to_ascii_lowercase(), Bytes::from(value.trim().to_owned())));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
    // the newline at the end is the file's, not the body's, unless the body is as long as it says only with it
    let body = match body.strip_suffix("\r\n").or_else(|| body.strip_suffix('\n')) {
        Some(cut) if length != Some(body.len()) => cut,
        _ => body,
    };
    let below_host = target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let (path, query) = below_host.split_once('?').unwrap_or((below_host, ""));
    Ok(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Bytes::from(body.to_owned()),
        peer: None,
    })
}

/// What stands before the first empty line, and the bytes behind it.
fn split_head(text: &str) -> (&str, &str) {
    let ends = ["\n\n", "\n\r\n"].into_iter().filter_map(|end| text.find(end).map(|at| (at, at + end.len())));
    match ends.min() {
        Some((head, body)) => (&text[..head], &text[body..]),
        None => (text.trim_end(), ""),
    }
}

/// A body alone, as it would come to the source: at its path, with the first of the values that it asks for.
fn bare(body: &str, receive: &Receive) -> Request {
    let literal = |patterns: &[crate::steps::choose::Pattern]| {
        let first = patterns.iter().find(|pattern| pattern.is_literal()).or(patterns.first());
        first.map(|pattern| pattern.text().replace('*', "")).unwrap_or_default()
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(receive.query.iter().map(|(name, patterns)| (name, literal(patterns))));
    let headers = receive.headers.iter().map(|(name, patterns)| (name.replace('_', "-"), Bytes::from(literal(patterns))));
    let mut headers: Vec<(String, Bytes)> = headers.collect();
    if serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok() {
        headers.push(("content-type".to_owned(), Bytes::from("application/json")));
    }
    Request {
        method: receive.methods.first().cloned().unwrap_or_default(),
        path: receive.path_text(),
        query: query.finish(),
        headers,
        body: Bytes::from(body.trim_end_matches('\n').to_owned()),
        peer: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::receive;
    use super::*;
    use crate::config::diagnostic::Diagnostics;
    use crate::config::source::{Sources, Span};

    fn receive() -> Receive {
        let file = Sources::default().add("a.yaml", "");
        receive::compile(None, "a", Span::new(file, 0..0), &mut Diagnostics::default()).expect("the default")
    }

    #[test]
    fn a_request_is_read_as_it_was_saved() {
        for text in [
            "POST /in/a?k=v HTTP/1.1\r\nHost: x\r\nX-Kind: order\r\n\r\n{ }\n",
            "POST https://x/in/a?k=v\nHost: x\nX-Kind: order\n\n{ }\n",
        ] {
            let request = read(text, &receive()).expect(text);
            assert_eq!((request.method.as_str(), request.path.as_str(), request.query.as_str()), ("POST", "/in/a", "k=v"));
            assert_eq!((request.header("x-kind"), &request.body[..]), (Some("order"), &b"{ }"[..]));
        }
        let empty_line = read("POST /in/a HTTP/1.1\r\nX-Kind: order\r\n\r\n{\n\n}\r\n", &receive()).expect("a body");
        assert_eq!((empty_line.header("x-kind"), &empty_line.body[..]), (Some("order"), &b"{\n\n}"[..]));
        let exact = "POST /in/a HTTP/1.1\r\ncontent-length: 7\r\n\r\n{\r\n }\r\n";
        assert_eq!(read(exact, &receive()).expect("a body").body, "{\r\n }\r\n");
        assert_eq!(read(&exact.replace('7', "5"), &receive()).expect("a body").body, "{\r\n }");
        assert!(read("POST / HTTP/1.1\nnot a header\n\n", &receive()).is_err_and(|reason| reason.starts_with("line 2")));
    }

    #[test]
    fn a_bare_body_goes_to_the_sources_own_path() {
        let request = read("{\"id\":1}\n", &receive()).expect("a body");
        assert_eq!((request.path.as_str(), request.header("content-type")), ("/in/a", Some("application/json")));
    }
}
