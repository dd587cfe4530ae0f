//! Who is asking: one file per scheme. `Caller` is made nowhere else, and everything fails closed.

pub mod alone;
pub mod api_key;
pub mod basic;
pub mod caller;
pub mod check;
pub mod combined;
pub mod evidence;
pub mod integration;
pub mod ip;
mod jwks;
pub mod jwt;
pub mod preset;
pub mod scheme;
pub mod secret;
pub mod secret_form;
pub mod signature;
pub mod token;
