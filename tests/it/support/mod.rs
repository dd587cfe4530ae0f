//! What the tests share: one application with builder methods, and the real binary as a process.

pub(crate) mod flaky_api;
pub(crate) mod json_schema;
pub(crate) mod postgres;
pub(crate) mod project;
pub(crate) mod receiver;
pub(crate) mod server;
pub(crate) mod tcp_proxy;
pub(crate) mod test_app;
pub(crate) mod trial;
