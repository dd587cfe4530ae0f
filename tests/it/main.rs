//! The one binary of integration tests: a module per subject.

mod diagnostics;
mod documentation;
mod orders;
mod registry;
mod rust_source;
mod secrets;
mod support;
mod tidy;
