//! `Content-Encoding`: bodies that were made smaller on the way. A request keeps the bytes of the wire, which signatures are
//! over; they are inflated here, as a stream that ends at a limit, whenever the body is looked into.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};

use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::config::yaml::shorten;
use crate::model::delivery::Request;

/// The most encodings on top of each other.
const MOST_ENCODINGS: usize = 3;

/// The largest window of zstd that is taken, as a power of two: the 8 MiB of RFC 9659.
const ZSTD_WINDOW_LOG: u32 = 23;

/// One encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// RFC 1952; several streams in a row are one.
    Gzip,
    /// RFC 1950 as the standard says, or RFC 1951 as some send.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// Why a body was not inflated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Uninflated {
    /// It is larger than so many bytes.
    TooLarge(u64),
    /// It is not what it is declared to be; in words.
    Broken(String),
}

impl fmt::Display for Uninflated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(most) => write!(formatter, "the body inflates to more than the {most} bytes of `max_body`"),
            Self::Broken(reason) => formatter.write_str(reason),
        }
    }
}

impl Encoding {
    fn named(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// The encodings of a request's body in the order in which they were applied; or why they are not read.
pub fn encodings(request: &Request) -> Result<Vec<Encoding>, String> {
    let headers = request.headers.iter().filter(|(name, _)| name == "content-encoding");
    let mut encodings = Vec::new();
    for (_, value) in headers {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        for name in value.split(',').map(str::trim).filter(|name| !matches!(*name, "" | "identity")) {
            let known = Encoding::named(name);
            encodings.push(known.ok_or_else(|| {
                format!("the body's `Content-Encoding` is `{}`; expected gzip, br, zstd, deflate or none", shorten(name))
            })?);
        }
    }
    if encodings.len() > MOST_ENCODINGS {
        return Err(format!(
            "the body has {} encodings on top of each other; expected at most {MOST_ENCODINGS}",
            encodings.len()
        ));
    }
    Ok(encodings)
}

/// The body without its encodings. Of what is inflated, in the end or between two encodings, no more than `most` bytes are ever
/// made. A body without an encoding is itself, whatever its size; an empty body is empty in every encoding.
pub fn inflate(request: &Request, most: u64) -> Result<Bytes, Uninflated> {
    let encodings = encodings(request).map_err(Uninflated::Broken)?;
    if encodings.is_empty() || request.body.is_empty() {
        return Ok(request.body.clone());
    }
    let mut inflated = Vec::new();
    let read = encodings
        .iter()
        .rev()
        .try_fold(Box::new(request.body.as_ref()) as Box<dyn Read>, |inner, encoding| decoder(*encoding, inner, most))
        .and_then(|mut decoder| decoder.read_to_end(&mut inflated));
    match read {
        Ok(_) => Ok(Bytes::from(inflated)),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Err(Uninflated::TooLarge(most)),
        Err(_) => {
            let names = encodings.iter().map(|encoding| encoding.name()).collect::<Vec<_>>().join(", ");
            Err(Uninflated::Broken(format!("the body is declared as `{names}` and is not; expected one whole {names} stream")))
        }
    }
}

fn decoder<'b>(encoding: Encoding, inner: Box<dyn Read + 'b>, most: u64) -> io::Result<Box<dyn Read + 'b>> {
    let decoder: Box<dyn Read + 'b> = match encoding {
        Encoding::Gzip => Box::new(MultiGzDecoder::new(inner)),
        Encoding::Deflate => {
            let mut inner = BufReader::new(inner);
            let is_zlib = matches!(inner.fill_buf()?, [first, second, ..]
                if first & 0x0F == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0);
            if is_zlib { Box::new(ZlibDecoder::new(inner)) } else { Box::new(DeflateDecoder::new(inner)) }
        }
        Encoding::Brotli => {
            let mut decoder = Decompressor::new(inner, 4096);
            // a window of a gigabyte is no part of RFC 7932
            decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
            Box::new(decoder)
        }
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(inner)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    Ok(Box::new(Capped { inner: decoder, left: most }))
}

