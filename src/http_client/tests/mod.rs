//! The client against real servers on loopback.

mod answers;
mod flights;
mod forbidden;
mod harness;
mod limits;
mod recorded;
mod retries;
