//! The parts put together: settings, server, telemetry, shutdown.

pub mod admin;
pub mod control;
pub mod metrics;
pub mod onboarding;
pub mod operation;
mod patience;
pub mod retire;
pub mod server;
pub mod settings;
pub mod settings_file;
pub mod shutdown;
pub mod source_operations;
pub mod sources;
pub mod telemetry;
