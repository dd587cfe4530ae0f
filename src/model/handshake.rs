//! What handshakes have shown while a source was being set up.

use crate::clock::Timestamp;
use crate::secret::Secret;

/// The time in which a source keeps what its handshakes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnboardingWindow {
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it closes.
    pub until: Timestamp,
    /// How many values were not kept, because there were too many or they were too long.
    pub dropped: u64,
}

/// One value that a handshake has shown: whatever anyone sent.
#[derive(Clone, Debug)]
pub struct HandshakeValue {
    /// Its name in the route file.
    pub name: String,
    /// The value.
    pub value: Secret<String>,
    /// When it first came.
    pub first_at: Timestamp,
    /// When it last came.
    pub last_at: Timestamp,
    /// How often it came.
    pub times: u64,
    /// The address that it last came from.
    pub peer: Option<String>,
}
