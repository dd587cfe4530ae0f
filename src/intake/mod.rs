//! HTTP in: a request becomes a stored delivery or a refusal. Slow workers never slow it: it meets them only in the store.

pub mod address;
pub mod answer;
pub mod authenticate;
pub mod body;
pub mod failures;
pub mod handshake;
pub mod rate;
pub mod receive;
pub mod rejected;
pub mod rejection;
mod reply;
