//! The one outgoing client: address guard, limits, cache and single flight, retry, recorded answers.
