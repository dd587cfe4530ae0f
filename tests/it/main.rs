//! The one binary of integration tests: a module per subject.

mod orders;
mod payloads;
mod registry;
mod rust_source;
mod secrets;
mod support;
mod tidy;
