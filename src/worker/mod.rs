//! Jobs out: claims lanes, delivers records, decides on retries. Meets `intake` only in the store.

mod credentials;
pub mod deliver;
mod fences;
pub mod forward;
mod hands;
pub mod pool;
pub mod readmit;
pub mod retry;
pub mod trace;
