//! `multipart/form-data` (RFC 7578): fields and files. The body is whole in memory and within the source's limit, so it is cut
//! here rather than streamed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde_json::{Map, Value as Json, json};

use super::charset::Charset;
use super::content_type::{ContentType, read_parameters};
use super::form::{add, trim_line_end};
use super::limits::Budget;

/// The longest boundary; RFC 2046 allows 70 bytes.
const LONGEST_BOUNDARY: usize = 200;

/// The most bytes of one part's headers.
const MOST_HEADER_BYTES: usize = 8 * 1024;

/// Reads a body into an object.
///
/// A field is a text. A file, which is a part with a `filename`, is `{ filename, content_type, text }` when its content type is
/// some text (`text/*`, JSON, XML, CSV) and it really is one, else `{ filename, content_type, base64 }`; `content_type` is
/// missing when the sender said none. A name that occurs several times is a list, as in a form. The boundary is the content
/// type's, else what the body's first line says.
pub(super) fn decode(bytes: &[u8], declared: &ContentType, charset: Charset, mut budget: Budget) -> Result<Json, String> {
    let mut fields = Map::new();
    let boundary = boundary(bytes, declared)?;
    for (part, number) in cut(bytes, &boundary)?.into_iter().zip(1usize..) {
        budget.take()?;
        let failed = |reason: String| format!("part {number} of the body: {reason}");
        let (name, value) = read_part(part, charset).map_err(failed)?;
        add(&mut fields, name, value);
    }
    Ok(Json::Object(fields))
}

fn boundary(bytes: &[u8], declared: &ContentType) -> Result<Vec<u8>, String> {
    let first_line =
        || bytes.split(|byte| *byte == b'\n').next().and_then(|line| line.strip_prefix(b"--")).map(<[u8]>::trim_ascii_end);
    let boundary = declared.parameter("boundary").map(str::as_bytes).or_else(first_line).unwrap_or_default();
    if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY {
        return Err("the body has no boundary between its parts; expected `multipart/form-data; boundary=…`".to_owned());
    }
    Ok(boundary.to_vec())
}

/// The parts between the boundaries, headers and content.
fn cut<'b>(bytes: &'b [u8], boundary: &[u8]) -> Result<Vec<&'b [u8]>, String> {
    let delimiter = [b"\n--", boundary].concat();
    let finder = memmem::Finder::new(&delimiter);
    let mut parts = Vec::new();
    // the first boundary may stand at the very start, without a line break before it
    let mut rest = match bytes.strip_prefix(&delimiter[1..]) {
        Some(rest) => rest,
        None => after(bytes, &finder).ok_or("its boundary does not stand in the body")?.1,
    };
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let line_end = memchr::memchr(b'\n', rest).filter(|end| rest[..*end].trim_ascii().is_empty());
        let start = line_end.ok_or("the body breaks off behind a boundary")?;
        // the line break stays, so that a part without headers and content still ends with one
        let (part, next) = after(&rest[start..], &finder).ok_or("the body breaks off before its last boundary")?;
        parts.push(part.get(1..).unwrap_or_default());
        rest = next;
    }
}

/// What stands before the next boundary line, and what behind the boundary.
fn after<'b>(bytes: &'b [u8], finder: &memmem::Finder<'_>) -> Option<(&'b [u8], &'b [u8])> {
    let ends_line = |rest: &[u8]| {
        let rest = rest.trim_ascii_start();
        rest.starts_with(b"--") || rest.is_empty()
    };
    finder.find_iter(bytes).find_map(|at| {
        let rest = &bytes[at + finder.needle().len()..];
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        // a longer line is content that only begins like the boundary
        ends_line(line).then(|| (bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]), rest))
    })
}

fn read_part(part: &[u8], charset: Charset) -> Result<(String, Json), String> {
    let (headers, content) = headers_and_content(part)?;
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str());
    let disposition = header("content-disposition").ok_or("it has no `Content-Disposition`")?;
    let parameters = read_parameters(disposition.split_once(';').map_or("", |(_, parameters)| parameters));
    let parameter = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let name = parameter("name").ok_or("its `Content-Disposition` has no `name`")?;
    if header("content-transfer-encoding")
        .is_some_and(|encoding| !matches!(encoding.to_ascii_lowercase().as_str(), "7bit" | "8bit" | "binary"))
    {
        return Err("it has a `Content-Transfer-Encoding`; expected its bytes as they are".to_owned());
    }
    let declared = header("content-type").map(ContentType::parse);
    let own = declared.as_ref().and_then(|declared| declared.parameter("charset")).and_then(Charset::named).unwrap_or(charset);
    let filename = parameter("filename*").and_then(|value| extended(&value)).or_else(|| parameter("filename"));
    let Some(filename) = filename else {
        return Ok((name, Json::String(own.text_of_part(content)?.into_owned())));
    };
    let mut file = Map::from_iter([("filename".to_owned(), json!(filename))]);
    if let Some(declared) = &declared {
        file.insert("content_type".to_owned(), json!(declared.media_type));
    }
    let text = declared.filter(is_text).and_then(|_| own.text(content).ok());
    match text {
        Some(text) => file.insert("text".to_owned(), json!(text)),
        None => file.insert("base64".to_owned(), json!(STANDARD.encode(content))),
    };
    Ok((name, Json::Object(file)))
}

type Headers = Vec<(String, String)>;

