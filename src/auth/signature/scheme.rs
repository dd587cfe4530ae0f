//! The compiled scheme, and how it verifies: what is presented, when, and whether a valid secret signed it.

use subtle::Choice;

use super::algorithm::{Algorithm, equal};
use super::doctor::{self, Patient};
use super::grammar::{Parts, Reading};
use super::key::Key;
use super::moment::{self, Unit};
use super::options::{Encoding, Tolerance};
use super::places::{Places, text_at};
use super::sorted_form;
use super::text::{Ingredients, SignedText};
use crate::auth::caller::{Caller, Refusal};
use crate::auth::evidence::Evidence;
use crate::auth::secret::{Candidate, SecretSource};
use crate::auth::secret_form::{BASE64, BASE64_URL, SecretForm};
use crate::expr::jsonpath::Path;
use crate::expr::reads::Reads;
use crate::model::event::EventDocument;
use base64::Engine as _;
use serde_json::Value as Json;
use sha2::Digest as _;

/// All that the sender is told.
const TOLD: &str = "the signature is absent or not valid";

/// The compiled scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    pub(super) at: Places,
    pub(super) algorithm: Algorithm,
    pub(super) secret: SecretSource,
    /// The form of a secret that does not say its own.
    pub(super) form: SecretForm,
    pub(super) encoding: Encoding,
    pub(super) reading: Reading,
    pub(super) signed: SignedText,
    pub(super) timestamp: Places,
    pub(super) unit: Unit,
    pub(super) id: Places,
    pub(super) tolerance: Tolerance,
    pub(super) body_sha256: Option<Path>,
    pub(super) each: Option<Each>,
}

/// The elements that are signed one by one.
#[derive(Clone, Debug)]
pub(super) struct Each {
    pub(super) name: String,
    pub(super) list: Path,
}

/// What a request presents as its signature.
#[derive(Debug, Default)]
pub(super) struct Presented {
    /// As they are written.
    pub(super) texts: Vec<String>,
    pub(super) timestamp: Option<String>,
    pub(super) id: Option<String>,
}

impl Scheme {
    /// The secret that it verifies with.
    pub fn secret(&self) -> &SecretSource {
        &self.secret
    }

    /// Whether a request of a test can be too old for it.
    pub fn has_tolerance(&self) -> bool {
        matches!(self.tolerance, Tolerance::Within(_))
    }

    /// Adds the places it looks at.
    pub(in crate::auth) fn add_reads(&self, reads: &mut Reads) {
        let mut own = Reads::default();
        self.at.add_reads(&mut own);
        self.timestamp.add_reads(&mut own);
        self.id.add_reads(&mut own);
        self.signed.add_reads(&mut own);
        self.body_sha256.iter().for_each(|path| path.add_reads(&mut own));
        self.each.iter().for_each(|each| each.list.add_reads(&mut own));
        reads.extend(&own);
    }

    /// Adds the places of signatures.
    pub(in crate::auth) fn add_secret_places(&self, reads: &mut Reads) {
        for path in self.at.paths() {
            match (&self.each, path.place()) {
                (Some(each), Some(place)) if place.first() == Some(&each.name) => {
                    let list = each.list.place().unwrap_or_default();
                    reads.add(list.into_iter().chain(place.into_iter().skip(1)).collect());
                }
                _ => path.add_reads(reads),
            }
        }
    }

    pub(in crate::auth) fn verify(&self, evidence: &Evidence<'_>) -> Result<Caller, Refusal> {
        let refuse = |findings| Refusal { findings, ..Refusal::new(TOLD) };
        let Some(each) = &self.each else {
            self.check(evidence, evidence.document).map_err(refuse)?;
            return Ok(Caller::new("signature", None, None));
        };
        let elements = elements_of(each, evidence.document).map_err(|finding| refuse(vec![finding]))?;
        for (number, document) in elements.iter().enumerate() {
            let of_element = |findings: Vec<String>| {
                let findings =
                    findings.into_iter().map(|finding| format!("element {number} of `{}`: {finding}", each.list.text()));
                refuse(findings.collect())
            };
            self.check(evidence, document).map_err(of_element)?;
        }
        Ok(Caller::new("signature", None, None))
    }

    fn check(&self, evidence: &Evidence<'_>, document: &EventDocument) -> Result<(), Vec<String>> {
        let presented = self.presented(document).map_err(|finding| vec![finding])?;
        let timely = match &presented.timestamp {
            Some(text) => moment::check(text, self.unit, self.tolerance, evidence.now),
            None => Ok(()),
        };
        let body = self.check_body(evidence, document);
        let candidates = self.secret.candidates(evidence);
        let is_right = bool::from(self.is_signed(evidence, document, &presented, &candidates));
        if is_right && timely.is_ok() && body.is_ok() {
            return Ok(());
        }
        let mut findings: Vec<String> = timely.err().into_iter().chain(body.err()).collect();
        if !is_right {
            findings.extend(doctor::findings(Patient {
                scheme: self,
                evidence,
                document,
                presented: &presented,
                candidates: &candidates,
            }));
        }
        Err(findings)
    }

