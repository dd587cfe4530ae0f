//! Values out of values: what a scalar of a route file means and what it gives for an event document. Pure.