/// A stream that fails when it is longer than a limit.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // one byte more than is left, to tell a stream that ends here from one that goes on
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).saturating_add(1).min(buffer.len());
        let read = self.inner.read(&mut buffer[..room])?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(io::Error::from(ErrorKind::FileTooLarge)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    /// `hello hello` in brotli, uncompressed.
    const BROTLI: &[u8] = &[0x0b, 0x05, 0x80, b'h', b'e', b'l', b'l', b'o', b' ', b'h', b'e', b'l', b'l', b'o', 0x03];

    fn request(encoding: &str, body: impl Into<Bytes>) -> Request {
        Request {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers: vec![("content-encoding".into(), Bytes::copy_from_slice(encoding.as_bytes()))],
            body: body.into(),
            peer: None,
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory")
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory")
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory")
    }

    fn zstd_of(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).expect("memory")
    }

    fn is_broken(result: Result<Bytes, Uninflated>) -> bool {
        matches!(result, Err(Uninflated::Broken(reason)) if reason.contains("expected"))
    }

    #[test]
    fn every_encoding_is_inflated_and_several_in_a_row() {
        let text = b"hello hello";
        for (encoding, body) in [
            ("identity", text.to_vec()),
            ("", text.to_vec()),
            ("gzip", gzip(text)),
            ("X-GZIP, identity", gzip(text)),
            ("gzip", [gzip(b"hello "), gzip(b"hello")].concat()),
            ("deflate", zlib(text)),
            ("deflate", deflate(text)),
            ("br", BROTLI.to_vec()),
            ("zstd", zstd_of(text)),
            ("gzip, zstd", zstd_of(&gzip(text))),
            ("br, gzip,deflate", zlib(&gzip(BROTLI))),
        ] {
            assert_eq!(inflate(&request(encoding, body), 1000).as_deref(), Ok(&text[..]), "{encoding}");
        }
        assert_eq!(inflate(&request("gzip", ""), 1000).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn the_limit_is_met_to_the_byte() {
        for (encoding, body) in
            [("gzip", gzip(&[b'x'; 1000])), ("zstd", zstd_of(&[b'x'; 1000])), ("deflate", zlib(&[b'x'; 1000]))]
        {
            assert_eq!(inflate(&request(encoding, body.clone()), 1000).map(|body| body.len()), Ok(1000), "{encoding}");
            assert_eq!(inflate(&request(encoding, body), 999), Err(Uninflated::TooLarge(999)), "{encoding}");
        }
        assert_eq!(inflate(&request("br", BROTLI), 10), Err(Uninflated::TooLarge(10)));
    }

    #[test]
    fn a_bomb_ends_at_the_limit_also_between_two_encodings() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 70_000);
        assert_eq!(inflate(&request("gzip", bomb.clone()), 1 << 20), Err(Uninflated::TooLarge(1 << 20)));
        assert_eq!(inflate(&request("gzip, zstd", zstd_of(&bomb)), 1 << 20), Err(Uninflated::TooLarge(1 << 20)));
        // streams that hold nothing: large between the two, nothing in the end
        let nothing = gzip(b"").repeat(100_000);
        assert_eq!(inflate(&request("gzip, gzip", gzip(&nothing)), 1 << 20), Err(Uninflated::TooLarge(1 << 20)));
    }

    #[test]
    fn what_breaks_off_or_is_something_else_is_broken() {
        let text = b"hello hello hello";
        for (encoding, body) in [
            ("gzip", gzip(text)),
            ("deflate", zlib(text)),
            ("deflate", deflate(text)),
            ("br", BROTLI.to_vec()),
            ("zstd", zstd_of(text)),
        ] {
            for length in 1..body.len() {
                assert!(is_broken(inflate(&request(encoding, body[..length].to_vec()), 1000)), "{encoding} {length}");
            }
        }
        assert!(is_broken(inflate(&request("gzip", "{\"a\":1}"), 1000)));
        assert!(is_broken(inflate(&request("gzip", [gzip(text), b"more".to_vec()].concat()), 1000)));
    }

    #[test]
    fn windows_that_need_much_memory_are_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
        encoder.window_log(27).expect("a window");
        encoder.write_all(&[7; 100]).expect("memory");
        assert!(is_broken(inflate(&request("zstd", encoder.finish().expect("memory")), 1000)));
        let large_brotli = [0x11, 0xDE];
        assert!(
            io::read_to_string(Decompressor::new(&large_brotli[..], 0)).is_ok_and(|text| text.is_empty()),
            "nothing, in a window of 1 GiB"
        );
        assert!(is_broken(inflate(&request("br", large_brotli.to_vec()), 1000)));
    }

    #[test]
    fn unknown_encodings_and_towers_of_them_are_refused() {
        let reason = encodings(&request("compress", "x")).expect_err("unknown");
        assert_eq!(reason, "the body's `Content-Encoding` is `compress`; expected gzip, br, zstd, deflate or none");
        assert!(encodings(&request("gzip,gzip,gzip,gzip", "x")).expect_err("a tower").contains("at most 3"));
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            for (encoding, body) in [("gzip", gzip(&bytes)), ("deflate", zlib(&bytes)), ("zstd", zstd_of(&bytes))] {
                prop_assert_eq!(inflate(&request(encoding, body), 2000), Ok(Bytes::from(bytes.clone())), "{}", encoding);
            }
        }

        #[test]
        fn any_bytes_are_a_body_or_a_reason(
            mut bytes in prop::collection::vec(any::<u8>(), 1..200),
            magic in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08\0\0\0\0\0\0\x03", b"\x28\xb5\x2f\xfd", b"\x78\x9c"]),
        ) {
            bytes.splice(0..0, magic.iter().copied());
            for encoding in ["gzip", "deflate", "br", "zstd", "br, gzip"] {
                let inflated = inflate(&request(encoding, bytes.clone()), 5000);
                prop_assert!(inflated.is_err() || inflated.is_ok_and(|body| body.len() <= 5000));
            }
        }
    }
}
