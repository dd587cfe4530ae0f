//! All writing goes through one task per process: messages to it, the rounds it makes of them, one transaction and one commit each.

pub(crate) mod gathering;
pub(crate) mod message;
pub(crate) mod round;
mod steps;
pub(crate) mod thread;
