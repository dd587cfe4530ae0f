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

/// The first that lets it in. When none does, the sender is told what the first one says.
fn any(schemes: &[Auth], evidence: &Evidence<'_>) -> Alone {
    let mut refused: Option<Refusal> = None;
    let mut needs_more = None;
    for scheme in schemes {
        match scheme.verify_alone(evidence) {
            Alone::Passes(caller) => return Alone::Passes(caller),
            Alone::NeedsMore(word) => needs_more = Some(word),
            Alone::Refused(refusal) => {
                let findings = refusal.findings.into_iter().map(|finding| format!("{}: {finding}", scheme.word()));
                refused.get_or_insert_with(|| Refusal::new(refusal.told)).findings.extend(findings);
            }
        }
    }
    let refused = || Alone::Refused(refused.unwrap_or_else(|| Refusal::new("nobody may send here")));
    needs_more.map_or_else(refused, Alone::NeedsMore)
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
