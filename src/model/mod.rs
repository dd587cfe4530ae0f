//! Plain data that every layer may name: what a delivery, a record, an attempt, a change is. No I/O and no rules.

pub mod answered;
pub mod api_key;
pub mod attempt;
pub mod bundle;
pub mod caller;
pub mod change;
pub mod delivery;
pub mod event;
pub mod failure;
pub mod forward;
pub mod handshake;
pub mod integration;
pub mod lane;
pub mod record;
pub mod retry;
pub mod tenant;
pub mod user;
