//! What happens to a record, one file per step, and the two lists of steps: admission and pipeline.
