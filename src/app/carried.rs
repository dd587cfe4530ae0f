//! A secret on its way from a command to the server, through a socket that only its user can open. Nowhere else is a secret
//! turned into text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::Secret;

/// A secret that an operation carries.
#[derive(Clone)]
pub struct Carried(Secret<String>);

impl Carried {
    /// The secret as everything else knows it.
    pub fn secret(self) -> Secret<String> {
        self.0
    }
}

impl From<Secret<String>> for Carried {
    fn from(secret: Secret<String>) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl Serialize for Carried {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Carried {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}
