//! Bytes to records: the request as the first keys of the event document, its body decoded (one file per format), and splitting.

pub mod json;
pub mod options;
pub mod request;
