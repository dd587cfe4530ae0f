//! A bundle: a route file with all that it includes, by content hash. One version of a source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The texts one version of a source was compiled from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The source's name.
    pub source: String,
    /// Text by path, as the diagnostics name them; the route file itself among them.
    pub files: BTreeMap<String, String>,
    /// The path of the route file.
    pub main: String,
}
