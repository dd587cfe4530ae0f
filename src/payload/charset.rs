//! From bytes to text: the charset that the file, the content type or a byte order mark names, else UTF-8.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, report_expected};
use crate::config::yaml::{Node, shorten};

/// A way to write text as bytes. Names are those of the web (`utf-8`, `iso-8859-1`, `windows-1252`, `utf-16`, …) and mean what
/// browsers mean by them: `iso-8859-1` is read as Windows-1252, of which it is a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charset(&'static Encoding);

impl Charset {
    /// The default of the whole program.
    pub const UTF_8: Self = Self(UTF_8);

    /// The charset of that name.
    pub fn named(name: &str) -> Option<Self> {
        Encoding::for_label_no_replacement(name.as_bytes()).map(Self)
    }

    /// What a body is written in: what the file says, else what the content type says, else what a byte order mark says, else
    /// what `hint` of the format itself says, else UTF-8.
    pub(super) fn of(written: Option<Self>, declared: Option<&str>, bytes: &[u8], hint: Option<&str>) -> Result<Self, String> {
        if let Some(written) = written {
            return Ok(written);
        }
        let marked = Encoding::for_bom(bytes).map(|(encoding, _)| Self(encoding));
        let Some(name) = declared.or(hint.filter(|_| marked.is_none())) else { return Ok(marked.unwrap_or(Self::UTF_8)) };
        Self::named(name).ok_or_else(|| {
            format!("the body is declared to be in the charset `{}`, which is not known; say `payload: {{ charset: utf-8 }}` or what it is", shorten(name))
        })
    }

    /// The text of a whole body, without its byte order mark; or where it stops being text.
    pub(super) fn text(self, bytes: &[u8]) -> Result<Cow<'_, str>, String> {
        match Encoding::for_bom(bytes) {
            // `utf-16` does not say in which order the bytes stand; the mark does
            Some((marked, length)) if marked == self.0 || (self.is_utf_16() && marked != UTF_8) => {
                Self(marked).text_of_part(&bytes[length..])
            }
            _ => self.text_of_part(bytes),
        }
    }

    /// The text of a part of a body, in which a byte order mark is a sign like others; or where it stops being text.
    pub(super) fn text_of_part(self, bytes: &[u8]) -> Result<Cow<'_, str>, String> {
        let encoding = self.0;
        if encoding == UTF_8 {
            let text = std::str::from_utf8(bytes).map(Cow::Borrowed);
            return text.map_err(|error| undecodable(encoding, error.valid_up_to()));
        }
        let mut text = String::new();
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let mut read = 0;
        loop {
            text.reserve(decoder.max_utf8_buffer_length_without_replacement(bytes.len() - read).unwrap_or(bytes.len()));
            let (result, more) = decoder.decode_to_string_without_replacement(&bytes[read..], &mut text, true);
            read += more;
            match result {
                DecoderResult::InputEmpty => return Ok(Cow::Owned(text)),
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => return Err(undecodable(encoding, read.saturating_sub(1))),
            }
        }
    }

    /// The same bytes in a charset that has ASCII at its usual places, for formats that are cut at ASCII signs.
    pub(super) fn with_ascii(self, bytes: &[u8]) -> Result<(Self, Cow<'_, [u8]>), String> {
        if self.is_utf_16() {
            return Ok((Self::UTF_8, Cow::Owned(self.text(bytes)?.into_owned().into_bytes())));
        }
        let mark: &[u8] = if self == Self::UTF_8 { b"\xEF\xBB\xBF" } else { b"" };
        Ok((self, Cow::Borrowed(bytes.strip_prefix(mark).unwrap_or(bytes))))
    }

    fn is_utf_16(self) -> bool {
        self.0 == UTF_16LE || self.0 == UTF_16BE
    }
}

fn undecodable(encoding: &'static Encoding, at: usize) -> String {
    let name = encoding.name();
    format!(
        "byte {at} (from 0) is not {name}; if it is written in another charset, say so: `payload: {{ charset: windows-1252 }}`"
    )
}

impl FromYaml for Charset {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let charset = node.text().and_then(Self::named);
        if charset.is_none() {
            report_expected("a charset such as `utf-8`, `iso-8859-1` or `windows-1252`", node, diagnostics);
        }
        charset
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(name: &str, bytes: &[u8]) -> Result<String, String> {
        Charset::named(name).expect("known").text(bytes).map(Cow::into_owned)
    }

    #[test]
    fn danish_and_german_letters_arrive_from_every_charset() {
        for (name, bytes) in [
            ("utf-8", "Ærø €".as_bytes()),
            ("utf-8", "\u{FEFF}Ærø €".as_bytes()),
            ("windows-1252", b"\xC6r\xF8 \x80"),
            ("iso-8859-1", b"\xC6r\xF8 \x80"),
            ("iso-8859-15", b"\xC6r\xF8 \xA4"),
            ("utf-16", b"\xC6\0r\0\xF8\0 \0\xAC\x20"),
            ("utf-16", b"\xFE\xFF\0\xC6\0r\0\xF8\0 \x20\xAC"),
        ] {
            assert_eq!(text(name, bytes).as_deref(), Ok("Ærø €"), "{name}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_place() {
        assert!(text("utf-8", b"ab\xF8").expect_err("no text").starts_with("byte 2 (from 0) is not UTF-8"));
        assert!(text("utf-16le", b"a\0\0\xD8").expect_err("half a pair").contains("UTF-16LE"));
    }

    #[test]
    fn the_file_goes_before_the_content_type_and_that_before_the_mark() {
        let latin = Charset::named("latin1");
        let mark = b"\xFF\xFEa\0";
        assert_eq!(Charset::of(latin, Some("utf-8"), mark, None).ok(), latin);
        assert_eq!(Charset::of(None, Some("UTF-8"), mark, None), Ok(Charset::UTF_8));
        assert_eq!(Charset::of(None, None, mark, Some("latin1")), Ok(Charset(UTF_16LE)));
        assert_eq!(Charset::of(None, None, b"a", Some("latin1")).ok(), latin);
        assert_eq!(Charset::of(None, None, b"a", None), Ok(Charset::UTF_8));
        assert!(Charset::of(None, Some("klingon"), b"a", None).expect_err("unknown").contains("`klingon`"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_text_or_not(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            name in prop::sample::select(vec!["utf-8", "utf-16", "utf-16be", "latin1", "shift_jis", "iso-2022-jp", "gb18030", "euc-kr"]),
        ) {
            let _ = text(name, &bytes);
        }
    }
}