fn headers_and_content(part: &[u8]) -> Result<(Headers, &[u8]), String> {
    let mut headers = Vec::new();
    let mut rest = part;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = trim_line_end(&rest[..=end]);
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Ok((headers, rest));
        }
        if part.len() - rest.len() > MOST_HEADER_BYTES {
            return Err(format!("its headers have more than {MOST_HEADER_BYTES} bytes"));
        }
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':').ok_or("one of its headers has no `:`")?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Err("its headers do not end with an empty line".to_owned())
}

/// `UTF-8''na%C3%AFve.txt` (RFC 8187).
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(encoded).collect();
    Charset::named(charset)?.text_of_part(&bytes).ok().map(std::borrow::Cow::into_owned)
}

fn is_text(declared: &ContentType) -> bool {
    let media_type = declared.media_type.as_str();
    media_type.starts_with("text/")
        || ["json", "xml", "csv", "jsonl", "x-www-form-urlencoded"].iter().any(|end| media_type.ends_with(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &str = "preamble\r\n--YZ\r\nContent-Disposition: form-data; name=\"no\"\r\n\r\n20417\r\n--YZ \r\n\
        content-disposition: form-data; name=\"a\"; filename=\"l.csv\"\r\nContent-Type: text/csv; charset=iso-8859-1\r\n\r\n\u{1}\n--YZ2\r\n--YZ\r\n\
        Content-Disposition: form-data; name=\"a\"; filename=\"C:\\x.bin\"; filename*=UTF-8''%C3%B8.bin\r\nContent-Type: image/png\r\n\r\n\u{1}\r\n--YZ\r\n\
        Content-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--YZ--\r\nepilogue";

    fn decoded(bytes: &[u8], header: &str) -> Result<String, String> {
        decode(bytes, &ContentType::parse(header), Charset::UTF_8, Budget::verified()).map(|json| json.to_string())
    }

    fn body() -> Vec<u8> {
        BODY.bytes().map(|byte| if byte == 1 { 0xF8 } else { byte }).collect()
    }

    #[test]
    fn fields_are_texts_and_files_say_what_they_are() {
        let expected = concat!(
            r#"{"no":"20417","a":[{"filename":"l.csv","content_type":"text/csv","text":"ø\n--YZ2"},"#,
            r#"{"filename":"ø.bin","content_type":"image/png","base64":"+A=="}],"empty":""}"#
        );
        assert_eq!(decoded(&body(), "multipart/form-data; boundary=YZ").as_deref(), Ok(expected));
        let without_preamble = &body()["preamble\r\n".len()..];
        assert_eq!(decoded(without_preamble, "application/octet-stream").as_deref(), Ok(expected), "the first line says it");
        assert_eq!(decoded(b"--b--\r\n", "a/b; boundary=b").as_deref(), Ok("{}"));
        let lines = b"--b\nContent-Disposition: form-data; name=a\n\n1\n--b--";
        assert_eq!(decoded(lines, "a/b; boundary=b").as_deref(), Ok(r#"{"a":"1"}"#));
    }

    #[test]
    fn what_is_cut_wrong_is_refused_by_part() {
        for (body, reason) in [
            ("hunter2", "its boundary does not stand in the body"),
            ("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nhunter2", "breaks off before its last boundary"),
            ("--b\r\n\r\nhunter2\r\n--b--", "part 1 of the body: it has no `Content-Disposition`"),
            ("--b\r\nContent-Disposition: form-data\r\n\r\nhunter2\r\n--b--", "has no `name`"),
            ("--b\r\nhunter2\r\n--b--", "part 1 of the body: its headers do not end"),
            ("--b\r\n\r\n--b--", "part 1 of the body"),
            ("--b\r\nhunter2\r\n\r\n--b--", "part 1 of the body: one of its headers has no `:`"),
            ("--b\r\n--b--", "part 1 of the body"),
            ("--b", "breaks off behind a boundary"),
        ] {
            let found = decoded(body.as_bytes(), "multipart/form-data; boundary=b").expect_err(body);
            assert!(found.contains(reason) && !found.contains("hunter2"), "{body:?}: {found}");
        }
        assert!(decoded(b"hunter2", "multipart/form-data").expect_err("none").contains("no boundary"));
        let latin = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\xF8\r\n--b--";
        assert!(decoded(latin, "a/b; boundary=b").expect_err("latin").contains("part 1 of the body: byte 0"));
    }

    proptest! {
        #[test]
        fn fields_come_back(fields in prop::collection::btree_map("[a-z]{1,6}", "[^-]{0,20}", 0..6)) {
            let part = |(name, value): (&String, &String)| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            let body = format!("{}--b--\r\n", fields.iter().map(part).collect::<String>());
            let expected: Map<String, Json> = fields.into_iter().map(|(name, value)| (name, Json::String(value))).collect();
            prop_assert_eq!(decode(body.as_bytes(), &ContentType::parse("a/b; boundary=b"), Charset::UTF_8, Budget::verified()), Ok(Json::Object(expected)));
        }

        #[test]
        fn any_bytes_are_an_object_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..200), signs in "(--b|--|\\r\\n|\\n|a|:|;|Content-Disposition: x; name=a|\\r\\n\\r\\n){0,12}") {
            let _ = decoded(&bytes, "multipart/form-data");
            let _ = decoded(&bytes, "multipart/form-data; boundary=b");
            let _ = decoded(signs.as_bytes(), "multipart/form-data; boundary=b");
        }
    }
}
