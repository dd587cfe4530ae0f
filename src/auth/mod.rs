//! Who is asking: one file per scheme. `Caller` is made nowhere else.
