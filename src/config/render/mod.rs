//! Diagnostics as people and machines read them: text with the line and a caret, JSON, and SARIF. Whatever place a diagnostic names, it
//! is drawn.

mod json;
mod place;
pub mod sarif;
mod text;

pub use json::json;
pub use text::text;
