//! A request as bytes: what is sealed. A version byte, then every part behind its length (32 bits, little-endian), so that
//! body, query and header values stay exactly what was on the wire.

use std::net::IpAddr;

use bytes::Bytes;

use super::error::StoreError;
use crate::model::delivery::Request;

const VERSION: u8 = 1;

/// The request's bytes.
pub(crate) fn encode(request: &Request) -> Vec<u8> {
    let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    let mut out = Vec::with_capacity(64 + request.path.len() + request.query.len() + headers + request.body.len());
    out.push(VERSION);
    put(&mut out, request.method.as_bytes());
    put(&mut out, request.path.as_bytes());
    put(&mut out, request.query.as_bytes());
    put(&mut out, request.peer.map(|peer| peer.to_string()).unwrap_or_default().as_bytes());
    put_length(&mut out, request.headers.len());
    for (name, value) in &request.headers {
        put(&mut out, name.as_bytes());
        put(&mut out, value);
    }
    put(&mut out, &request.body);
    out
}

/// The request that `encode` wrote.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<Request, StoreError> {
    read(Bytes::from(bytes)).ok_or_else(|| StoreError::Damaged("a stored request has a form this program does not know".into()))
}

fn read(mut rest: Bytes) -> Option<Request> {
    if rest.is_empty() || rest.split_to(1)[0] != VERSION {
        return None;
    }
    let method = take_text(&mut rest)?;
    let path = take_text(&mut rest)?;
    let query = take_text(&mut rest)?;
    let peer = take_text(&mut rest)?;
    let peer: Option<IpAddr> = if peer.is_empty() { None } else { Some(peer.parse().ok()?) };
    let count = take_length(&mut rest)?;
    let mut headers = Vec::with_capacity(count.min(rest.len()));
    for _ in 0..count {
        headers.push((take_text(&mut rest)?, take(&mut rest)?));
    }
    let body = take(&mut rest)?;
    rest.is_empty().then_some(Request { method, path, query, headers, body, peer })
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("intake limits requests to far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    put_length(out, part.len());
    out.extend_from_slice(part);
}

fn take_length(rest: &mut Bytes) -> Option<usize> {
    if rest.len() < 4 {
        return None;
    }
    let length = rest.split_to(4);
    usize::try_from(u32::from_le_bytes([length[0], length[1], length[2], length[3]])).ok()
}

fn take(rest: &mut Bytes) -> Option<Bytes> {
    let length = take_length(rest)?;
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn take_text(rest: &mut Bytes) -> Option<String> {
    String::from_utf8(take(rest)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_request_comes_back_as_it_was(
            texts in proptest::array::uniform3(".{0,20}"),
            headers in proptest::collection::vec(("[a-z-]{1,12}", proptest::collection::vec(any::<u8>(), 0..30)), 0..6),
            body in proptest::collection::vec(any::<u8>(), 0..300),
            peer in proptest::option::of(any::<IpAddr>()),
        ) {
            let [method, path, query] = texts;
            let headers = headers.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect();
            let request = Request { method, path, query, headers, body: body.into(), peer };
            prop_assert_eq!(decode(encode(&request)).expect("decodes"), request);
        }

        #[test]
        fn broken_bytes_are_refused_not_misread(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(bytes);
        }
    }
}
