//! Their tables: the only place that writes user data. Reads columns and keys, never alters a table.
