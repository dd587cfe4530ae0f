//! `hooktable keys`: API keys, each shown once with what to paste at the provider.

use clap::Subcommand;

use super::flags::{Format, GlobalFlags, Language, ask, unexpected};
use super::output;
use super::run::Exit;
use crate::app::keys::CreatedKey;
use crate::app::onboarding::Address;
use crate::app::operation::{Answer, Operation};
use crate::app::settings::{Given, resolve};
use crate::model::api_key::ApiKeySummary;

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key for a tenant and source, and show it this once
    Create {
        /// The tenant's name
        #[arg(long)]
        tenant: String,
        /// The source that the key opens
        #[arg(long)]
        source: String,
        /// What it is for, in words
        #[arg(long)]
        description: String,
        /// The URL that senders reach the server by, when no server runs that knows it
        #[arg(long, value_name = "URL")]
        public_url: Option<String>,
        /// The language of what the customer is handed
        #[arg(long, value_enum, default_value_t)]
        lang: Language,
        /// How it is shown
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List all keys, without the keys themselves
    List {
        /// How they are listed
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Revoke a key: from now on it opens nothing
    Revoke {
        /// Its number in `keys list`
        id: i64,
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Make another key for the same tenant, source and purpose, show it this once, and revoke the old one
    Rotate {
        /// Its number in `keys list`
        id: i64,
        /// The URL that senders reach the server by, when no server runs that knows it
        #[arg(long, value_name = "URL")]
        public_url: Option<String>,
        /// The language of what the customer is handed
        #[arg(long, value_enum, default_value_t)]
        lang: Language,
        /// How it is shown
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

impl Keys {
    /// Does it.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        match self {
            Self::Create { tenant, source, description, public_url, lang, format } => {
                let settings = resolve(Given { public_url, ..global.given() })?.settings;
                let language = lang.code().to_owned();
                let operation = Operation::CreateKey { tenant, source, description, language };
                let Answer::Key(key) = ask(&settings, operation).await? else { return Err(unexpected()) };
                match format {
                    Format::Json => output::json(&key)?,
                    Format::Text => show_created(&key),
                }
            }
            Self::List { format } => {
                let settings = global.settings()?;
                let Answer::Keys(keys) = ask(&settings, Operation::ListKeys).await? else { return Err(unexpected()) };
                match format {
                    Format::Json => output::json(&keys)?,
                    Format::Text => list(&keys),
                }
            }
            Self::Revoke { id, format } => {
                let settings = global.settings()?;
                let Answer::RevokedKey(key) = ask(&settings, Operation::RevokeKey { id }).await? else {
                    return Err(unexpected());
                };
                output::note(&format!("revoked key {} of `{}` for `{}` (…{})", key.id, key.tenant, key.source, key.ending));
                if format == Format::Json {
                    output::json(&key)?;
                }
            }
            Self::Rotate { id, public_url, lang, format } => {
                let settings = resolve(Given { public_url, ..global.given() })?.settings;
                let operation = Operation::RotateKey { id, language: lang.code().to_owned() };
                let Answer::Key(key) = ask(&settings, operation).await? else { return Err(unexpected()) };
                output::note(&format!("key {id} is revoked"));
                match format {
                    Format::Json => output::json(&key)?,
                    Format::Text => show_created(&key),
                }
            }
        }
        Ok(Exit::Fine)
    }
}

fn show_created(key: &CreatedKey) {
    output::note(&format!("key {} of `{}` for `{}`; it is shown only now:\n", key.id, key.tenant, key.source));
    output::data(&key.key);
    if !key.addresses.is_empty() {
        output::note("\nwhat to paste at the provider:\n");
    }
    show_addresses(&key.addresses);
    if let Some(text) = &key.onboarding {
        output::note("\nwhat to hand to the customer:\n");
        output::data(text);
    }
}

/// Each address on a line, what else belongs to it below.
pub(super) fn show_addresses(addresses: &[Address]) {
    for address in addresses {
        let event = address.event.as_ref().map_or_else(String::new, |event| format!("{event}: "));
        output::data(&format!("{event}{} {}", address.method, address.url));
        for more in address.header.iter().chain(&address.note) {
            output::data(&format!("  {more}"));
        }
    }
}

fn list(keys: &[ApiKeySummary]) {
    if keys.is_empty() {
        return output::note("there are no API keys yet; `hooktable keys create` makes one");
    }
    let moment = |moment: &Option<String>| moment.as_deref().map_or_else(|| "-".to_owned(), output::to_the_second);
    let rows = keys.iter().map(|key| {
        [
            key.id.to_string(),
            key.tenant.clone(),
            key.source.clone(),
            format!("…{}", key.ending),
            key.description.clone(),
            output::to_the_second(&key.created_at),
            moment(&key.last_used_at),
            moment(&key.revoked_at),
        ]
    });
    output::table(["key", "tenant", "source", "ends in", "description", "created", "last used", "revoked"], rows);
}
