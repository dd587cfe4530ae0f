//! The client against real servers on loopback.

mod answers;
mod flights;
mod forbidden;
pub(super) mod harness;
mod kept;
mod limits;
mod outages;
mod recorded;
mod refusals;
mod retries;
mod told_limits;
