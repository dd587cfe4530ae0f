//! `hooktable test --hostile`: every test again with what networks, senders, providers and processes do to it, each time in a
//! project of its own; the rows must come out the same.

use std::time::Duration;

use super::report::{Mismatch, Seen};

mod base;
mod judge;
mod mishaps;
mod older;
mod refused;
mod repeats;
mod run;

pub use run::run;

/// What is done to a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    /// The same delivery comes again after the first was worked on.
    Again,
    /// The same delivery comes twice at once, and two processes work.
    AtOnce,
    /// A byte of what proves the sender, or of what it proves, is another one.
    FlippedByte,
    /// The credentials were made too long ago.
    Stale,
    /// An older version comes after the newer one, and before it.
    Older,
    /// Each call to an API fails twice before it is answered.
    FailingApi,
    /// A worker stalls between fetching and writing, loses its lease, and wakes up when another one is done.
    StalledWorker,
}

impl Variant {
    /// In the order in which they are run.
    pub const ALL: [Self; 7] =
        [Self::Again, Self::AtOnce, Self::FlippedByte, Self::Stale, Self::Older, Self::FailingApi, Self::StalledWorker];

    /// What is done, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Again => "the same delivery again",
            Self::AtOnce => "the same delivery twice at once",
            Self::FlippedByte => "a flipped byte",
            Self::Stale => "a stale timestamp",
            Self::Older => "an older version after the newer one",
            Self::FailingApi => "each API call fails first",
            Self::StalledWorker => "a worker stalls between fetch and write",
        }
    }
}

/// What a variant came to.
#[derive(Clone, Debug)]
pub enum Finding {
    /// It changes nothing that it should not.
    Same,
    /// Something that may be meant, and what to do if it is not.
    Warning(String),
    /// It cannot be done to this test, and why.
    NotApplicable(String),
    /// It changes something.
    Different {
        /// Why that matters.
        reason: String,
        /// What.
        mismatches: Vec<Mismatch>,
        /// What happened.
        seen: Box<Seen>,
    },
    /// It could not be run.
    Broken(String),
}

/// One variant of one test.
#[derive(Clone, Debug)]
pub struct VariantOutcome {
    /// Which.
    pub variant: Variant,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub finding: Finding,
}

impl VariantOutcome {
    /// Whether somebody has to mend something.
    pub fn is_failed(&self) -> bool {
        matches!(self.finding, Finding::Different { .. } | Finding::Broken(_))
    }
}
