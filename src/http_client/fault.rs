//! What went wrong with one request, in words without URLs, and whether asking again at once may help.

use std::error::Error;
use std::io::ErrorKind;

use super::call::Call;
use super::guard::Forbidden;
use crate::model::failure::{Failure, Step};

/// Why there is no answer.
pub(super) enum Fault {
    /// Asking again now is useless.
    Final(Failure),
    /// It may pass; the reason, masked.
    Passing(String),
}

impl Fault {
    /// A fault that someone has to mend.
    pub(super) fn permanent(reason: impl Into<String>) -> Self {
        Self::Final(Failure::permanent(Step::Enrich, reason))
    }

    /// A fault for a request that was not sent or whose answer did not arrive.
    pub(super) fn of_request(error: reqwest::Error, call: &Call) -> Self {
        let error = error.without_url();
        let api = &call.api.name;
        if let Some(forbidden) = cause::<Forbidden>(&error) {
            return Self::Final(refused(call, *forbidden));
        }
        if error.is_builder() {
            return Self::permanent(call.mask.text(&format!("api `{api}`: the request cannot be built: {}", root(&error))));
        }
        Self::Passing(call.mask.text(&format!("api `{api}`: {}", words(&error))))
    }
}

/// The failure for a call to an address that must not be called.
pub(super) fn refused(call: &Call, forbidden: Forbidden) -> Failure {
    let reason = format!(
        "api `{}` may not be called: {forbidden}\nhint: `allow_private: true` on the api permits addresses of the own network",
        call.api.name
    );
    Failure::permanent(Step::Enrich, call.mask.text(&reason))
}

fn words(error: &reqwest::Error) -> String {
    let kind = cause::<std::io::Error>(error).map(std::io::Error::kind);
    match kind {
        _ if error.is_timeout() && error.is_connect() => "no connection within 5s".to_owned(),
        _ if error.is_timeout() => "no answer in time".to_owned(),
        _ if error.is_dns() => format!("its name cannot be resolved: {}", root(error)),
        Some(ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        _ if error.is_connect() => format!("no connection: {}", root(error)),
        Some(ErrorKind::InvalidData | ErrorKind::InvalidInput) if error.is_decode() => {
            format!("its answer cannot be decompressed: {}", root(error))
        }
        _ => format!("the connection was lost before the answer was complete: {}", root(error)),
    }
}

/// The last error of the chain that is a `T`.
fn cause<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    chain(error).filter_map(|cause| cause.downcast_ref::<T>().or_else(|| wrapped(cause))).last()
}

/// `io::Error` shows the source of what it wraps, not what it wraps.
fn wrapped<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<T>()
}

fn root(error: &reqwest::Error) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
