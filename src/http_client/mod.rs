//! The one outgoing client: address guard, limits, cache and single flight, retry, recorded answers.

pub mod api;
pub mod breaker;
pub mod budget;
mod cache;
pub mod call;
pub mod client;
mod concurrency;
mod fault;
mod flights;
mod guard;
mod learned;
mod limits;
mod origin;
pub mod recorded;
mod retry;
mod retry_after;
mod send;
pub mod sessions;
pub mod store_budget;

#[cfg(test)]
mod tests;
