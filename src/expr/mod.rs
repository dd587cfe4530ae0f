//! Values out of values: what a scalar of a route file means and what it gives for an event document. Pure.

pub(crate) mod analysis;
mod builtins;
pub mod convert;
mod dates;
pub(crate) mod decimal;
mod digests;
mod engine;
mod exact;
pub(crate) mod functions;
pub(crate) mod json_value;
pub mod jsonpath;
pub(crate) mod names;
pub(crate) mod notes;
mod path_lint;
mod path_run;
pub mod reads;
pub mod scope;
mod syntax;
pub mod template;
mod texts;
mod translation;
pub mod typed;
pub mod value;
