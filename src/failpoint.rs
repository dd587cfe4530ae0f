//! Places where tests end the process as a power cut would: in builds for debugging alone, and only when the environment names one.
//! In release builds nothing of this is there.

/// The boundaries on the way of a delivery and of what is forwarded because of it, in their order. What a sender or a target was told,
/// and what is in which database, differs between any two of them.
pub const BOUNDARIES: &[&str] = &[
    "append.before-commit",
    "append.after-commit",
    "claim.before-commit",
    "claim.after-commit",
    "fetch.before",
    "fetch.after",
    "write.mark",
    "write.rows",
    "write.before-commit",
    "write.after-commit",
    "finish.before-commit",
    "finish.after-commit",
    "forward-claim.before-commit",
    "forward-claim.after-commit",
    "forward.before",
    "forward.after",
    "forward-finish.before-commit",
    "forward-finish.after-commit",
];

/// The variable of the environment that names a boundary: `write.rows`, or `write.rows:3` for the third time it is reached.
pub const VARIABLE: &str = "HOOKTABLE_TEST_END_AT";
/// The variable that shortens leases, in milliseconds, so that tests need not wait a minute for one to run out.
pub const LEASE_VARIABLE: &str = "HOOKTABLE_TEST_LEASE_MS";

/// Ends the process here and now if this is the boundary that the environment names.
#[cfg(debug_assertions)]
pub(crate) fn reach(boundary: &str) {
    inside::reach(boundary);
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn reach(_boundary: &str) {}

/// How long leases are.
#[cfg(debug_assertions)]
pub(crate) fn lease(usual: std::time::Duration) -> std::time::Duration {
    inside::lease().unwrap_or(usual)
}

/// How long leases are.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn lease(usual: std::time::Duration) -> std::time::Duration {
    usual
}

#[cfg(debug_assertions)]
mod inside {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::{BOUNDARIES, LEASE_VARIABLE, VARIABLE};

    struct Named {
        boundary: String,
        /// How often it is still passed.
        left: AtomicU32,
    }

    pub(super) fn reach(boundary: &str) {
        static NAMED: OnceLock<Option<Named>> = OnceLock::new();
        debug_assert!(BOUNDARIES.contains(&boundary), "`{boundary}` is not among the boundaries");
        let Some(named) = NAMED.get_or_init(named) else { return };
        if named.boundary == boundary && named.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // neither destructors nor buffers: what the kernel does not have yet is gone
            std::process::abort();
        }
    }

    pub(super) fn lease() -> Option<Duration> {
        Some(Duration::from_millis(variable(LEASE_VARIABLE)?.parse().ok()?))
    }

    fn named() -> Option<Named> {
        let text = variable(VARIABLE)?;
        let (boundary, times) = text.split_once(':').unwrap_or((&text, "1"));
        assert!(BOUNDARIES.contains(&boundary), "{VARIABLE}: there is no boundary `{boundary}`");
        let left = times.parse().unwrap_or_else(|_| panic!("{VARIABLE}: `{times}` is no number"));
        Some(Named { boundary: boundary.to_owned(), left: AtomicU32::new(left) })
    }

    #[expect(clippy::disallowed_methods, reason = "what a test tells a build for debugging, not a setting")]
    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
