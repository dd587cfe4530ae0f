//! A route without the outside world: throwaway databases and recorded or simulated APIs.

pub mod simulate;
