//! The one binary of integration tests: a module per subject.

mod diagnostics;
mod rust_source;
mod tidy;
