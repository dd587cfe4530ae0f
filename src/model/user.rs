//! Users of the portal: the people who look after tenants and deliveries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What a user may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything but users.
    Support,
    /// Looking.
    Viewer,
}

impl Role {
    /// All of them, the mightiest first.
    pub const ALL: [Role; 3] = [Self::Admin, Self::Support, Self::Viewer];

    /// The word that people see and type.
    pub fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Support => "support",
            Self::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.word() == text);
        found.ok_or_else(|| format!("`{text}` is no role; one of {}", Self::ALL.map(Self::word).join(", ")))
    }
}

/// A user, without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its row in the state database.
    pub id: i64,
    /// What the user signs in with.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When it was added.
    pub created_at: Timestamp,
    /// When role or password last changed.
    pub changed_at: Timestamp,
}

impl User {
    /// Whether `name` can name a user: 1 to 64 characters without spaces; an e-mail address will do.
    pub fn is_name(name: &str) -> bool {
        let allowed = |letter: char| !letter.is_whitespace() && !letter.is_control();
        (1..=64).contains(&name.chars().count()) && name.chars().all(allowed)
    }
}

/// A user as it is listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserSummary {
    /// What the user signs in with.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub changed_at: String,
}

impl From<&User> for UserSummary {
    fn from(user: &User) -> Self {
        Self {
            name: user.name.clone(),
            role: user.role,
            created_at: user.created_at.to_string(),
            changed_at: user.changed_at.to_string(),
        }
    }
}
