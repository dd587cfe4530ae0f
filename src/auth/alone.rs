//! Verifying without a server: with the request and the secrets alone, no keys of ours, no integrations, no network.

use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use super::scheme::Auth;

/// What came of it.
#[derive(Debug)]
pub enum Alone {
    /// It passes.
    Passes(Caller),
    /// It does not, and why.
    Refused(Refusal),
    /// This scheme needs more than that.
    NeedsMore(&'static str),
}

impl From<Result<Caller, Refusal>> for Alone {
    fn from(result: Result<Caller, Refusal>) -> Self {
        match result {
            Ok(caller) => Self::Passes(caller),
            Err(refusal) => Self::Refused(refusal),
        }
    }
}

impl Auth {
    /// Verifies a request with nothing else at hand.
    pub fn verify_alone(&self, evidence: &Evidence<'_>) -> Alone {
        match self {
            Self::Token(scheme) => scheme.verify(evidence).into(),
            Self::Signature(scheme) => scheme.verify(evidence).into(),
            Self::Basic(scheme) => scheme.verify(evidence).into(),
            Self::Ip(scheme) if evidence.client().is_some() => scheme.verify(evidence).into(),
            Self::Check(scheme) => scheme.verify(evidence).into(),
            Self::None => Alone::Passes(Caller::new("none", None, None)),
            Self::Any(schemes) => any(schemes, evidence),
            Self::All(schemes) => all(schemes, evidence),
            other => Alone::NeedsMore(other.word()),
        }
    }
}

fn any(schemes: &[Auth], evidence: &Evidence<'_>) -> Alone {
    let mut refused = Refusal::new("nobody may send here");
    let mut needs_more = None;
    for scheme in schemes {
        match scheme.verify_alone(evidence) {
            Alone::Passes(caller) => return Alone::Passes(caller),
            Alone::NeedsMore(word) => needs_more = Some(word),
            Alone::Refused(refusal) => {
                refused.told = refusal.told;
                refused.findings.extend(refusal.findings.into_iter().map(|finding| format!("{}: {finding}", scheme.word())));
            }
        }
    }
    needs_more.map_or(Alone::Refused(refused), Alone::NeedsMore)
}

fn all(schemes: &[Auth], evidence: &Evidence<'_>) -> Alone {
    let mut joined: Option<Caller> = None;
    let mut needs_more = None;
    for scheme in schemes {
        match scheme.verify_alone(evidence) {
            Alone::Passes(caller) => {
                let both = joined.map_or(Ok(caller.clone()), |before| before.and(caller));
                match both {
                    Ok(both) => joined = Some(both),
                    Err(refusal) => return Alone::Refused(refusal),
                }
            }
            Alone::Refused(refusal) => return Alone::Refused(refusal),
            Alone::NeedsMore(word) => needs_more = Some(word),
        }
    }
    match (needs_more, joined) {
        (Some(word), _) => Alone::NeedsMore(word),
        (None, Some(caller)) => Alone::Passes(caller),
        (None, None) => Alone::Refused(Refusal::new("nobody may send here")),
    }
}
