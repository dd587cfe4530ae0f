//! Jobs out: claims lanes, delivers records, decides on retries.
