//! Tenants: the customers on whose behalf something arrives.

use serde::{Deserialize, Serialize};

/// A tenant. Rows carry its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tenant {
    /// Its row in the state database.
    pub id: i64,
    /// Its name: 1 to 64 of letters, digits, `.`, `_` and `-`.
    pub name: String,
}

impl Tenant {
    /// Whether `name` can name a tenant.
    pub fn is_name(name: &str) -> bool {
        let allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-');
        (1..=64).contains(&name.chars().count()) && name.chars().all(allowed)
    }
}
