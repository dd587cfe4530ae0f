//! What the tests share: one application with builder methods.

pub(crate) mod test_app;
