//! How a target database is named and reached, as the settings write it.

use crate::secret::Secret;

use super::dialect::Dialect;

/// How many connections a database gets when nobody says it.
pub const DEFAULT_POOL: u32 = 4;

/// One named database that rows are written to.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// The name that `into:` uses; `main` is the default one.
    pub name: String,
    /// Where it is: `sqlite://data/tables.db`, `postgres://…`, `mysql://…`. May hold a password.
    pub url: Secret<String>,
    /// The column that carries the tenant's name in tables of sources with tenants.
    pub tenant_column: String,
    /// The most connections at a time; SQLite takes one.
    pub pool: u32,
}

impl DatabaseOptions {
    /// With as many connections as it gets when nobody says it.
    pub fn new(name: impl Into<String>, url: impl Into<Secret<String>>, tenant_column: impl Into<String>) -> Self {
        Self { name: name.into(), url: url.into(), tenant_column: tenant_column.into(), pool: DEFAULT_POOL }
    }

    /// The engine that the URL names.
    pub fn dialect(&self) -> Option<Dialect> {
        Dialect::of_url(self.url.expose())
    }
}
