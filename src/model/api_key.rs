//! API keys: issued by us to a tenant for a source; only their SHA-256 is kept.

use serde::{Deserialize, Serialize};

use super::tenant::Tenant;
use crate::clock::Timestamp;

/// An API key without the key.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Its row in the state database.
    pub id: i64,
    /// Whose it is.
    pub tenant: Tenant,
    /// The source it opens.
    pub source: String,
    /// What the operator wrote about it.
    pub description: String,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// The last four characters, to tell keys apart.
    pub ending: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a delivery last came with it, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// An API key as it is listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKeySummary {
    /// Its number, to revoke it by.
    pub id: i64,
    /// The tenant's name.
    pub tenant: String,
    /// The source it opens.
    pub source: String,
    /// What the operator wrote about it.
    pub description: String,
    /// The last four characters.
    pub ending: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339, to the minute.
    pub last_used_at: Option<String>,
    /// RFC 3339; absent while it is valid.
    pub revoked_at: Option<String>,
}

impl From<&ApiKey> for ApiKeySummary {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id,
            tenant: key.tenant.name.clone(),
            source: key.source.clone(),
            description: key.description.clone(),
            ending: key.ending.clone(),
            created_at: key.created_at.to_string(),
            last_used_at: key.last_used_at.map(|moment| moment.to_string()),
            revoked_at: key.revoked_at.map(|moment| moment.to_string()),
        }
    }
}
