//! What a sender is answered in the words of the route file.

/// An answer: to a handshake, or in place of a delivery's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// From 200 to 299.
    pub status: u16,
    /// `text/plain` or `application/json`; nothing of an empty body.
    pub content_type: Option<&'static str>,
    /// Header names in lower case with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}
