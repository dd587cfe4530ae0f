//! Our own tables: inbox, lanes, records, attempts, tenants, API keys, bundles, budgets. The only home of their SQL.

pub mod api_keys;
pub mod attempts;
pub mod ballast;
pub mod budgets;
pub mod bundles;
pub mod ended;
pub mod error;
pub mod forwards;
pub mod hands;
pub mod inbox;
pub mod integrations;
pub mod lanes;
pub mod onboarding;
pub mod pools;
pub mod records;
pub mod retention;
pub mod rotation;
pub mod state;
pub mod tenants;
pub mod users;
pub mod waiting;

mod clock_back;
mod compression;
mod control;
mod engine;
mod forward_replay;
mod intake_form;
mod integration_rows;
mod master_key;
mod opening;
mod postgres;
mod queue;
mod request_bytes;
mod sql;
mod sqlite;
mod vault;
mod vault_keys;
mod writing;

#[cfg(test)]
mod tests;

pub use engine::{Place, masked_url};
pub use error::{AppendError, FinishError, StoreError};
pub use state::{OpenOptions, Store};
