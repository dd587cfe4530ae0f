//! How a target database is named and reached, as the settings write it.

use crate::secret::Secret;

/// One named database that rows are written to.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// The name that `into:` uses; `main` is the default one.
    pub name: String,
    /// Where it is: `sqlite://data/tables.db`. May hold a password.
    pub url: Secret<String>,
    /// The column that carries the tenant's name in tables of sources with tenants.
    pub tenant_column: String,
}
