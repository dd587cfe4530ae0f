//! Bytes to records: the request as the first keys of the event document, its body inflated, read as text in its charset and
//! decoded (one file per format), and what of it is split or always a list.

pub mod charset;
pub mod content_type;
pub mod csv;
pub mod decode;
pub mod form;
pub mod inflate;
pub mod json;
pub mod json_lenient;
pub mod jwt;
pub mod limits;
pub mod lists;
pub mod multipart;
pub mod ndjson;
pub mod options;
pub mod positional;
pub mod request;
pub mod xml;

/// What a body can be written in, with what the file says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Format {
    /// JSON, strictly.
    Json,
    /// JSON as people and templates write it.
    JsonLenient,
    /// `name=value&name=value`.
    Form,
    /// Values without names: `1001&1002`.
    Positional(positional::Positional),
    /// XML.
    Xml,
    /// Rows of values.
    Csv(csv::Csv),
    /// One JSON value a line.
    Ndjson,
    /// Form fields and files.
    Multipart,
    /// The whole body is one text.
    Text,
    /// The body is not read.
    None,
    /// A signed token, whose claims are read and not verified.
    Jwt,
}
