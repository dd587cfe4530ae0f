//! `hooktable tenants`: the customers on whose behalf something arrives.

use clap::Subcommand;

use super::flags::{Format, GlobalFlags, ask, unexpected};
use super::output;
use super::run::Exit;
use crate::app::operation::{Answer, Operation};

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub enum Tenants {
    /// Add a tenant; rows will carry its name, so it is never renamed
    Add {
        /// 1 to 64 letters, digits, `.`, `_` and `-`
        name: String,
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List all tenants
    List {
        /// How they are listed
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

impl Tenants {
    /// Does it.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        match self {
            Self::Add { name, format } => {
                let Answer::Tenant(tenant) = ask(&settings, Operation::AddTenant { name }).await? else {
                    return Err(unexpected());
                };
                output::note(&format!("added the tenant `{}`", tenant.name));
                if format == Format::Json {
                    output::json(&tenant)?;
                }
            }
            Self::List { format } => {
                let Answer::Tenants(tenants) = ask(&settings, Operation::ListTenants).await? else { return Err(unexpected()) };
                match format {
                    Format::Json => output::json(&tenants)?,
                    Format::Text if tenants.is_empty() => {
                        output::note("there are no tenants yet; `hooktable tenants add NAME` adds one")
                    }
                    Format::Text => output::table(["tenant"], tenants.into_iter().map(|tenant| [tenant.name])),
                }
            }
        }
        Ok(Exit::Fine)
    }
}
