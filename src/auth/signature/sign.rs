//! The opposite of verifying: what has to be added to a request so that it passes, or does not. For forwards, which are signed with a
//! secret of their own, and for tests, which sign with what stands in for one.

use serde_json::Value as Json;
use sha2::Digest as _;
use zeroize::Zeroizing;

use super::key::Key;
use super::options::Tolerance;
use super::places::Places;
use super::scheme::{Presented, Scheme, elements_of, encode};
use crate::auth::evidence::Evidence;
use crate::auth::secret::SecretSource;
use crate::clock::Timestamp;
use crate::expr::jsonpath::Path;
use crate::model::event::EventDocument;

/// A place of the event document and the text that belongs there.
pub type Placed = (Vec<String>, String);

/// The id of a test's request that has none.
pub const ID: &str = "msg_test";
/// A secret that nobody has.
const WRONG: &str = "htk_wrong";

/// How a request is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signing {
    /// So that it passes.
    Right,
    /// With another secret.
    Wrong,
    /// Rightly, and too long ago.
    Stale,
}

impl Scheme {
    /// What goes into the request before it is signed: timestamp and id, which is `new_id` where there is none. The body must be final
    /// but for these.
    pub fn before_signing(&self, evidence: &Evidence<'_>, signing: Signing, new_id: &str) -> Result<Vec<Placed>, String> {
        let moment = self.moment(evidence.now, signing)?;
        let mut placed = Vec::new();
        for (document, at) in self.documents(evidence)? {
            if let Some(path) = self.timestamp.paths().first().filter(|_| !self.reading.has_timestamp()) {
                let is_there = self.timestamp.find(&document).ok().flatten().is_some();
                // one that nobody compares with the clock may stay
                if !is_there || self.has_tolerance() {
                    placed.push((at(first_present(&self.timestamp, &document).unwrap_or(path))?, self.unit.write(moment)));
                }
            }
            if let Some(path) = self.id.paths().first().filter(|_| !self.reading.has_id())
                && self.id.find(&document).ok().flatten().is_none()
            {
                placed.push((at(path)?, new_id.to_owned()));
            }
        }
        Ok(placed)
    }

    /// The digest of the body where one is needed; the body must be final.
    pub fn digest(&self, evidence: &Evidence<'_>) -> Result<Option<Placed>, String> {
        let Some(path) = self.body_sha256.as_ref().filter(|_| self.needs_digest(evidence)) else { return Ok(None) };
        let digest = hex::encode(sha2::Sha256::digest(&evidence.request.body));
        Ok(Some((path.place().ok_or_else(nowhere)?, digest)))
    }

    /// The signatures of a request that is final but for them, and where they belong.
    pub fn signatures(&self, evidence: &Evidence<'_>, signing: Signing, new_id: &str) -> Result<Vec<Placed>, String> {
        let key = self.signing_key(signing, evidence)?;
        let moment = self.unit.write(self.moment(evidence.now, signing)?);
        let mut placed = Vec::new();
        for (document, at) in self.documents(evidence)? {
            let found = |places: &Places, otherwise: &str| -> Result<Option<String>, String> {
                Ok(Some(places.find(&document)?.unwrap_or_else(|| otherwise.to_owned())))
            };
            let timestamp = if self.reading.has_timestamp() { Some(moment.clone()) } else { found(&self.timestamp, &moment)? };
            let id = if self.reading.has_id() { Some(new_id.to_owned()) } else { found(&self.id, new_id)? };
            let presented = Presented { texts: Vec::new(), timestamp, id };
            let text = self.signed.bytes(self.ingredients(evidence, &document, &presented, &key))?;
            let mut signature = self.algorithm.sign(&key, &text).ok_or("only the sender has the private key to sign with")?;
            if let (Signing::Wrong, Some(last)) = (signing, signature.last_mut()) {
                // of RSA there is one key for all tests, so another secret alone would not do
                *last ^= u8::from(self.algorithm.has_public_key());
            }
            let (timestamp, id) = (presented.timestamp.unwrap_or_default(), presented.id.unwrap_or_default());
            let written = self.reading.write(&encode(self.encoding, &signature), &timestamp, &id);
            placed.push((at(self.at.paths().first().ok_or_else(nowhere)?)?, written));
        }
        Ok(placed)
    }

