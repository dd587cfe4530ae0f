//! What the doctor tries: the texts that senders usually sign, bodies as they may have been, URLs as the sender may know them.

use super::options::Encoding;
use super::scheme::decode;
use super::text::SignedText;

/// The largest body that is read as JSON for this.
const LARGEST_JSON: usize = 256 << 10;

const USUAL: [&str; 14] = [
    "{body}",
    "{timestamp}.{body}",
    "{timestamp}{body}",
    "{timestamp}:{body}",
    "v0:{timestamp}:{body}",
    "{id}.{timestamp}.{body}",
    "{body}{timestamp}",
    "{url}{body}",
    "{body}{url}",
    "{url}{form_sorted}",
    "{method}{url}{body}{timestamp}",
    "{url}",
    "{timestamp}",
    "{secret}{body}",
];

/// The texts that senders usually sign, as far as what they need is there.
pub(super) fn usual(has_timestamp: bool, has_id: bool) -> Vec<(&'static str, SignedText)> {
    let can_be = |text: &&str| (has_timestamp || !text.contains("{timestamp}")) && (has_id || !text.contains("{id}"));
    USUAL.into_iter().filter(can_be).map(|text| (text, SignedText::usual(text))).collect()
}

/// An encoding in a word.
pub(super) fn word_of(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Hex => "hex",
        Encoding::Base64 => "base64",
        Encoding::Base64Url => "base64url",
    }
}

/// The bytes that a text may stand for, in the encoding that was said first; only those that may be a signature.
pub(super) fn encodings_of(said: Encoding, text: &str) -> Vec<(Encoding, Vec<u8>)> {
    let others = [Encoding::Hex, Encoding::Base64, Encoding::Base64Url].into_iter().filter(|other| *other != said);
    let mut found: Vec<(Encoding, Vec<u8>)> = Vec::new();
    for encoding in [said].into_iter().chain(others) {
        if let Some(bytes) = decode(encoding, text).filter(|bytes| bytes.len() >= 20)
            && !found.iter().any(|(_, known)| *known == bytes)
        {
            found.push((encoding, bytes));
        }
    }
    found
}

/// The body as it may have been, with words for what happened to it.
pub(super) fn bodies(body: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut bodies = Vec::new();
    let mut add = |body: Vec<u8>, words| bodies.push((body, words));
    for ending in [&b"\r\n"[..], b"\n"] {
        match body.strip_suffix(ending) {
            Some(cut) => add(cut.to_vec(), "when the newline at the body's end is cut"),
            None => add([body, ending].concat(), "when a newline follows the body"),
        }
    }
    if let Ok(text) = std::str::from_utf8(body) {
        if text.contains("\r\n") {
            add(text.replace("\r\n", "\n").into_bytes(), "when the lines of the body end in a newline alone");
        } else if text.contains('\n') {
            add(text.replace('\n', "\r\n").into_bytes(), "when the lines of the body end in carriage return and newline");
        }
        if let Some(without) = text.strip_prefix('\u{feff}') {
            add(without.as_bytes().to_vec(), "when the mark at the body's start is cut");
        }
    }
    if body.len() <= LARGEST_JSON
        && let Ok(json) = serde_json::from_slice::<serde_json::Value>(body)
    {
        let compact = json.to_string();
        let pretty = serde_json::to_string_pretty(&json).unwrap_or_default();
        let words = "when the JSON of the body is written in another way";
        for text in [spaced(&compact), compact, pretty] {
            if text.as_bytes() != body && !bodies.iter().any(|(known, _)| known == text.as_bytes()) {
                bodies.push((text.into_bytes(), words));
            }
        }
    }
    bodies
}

/// Compact JSON with a space behind each `,` and `:`, as Python writes it.
fn spaced(compact: &str) -> String {
    let mut text = String::with_capacity(compact.len() + compact.len() / 8);
    let (mut inside, mut escaped) = (false, false);
    for letter in compact.chars() {
        text.push(letter);
        match letter {
            '"' if !escaped => inside = !inside,
            ',' | ':' if !inside => text.push(' '),
            _ => {}
        }
        escaped = inside && letter == '\\' && !escaped;
    }
    text
}

/// The URL as the sender may know it, with words for the difference.
pub(super) fn urls(url: &str) -> Vec<(String, &'static str)> {
    let mut urls = Vec::new();
    if let Some(rest) = url.strip_prefix("http://") {
        urls.push((format!("https://{rest}"), "`https://…`, not `http://…`"));
    }
    if let Some(rest) = url.strip_prefix("https://") {
        urls.push((format!("http://{rest}"), "`http://…`, not `https://…`"));
    }
    let schemes: Vec<String> = std::iter::once(url.to_owned()).chain(urls.iter().map(|(url, _)| url.clone())).collect();
    for url in schemes {
        let (before, query) = url.split_once('?').map_or((url.as_str(), ""), |(before, query)| (before, query));
        let with_query = |path: String| if query.is_empty() { path } else { format!("{path}?{query}") };
        if !query.is_empty() {
            urls.push((before.to_owned(), "without its query"));
        }
        match before.strip_suffix('/') {
            Some(cut) => urls.push((with_query(cut.to_owned()), "without the slash at the path's end")),
            None => urls.push((with_query(format!("{before}/")), "with a slash at the path's end")),
        }
        if let Some(without_port) = without_port(&url) {
            urls.push((without_port, "without its port"));
        }
    }
    urls
}

fn without_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, port) = rest[..end].rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port.then(|| format!("{scheme}://{host}{}", &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_other_languages_write_it() {
        let found: Vec<String> = bodies(br#"{ "a":[1,2.50], "b":"x, \"y:" }"#)
            .into_iter()
            .map(|(body, _)| String::from_utf8_lossy(&body).into_owned())
            .collect();
        assert!(found.contains(&r#"{"a":[1,2.50],"b":"x, \"y:"}"#.to_owned()), "{found:?}");
        assert!(found.contains(&r#"{"a": [1, 2.50], "b": "x, \"y:"}"#.to_owned()), "{found:?}");
    }
}
