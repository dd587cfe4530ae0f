//! The doctor: why a signature did not verify, for the integrator and never for the sender. It tries what people usually get wrong,
//! one thing at a time and within a bound, and says what would have matched. It never says what was expected, nor anything of a secret.

use std::collections::BTreeSet;

use super::algorithm::Algorithm;
use super::doctor_texts::{self as texts, bodies, encodings_of, urls};
use super::key::Key;
use super::options::Encoding;
use super::scheme::{Presented, Scheme, decode};
use super::text::{Ingredients, SignedText};
use crate::auth::evidence::Evidence;
use crate::auth::secret::Candidate;
use crate::auth::secret_form::SecretForm;
use crate::model::event::EventDocument;

/// The most bytes that one examination signs.
const MOST_BYTES: usize = 8 << 20;
/// The most signatures that one examination computes.
const MOST_TRIES: usize = 160;
/// The most secrets and signatures that are tried with each other.
const MOST_OF_EACH: usize = 4;

/// A request that did not verify.
#[derive(Clone, Copy)]
pub(super) struct Patient<'a> {
    pub(super) scheme: &'a Scheme,
    pub(super) evidence: &'a Evidence<'a>,
    pub(super) document: &'a EventDocument,
    pub(super) presented: &'a Presented,
    pub(super) candidates: &'a [Candidate<'a>],
}

/// What is done otherwise than the route file says.
#[derive(Clone, Copy)]
struct Variant<'a> {
    algorithm: Algorithm,
    key: &'a Key,
    signed: &'a SignedText,
    body: &'a [u8],
    url: &'a str,
}

struct Examination<'a> {
    patient: Patient<'a>,
    /// What the presented texts may mean, in the encoding that the route file says first.
    signatures: Vec<(Encoding, Vec<u8>)>,
    /// The encoding in which one of them matched.
    matched: Encoding,
    bytes_left: usize,
    tries_left: usize,
}

/// Everything there is to say.
pub(super) fn findings(patient: Patient<'_>) -> Vec<String> {
    let mut findings = written_wrongly(patient);
    if patient.candidates.is_empty() {
        findings.push("the secret is unknown: the request is for no integration that holds it".to_owned());
        return findings;
    }
    let mut keys = Vec::new();
    for candidate in patient.candidates.iter().take(MOST_OF_EACH) {
        match patient.scheme.key(candidate) {
            Ok(key) => keys.push((key, candidate.is_active)),
            Err(reason) => findings.push(reason),
        }
    }
    let said = patient.scheme.encoding;
    let signatures: Vec<(Encoding, Vec<u8>)> =
        patient.presented.texts.iter().take(MOST_OF_EACH).flat_map(|text| encodings_of(said, text)).collect();
    if signatures.is_empty() {
        return findings;
    }
    let mut examination = Examination { patient, signatures, matched: said, bytes_left: MOST_BYTES, tries_left: MOST_TRIES };
    match examination.cause(&keys) {
        Some(cause) if examination.matched == said => findings.push(cause),
        Some(cause) => {
            let word = texts::word_of(examination.matched);
            findings.push(format!("{cause}; the signature is read with `encoding: {word}`"));
        }
        None if examination.is_exhausted() => {
            findings.push("the body is too large to try everything that is usually wrong; nothing that was tried matches".to_owned());
        }
        None if findings.is_empty() => findings.push(
            "nothing that is usually wrong explains it: most likely the secret is another one, or the body was changed on the way".to_owned(),
        ),
        None => {}
    }
    findings
}