    /// Why requests of ours cannot be signed this way, if they cannot: places that are only known once something has come.
    pub fn cannot_sign(&self) -> Option<String> {
        let own = self.at.paths().iter().chain(self.timestamp.paths()).chain(self.id.paths()).chain(&self.body_sha256);
        let is_writable = |path: &Path| {
            path.place().is_some_and(|place| matches!(place.as_slice(), [block, _] if block == "headers" || block == "query"))
        };
        if self.algorithm.has_public_key() {
            return Some(format!("`{}` is signed with a private key, which is not supported", self.algorithm.name()));
        }
        if self.each.is_some() {
            return Some("`each` signs the elements of a body one by one, which is not supported".to_owned());
        }
        let elsewhere = own.into_iter().find(|path| !is_writable(path));
        elsewhere.map(|path| format!("`{}` is no header and no parameter of the query, where it could be put", path.text()))
    }

    fn signing_key(&self, signing: Signing, evidence: &Evidence<'_>) -> Result<Key, String> {
        if signing == Signing::Wrong {
            return Ok(Key::StandIn(Zeroizing::new(WRONG.to_owned())));
        }
        match &self.secret {
            SecretSource::Declared(values) => {
                let active = values.iter().find(|value| value.is_active(evidence.now.date()));
                let value = active.ok_or("its secret is not set, or not valid any more")?;
                Key::read(value.expose(), value.form().unwrap_or(self.form), self.algorithm)
            }
            SecretSource::Field(name) => {
                let value = evidence.fields.get(name).ok_or("the integration lacks the secret")?;
                Key::read(value.expose(), self.form, self.algorithm)
            }
        }
    }

    fn moment(&self, now: Timestamp, signing: Signing) -> Result<Timestamp, String> {
        match (signing, self.tolerance) {
            (Signing::Stale, Tolerance::Within(tolerance)) => Ok(now - tolerance - std::time::Duration::from_secs(60)),
            (Signing::Stale, Tolerance::None) => Err("no request is too old for its `auth`: it has no `tolerance`".to_owned()),
            _ => Ok(now),
        }
    }

    /// Each document that is signed, with where its paths stand in the whole request.
    fn documents(&self, evidence: &Evidence<'_>) -> Result<Vec<(EventDocument, PlaceOf<'_>)>, String> {
        let Some(each) = &self.each else {
            let whole: PlaceOf<'_> = Box::new(|path: &Path| path.place().ok_or_else(nowhere));
            return Ok(vec![(evidence.document.clone(), whole)]);
        };
        let list = each.list.place().ok_or_else(nowhere)?;
        let documents = elements_of(each, evidence.document)?;
        let located = documents.into_iter().enumerate().map(|(number, document)| {
            let list = list.clone();
            let of_element: PlaceOf<'_> = Box::new(move |path: &Path| {
                let place = path.place().ok_or_else(nowhere)?;
                if place.first() != Some(&each.name) {
                    return Ok(place);
                }
                Ok(list.iter().cloned().chain([number.to_string()]).chain(place.into_iter().skip(1)).collect())
            });
            (document, of_element)
        });
        Ok(located.collect())
    }
}

type PlaceOf<'s> = Box<dyn Fn(&Path) -> Result<Vec<String>, String> + 's>;

/// The first of the places at which there is something already.
fn first_present<'p>(places: &'p Places, document: &EventDocument) -> Option<&'p Path> {
    places.paths().iter().find(|path| path.find(document).is_some_and(|value| value != Json::Null))
}

fn nowhere() -> String {
    "its `auth` does not look at one place of the request".to_owned()
}
