//! The one binary of integration tests: a module per subject.

mod crash;
mod demo;
mod documentation;
mod orders;
mod registry;
mod rust_source;
mod secrets;
mod support;
mod test_command;
mod tidy;