/// Why what stands at `at` is no signature in the form that `read` says.
pub(super) fn misread(scheme: &Scheme, found: &str) -> String {
    let at = scheme.at.words();
    let form = scheme.reading.text();
    let bare = encodings_of(scheme.encoding, found.trim());
    let finding = format!("what stands at {at} does not have the form `{form}`");
    if !bare.is_empty() {
        return format!("{finding}: it is a bare signature");
    }
    match found
        .split_once('=')
        .filter(|(before, _)| before.len() <= 12 && before.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    {
        Some((before, _)) if !form.contains(&format!("{before}=")) => format!("{finding}: it begins with `{before}=`"),
        _ => finding,
    }
}

/// What is wrong with how the signature is written.
fn written_wrongly(patient: Patient<'_>) -> Vec<String> {
    let scheme = patient.scheme;
    let mut findings = BTreeSet::new();
    for text in patient.presented.texts.iter().take(MOST_OF_EACH) {
        let expected = scheme.algorithm.length();
        match decode(scheme.encoding, text) {
            None => {
                let other = encodings_of(scheme.encoding, text).into_iter().next();
                let said = texts::word_of(scheme.encoding);
                findings.insert(match other {
                    Some((encoding, _)) => format!("the signature is not {said} but {}", texts::word_of(encoding)),
                    None => format!("the signature is not {said}"),
                });
            }
            Some(bytes) if expected.is_some_and(|expected| expected != bytes.len()) => {
                let (name, expected) = (scheme.algorithm.name(), expected.unwrap_or_default());
                findings.insert(format!("the signature has {} bytes; those of `{name}` have {expected}", bytes.len()));
            }
            Some(_) => {}
        }
    }
    findings.into_iter().collect()
}

impl<'a> Examination<'a> {
    /// The first usual mistake that would explain it.
    fn cause(&mut self, keys: &[(Key, bool)]) -> Option<String> {
        for (key, is_active) in keys {
            if self.fits(self.as_written(key)) {
                return Some(if *is_active {
                    "it matches when the signature is read in another encoding".to_owned()
                } else {
                    "it matches an old value of the secret, which is no longer valid".to_owned()
                });
            }
        }
        self.other_secret()
            .or_else(|| keys.iter().find_map(|(key, is_active)| if *is_active { self.other_text(key) } else { None }))
            .or_else(|| keys.iter().find_map(|(key, is_active)| if *is_active { self.other_algorithm(key) } else { None }))
            .or_else(|| keys.iter().find_map(|(key, is_active)| if *is_active { self.other_body(key) } else { None }))
    }

    fn as_written<'v>(&self, key: &'v Key) -> Variant<'v>
    where
        'a: 'v,
    {
        let Patient { scheme, evidence, .. } = self.patient;
        Variant { algorithm: scheme.algorithm, key, signed: &scheme.signed, body: &evidence.request.body, url: evidence.url }
    }

    /// The secret's text cut, with a newline, or read in another form.
    fn other_secret(&mut self) -> Option<String> {
        let Patient { scheme, candidates, .. } = self.patient;
        if scheme.algorithm.has_public_key() {
            return None;
        }
        for candidate in candidates.iter().filter(|candidate| candidate.is_active).take(MOST_OF_EACH) {
            let form = candidate.form.unwrap_or(scheme.form);
            let text = candidate.value;
            let newline = zeroize::Zeroizing::new(format!("{text}\n"));
            let edited = [
                (text.trim(), "when the white space around the secret is cut"),
                (newline.as_str(), "when a newline follows the secret"),
            ];
            for (edited, words) in edited.into_iter().filter(|(edited, _)| *edited != text) {
                if self.fits_key(edited, form) {
                    return Some(format!("it matches {words}"));
                }
            }
            for other in [SecretForm::Utf8, SecretForm::Whsec, SecretForm::Base64, SecretForm::Hex] {
                if other != form && self.fits_key(text.trim(), other) {
                    let word = other.word();
                    return Some(format!(
                        "it matches when the secret is read as {word}: `as: {word}` on the secret, or `secret_as: {word}`"
                    ));
                }
            }
        }
        None
    }

    fn fits_key(&mut self, text: &str, form: SecretForm) -> bool {
        let key = Key::read(text, form, self.patient.scheme.algorithm);
        key.is_ok_and(|key| self.fits(self.as_written(&key)))
    }

    /// Another text, or another URL in it.
    fn other_text(&mut self, key: &Key) -> Option<String> {
        let Patient { scheme, evidence, presented, .. } = self.patient;
        for (text, signed) in texts::usual(presented.timestamp.is_some(), presented.id.is_some()) {
            if text != scheme.signed.text() && self.fits(Variant { signed: &signed, ..self.as_written(key) }) {
                return Some(format!("it matches if `{text}` is what is signed"));
            }
        }
        for (url, words) in urls(evidence.url) {
            if scheme.signed.text().contains("{url}") && self.fits(Variant { url: &url, ..self.as_written(key) }) {
                return Some(format!("it matches if the URL is {words}: is `public_url` set, and as the sender knows it?"));
            }
        }
        None
    }

    /// Another hash; with the secret inside the text too.
    fn other_algorithm(&mut self, key: &Key) -> Option<String> {
        let own = self.patient.scheme.algorithm;
        if own.has_public_key() {
            return None;
        }
        for algorithm in Algorithm::ALL.into_iter().filter(|one| *one != own && !one.has_public_key()) {
            let fits_length = self.signatures.iter().any(|(_, one)| algorithm.length() == Some(one.len()));
            if !fits_length {
                continue;
            }
            let name = algorithm.name();
            if !algorithm.is_plain_hash() {
                if self.fits(Variant { algorithm, ..self.as_written(key) }) {
                    return Some(format!("it matches with `algorithm: {name}`"));
                }
                continue;
            }
            for text in ["{secret}{body}", "{body}{secret}"] {
                let signed = SignedText::usual(text);
                if self.fits(Variant { algorithm, signed: &signed, ..self.as_written(key) }) {
                    return Some(format!("it matches with `algorithm: {name}` and `signed: \"{text}\"`"));
                }
            }
        }
        None
    }

    /// A body as it may have been before something changed it on the way.
    fn other_body(&mut self, key: &Key) -> Option<String> {
        let body = &self.patient.evidence.request.body;
        bodies(body).into_iter().find_map(|(body, words)| {
            let fits = self.fits(Variant { body: &body, ..self.as_written(key) });
            fits.then(|| format!("it matches {words}: something on the way changes the body"))
        })
    }

    fn fits(&mut self, variant: Variant<'_>) -> bool {
        let Patient { evidence, document, presented, .. } = self.patient;
        let cost = variant.body.len() + 256;
        if self.tries_left == 0 || self.bytes_left < cost {
            self.tries_left = 0;
            return false;
        }
        self.tries_left -= 1;
        self.bytes_left -= cost;
        let evidence = Evidence { url: variant.url, ..*evidence };
        let ingredients = Ingredients {
            evidence: &evidence,
            document,
            body: variant.body,
            timestamp: presented.timestamp.as_deref().unwrap_or_default(),
            id: presented.id.as_deref().unwrap_or_default(),
            secret: variant.key.bytes().unwrap_or_default(),
        };
        let Ok(text) = variant.signed.bytes(ingredients) else { return false };
        let verifies = |signature: &[u8]| bool::from(variant.algorithm.verify(variant.key, &text, signature));
        let found = self.signatures.iter().find(|(_, bytes)| verifies(bytes)).map(|(encoding, _)| *encoding);
        self.matched = found.unwrap_or(self.matched);
        found.is_some()
    }

    fn is_exhausted(&self) -> bool {
        self.tries_left == 0
    }
}
