//! The one binary of integration tests: a module per subject.

mod cli;
mod commands;
mod crash;
mod demo;
mod diagnostics;
mod documentation;
mod explanations;
mod many_files;
mod orders;
mod reference;
mod registry;
mod rust_source;
mod schema;
mod secrets;
mod serve;
mod support;
mod test_command;
mod tidy;
