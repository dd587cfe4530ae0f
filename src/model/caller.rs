//! Who sent a delivery, as it is stored beside it. Only `auth` makes the living one.

use serde::{Deserialize, Serialize};

use super::tenant::Tenant;

/// The sender as a verified request named it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCaller {
    /// The tenant on whose behalf it came, if the source has tenants.
    pub tenant: Option<Tenant>,
    /// The scheme that let it in: `api_key`, `token`, `none`; of several joined ones `ip+jwt`.
    pub scheme: String,
    /// The API key that was used.
    pub api_key: Option<i64>,
    /// The integration that the request named, if the source has them and one was found before the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<i64>,
    /// The verified claims of a `jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<serde_json::Value>,
}
