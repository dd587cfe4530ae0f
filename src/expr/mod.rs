//! Values out of values: what a scalar of a route file means and what it gives for an event document. Pure.

pub mod convert;
pub(crate) mod decimal;
pub(crate) mod functions;
pub(crate) mod json_value;
pub mod jsonpath;
pub(crate) mod names;
pub mod reads;
pub mod scope;
mod syntax;
pub mod template;
pub mod typed;
pub mod value;
