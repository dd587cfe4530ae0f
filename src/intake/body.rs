//! Reading a request: its head as data, its body within the source's limit and within a time that slow senders cannot stretch.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header;
use axum::http::request::Parts;
use futures_util::StreamExt as _;

use super::rejection::Rejection;
use crate::model::delivery::Request;
use crate::payload::inflate;

/// The most bytes of a URL and all headers together.
const LARGEST_HEAD: usize = 32 << 10;
/// The longest a body may take to arrive.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// How much of a refused body is read and let go, in bytes and time.
const MOST_LET_GO: usize = 4 << 20;
const LONGEST_LET_GO: Duration = Duration::from_secs(1);

/// The request without its body.
pub(super) fn head(parts: &Parts, peer: Option<IpAddr>) -> Request {
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())));
    Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: Bytes::new(),
        peer,
    }
}

/// Refuses a URL and headers that are longer than any provider's.
pub(super) fn refuse_long_head(parts: &Parts) -> Result<(), Rejection> {
    let headers: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let url = parts.uri.path_and_query().map_or(0, |text| text.as_str().len());
    if headers + url > LARGEST_HEAD { Err(Rejection::HeadTooLarge) } else { Ok(()) }
}

/// Refuses encodings that nobody here can undo, before the body is read.
pub(super) fn refuse_unknown_encodings(request: &Request) -> Result<(), Rejection> {
    inflate::encodings(request).map(drop).map_err(Rejection::Broken)
}

/// The whole body as it stands on the wire, at most `most` bytes of it, which may take `longest` to arrive.
pub(super) async fn read(parts: &Parts, body: Body, most: u64, longest: Duration) -> Result<Bytes, Rejection> {
    let declared = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most) {
        if !parts.headers.contains_key(header::EXPECT) {
            let_it_arrive(body).await;
        }
        return Err(Rejection::TooLarge(most));
    }
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    match tokio::time::timeout(longest, to_bytes(body, limit)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_length_limit(&error) => Err(Rejection::TooLarge(most)),
        Ok(Err(_)) => Err(Rejection::Broken("the body broke off".to_owned())),
        Err(_) => Err(Rejection::TooSlow),
    }
}

/// A connection that is closed while the sender still writes is reset, and the answer is lost on the way. So a little of a refused
/// body is read and let go; who waits to be told to go on is answered at once.
async fn let_it_arrive(body: Body) {
    let mut left = MOST_LET_GO;
    let reading = async {
        let mut frames = body.into_data_stream();
        while let Some(Ok(frame)) = frames.next().await {
            left = left.saturating_sub(frame.len());
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LONGEST_LET_GO, reading).await;
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // the type is not exported by axum; its message is part of its documentation
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_slowly(pieces: u32, most: u64) -> Result<Bytes, Rejection> {
        let (parts, ()) = axum::http::Request::new(()).into_parts();
        let pieces = futures_util::stream::unfold(0, move |number| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            (number < pieces).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b"1234")), number + 1))
        });
        read(&parts, Body::from_stream(pieces), most, Duration::from_millis(400)).await
    }

    #[tokio::test]
    async fn a_body_has_its_time_and_its_size_however_it_comes() {
        assert_eq!(read_slowly(2, 8).await, Ok(Bytes::from_static(b"12341234")));
        assert_eq!(read_slowly(3, 8).await, Err(Rejection::TooLarge(8)));
        assert_eq!(read_slowly(1000, 8000).await, Err(Rejection::TooSlow));
    }
}