    /// What stands in the request where a signature is expected.
    pub(super) fn presented(&self, document: &EventDocument) -> Result<Presented, String> {
        let Some(found) = self.at.find(document)? else {
            return Err(format!("the signature is absent: nothing stands at {}", self.at.words()));
        };
        let Some(Parts { signatures, timestamp, id }) = self.reading.read(&found) else {
            return Err(doctor::misread(self, &found));
        };
        let other = |read: Option<String>, places: &Places, what: &str| match read {
            Some(read) => Ok(Some(read)),
            None => match places.find(document)? {
                None if !places.is_empty() => Err(format!("the {what} is absent: nothing stands at {}", places.words())),
                found => Ok(found),
            },
        };
        let timestamp = other(timestamp, &self.timestamp, "timestamp")?;
        let id = other(id, &self.id, "id")?;
        Ok(Presented { texts: signatures, timestamp, id })
    }

    /// Whether what was signed covers this body.
    fn check_body(&self, evidence: &Evidence<'_>, document: &EventDocument) -> Result<(), String> {
        let request = evidence.request;
        if !self.needs_digest(evidence) {
            return Ok(());
        }
        let Some(path) = &self.body_sha256 else {
            return Err("only the fields of a form are signed, and the body is none: nothing vouches for it".to_owned());
        };
        let expected = text_at(path, document)?.and_then(|text| hex::decode(text).ok());
        let digest = sha2::Sha256::digest(&request.body);
        match expected {
            Some(expected) if bool::from(equal(&digest, &expected)) => Ok(()),
            Some(_) => Err(format!("the body is not the one whose SHA-256 stands at `{}`", path.text())),
            None => Err(format!("the SHA-256 of the body is expected in hex at `{}`", path.text())),
        }
    }

    /// Whether the signed text leaves the body of this request out, so that a digest has to vouch for it.
    pub(super) fn needs_digest(&self, evidence: &Evidence<'_>) -> bool {
        let request = evidence.request;
        let has_digest = self.signed.holds_form() || self.body_sha256.is_some();
        let is_covered = self.signed.holds_body() || (self.signed.holds_form() && sorted_form::is_form(request));
        has_digest && !is_covered && !request.body.is_empty()
    }

    fn is_signed(
        &self,
        evidence: &Evidence<'_>,
        document: &EventDocument,
        presented: &Presented,
        candidates: &[Candidate<'_>],
    ) -> Choice {
        let signatures: Vec<Vec<u8>> = presented.texts.iter().filter_map(|text| decode(self.encoding, text)).collect();
        let mut found = Choice::from(0);
        for candidate in candidates.iter().filter(|candidate| candidate.is_active) {
            let Ok(key) = self.key(candidate) else { continue };
            let ingredients = self.ingredients(evidence, document, presented, &key);
            let Ok(text) = self.signed.bytes(ingredients) else { continue };
            for signature in &signatures {
                found |= self.algorithm.verify(&key, &text, signature);
            }
        }
        found
    }

    pub(super) fn key(&self, candidate: &Candidate<'_>) -> Result<Key, String> {
        Key::read(candidate.value, candidate.form.unwrap_or(self.form), self.algorithm)
    }

    pub(super) fn ingredients<'a>(
        &self,
        evidence: &'a Evidence<'a>,
        document: &'a EventDocument,
        presented: &'a Presented,
        key: &'a Key,
    ) -> Ingredients<'a> {
        Ingredients {
            evidence,
            document,
            body: &evidence.request.body,
            timestamp: presented.timestamp.as_deref().unwrap_or_default(),
            id: presented.id.as_deref().unwrap_or_default(),
            secret: key.bytes().unwrap_or_default(),
        }
    }
}

/// One document for each element; an error when there is none.
pub(super) fn elements_of(each: &Each, document: &EventDocument) -> Result<Vec<EventDocument>, String> {
    let items = match each.list.find(document) {
        Some(Json::Array(items)) if !items.is_empty() => items,
        Some(Json::Array(_)) => return Err(format!("the list at `{}` is empty: nothing is signed", each.list.text())),
        _ => return Err(format!("a list of signed elements is expected at `{}`", each.list.text())),
    };
    let of_item = |item: Json| {
        let mut document = document.clone();
        document.set(&each.name, item);
        document
    };
    Ok(items.into_iter().map(of_item).collect())
}

/// The bytes of a written signature. Hex digits of either case; base64 with or without `=` at its end.
pub(super) fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => BASE64.decode(text).ok(),
        Encoding::Base64Url => BASE64_URL.decode(text).ok(),
    }
    .filter(|bytes| !bytes.is_empty())
}

/// The opposite of reading it.
pub(super) fn encode(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Hex => hex::encode(bytes),
        Encoding::Base64 => BASE64.encode(bytes),
        Encoding::Base64Url => base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes),
    }
}
