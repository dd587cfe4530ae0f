//! The one binary of integration tests: a module per subject.

mod demo;
mod rust_source;
mod test_command;
mod tidy;
