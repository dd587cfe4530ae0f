//! Our own tables: inbox, lanes, records, attempts, tenants, API keys, bundles, budgets. The only home of their SQL.

pub mod api_keys;
pub mod attempts;
pub mod budgets;
pub mod bundles;
pub mod error;
pub mod inbox;
pub mod integrations;
pub mod lanes;
pub mod onboarding;
pub mod records;
pub mod rotation;
pub mod state;
pub mod tenants;
pub mod users;

mod compression;
mod intake_form;
mod integration_rows;
mod master_key;
mod pools;
mod request_bytes;
mod sqlite;
mod vault;

#[cfg(test)]
mod tests;

pub use error::{AppendError, FinishError, StoreError};
pub use state::{OpenOptions, Store};
