//! HTTP in: a request becomes a stored delivery or a refusal.
