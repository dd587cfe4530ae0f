//! The one outgoing client: address guard, limits, cache and single flight, retry, recorded answers.

pub mod api;
pub mod budget;
pub mod call;
pub mod client;
mod concurrency;
mod fault;
mod flights;
mod guard;
mod limits;
mod origin;
pub mod recorded;
pub mod store_budget;
mod retry;
mod retry_after;
mod send;

#[cfg(test)]
mod tests;
