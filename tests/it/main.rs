//! The one binary of integration tests: a module per subject.

mod cli;
mod crash;
mod demo;
mod diagnostics;
mod documentation;
mod exactness;
mod functions;
mod jsonpath;
mod orders;
mod payloads;
mod reads;
mod registry;
mod reload;
mod reload_load;
mod rust_source;
mod secrets;
mod serve;
mod support;
mod templates;
mod test_command;
mod tidy;
mod yaml_suite;
