//! Who is asking: one file per scheme. `Caller` is made nowhere else, and everything fails closed.

pub mod api_key;
pub mod caller;
pub mod scheme;
pub mod secret;
pub mod token;
