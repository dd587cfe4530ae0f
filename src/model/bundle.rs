//! A bundle: a route file with all that it includes, by content hash. One version of a source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the version of a source that runs computes at admission. Lanes of another one are not to be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveVersion {
    /// The source's name.
    pub source: String,
    /// SHA-256 of what decides event, lane and id.
    pub admit_hash: [u8; 32],
}

/// The texts one version of a source was compiled from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The source's name.
    pub source: String,
    /// Text by path, as the diagnostics name them; the route file itself among them.
    pub files: BTreeMap<String, String>,
    /// The path of the route file.
    pub main: String,
    /// The paths of the templates that it includes, by the names that it includes them by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, String>,
}
