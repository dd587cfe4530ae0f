//! The one binary of integration tests: a module per subject.

mod cli;
mod commands;
mod crash;
mod demo;
mod diagnostics;
mod documentation;
mod exactness;
mod explanations;
mod functions;
mod jsonpath;
mod many_files;
mod orders;
mod payloads;
mod reads;
mod reference;
mod registry;
mod rust_source;
mod schema;
mod secrets;
mod serve;
mod support;
mod templates;
mod test_command;
mod tidy;
mod yaml_suite;
