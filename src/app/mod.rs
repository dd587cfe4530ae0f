//! The parts put together: settings, server, telemetry, shutdown.

pub mod admin;
pub mod carried;
pub mod control;
pub mod deliveries;
mod integration_fields;
pub mod integrations;
pub mod keys;
pub mod metrics;
pub mod onboarding;
mod onboarding_text;
pub mod operation;
mod patience;
pub mod retire;
pub mod sending;
pub mod server;
pub mod settings;
pub mod settings_file;
pub mod shutdown;
pub mod source_operations;
pub mod source_waits;
pub mod sources;
pub mod target_upkeep;
pub mod telemetry;
pub mod upkeep;
pub mod users;
