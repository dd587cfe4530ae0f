//! Bytes to records: one file per format, and splitting.
