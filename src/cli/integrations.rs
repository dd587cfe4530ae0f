//! `hooktable integrations`: the customers' set-ups of sources. Secret fields go in and never come out.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::flags::{Format, GlobalFlags, Language, ask, unexpected};
use super::keys::show_addresses;
use super::output;
use super::run::Exit;
use super::secret_input::{SecretFlags, assigned};
use crate::app::integrations::{FieldView, GivenFields, IntegrationOperation, IntegrationView};
use crate::app::operation::{Answer, Operation};
use crate::app::settings::{Given, Settings, resolve};
use crate::model::integration::IntegrationSummary;

/// What can be done with integrations.
#[derive(Debug, Subcommand)]
pub enum Integrations {
    /// Add a tenant's set-up of a source, and print the URL to hand out
    Add {
        /// The tenant's name
        tenant: String,
        /// The source's name
        source: String,
        /// What it is, in words
        #[arg(long, default_value = "")]
        description: String,
        /// Its fields.
        #[command(flatten)]
        fields: FieldFlags,
        /// How it is shown.
        #[command(flatten)]
        shown: ShownFlags,
    },
    /// List all integrations
    List {
        /// Only those of this tenant
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// Only those of this source
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        /// How they are listed
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show one: its URL, its open fields, which secret ones it has and since when
    Show {
        /// Its number in `integrations list`
        id: i64,
        /// The text to hand to the customer instead
        #[arg(long)]
        onboarding: bool,
        /// The language of that text
        #[arg(long, value_enum, default_value_t)]
        lang: Language,
        /// How it is shown.
        #[command(flatten)]
        shown: ShownFlags,
    },
    /// Change single fields; the others stay as they are
    Set {
        /// Its number in `integrations list`
        id: i64,
        /// What it is, in words
        #[arg(long)]
        description: Option<String>,
        /// Its fields.
        #[command(flatten)]
        fields: FieldFlags,
        /// A field that is taken away
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
        /// How it is shown.
        #[command(flatten)]
        shown: ShownFlags,
    },
    /// Give it a new endpoint id; the old URL stops at once
    Rotate {
        /// Its number in `integrations list`
        id: i64,
        /// How it is shown.
        #[command(flatten)]
        shown: ShownFlags,
    },
    /// Revoke it: its URL stops at once, and its fields serve nothing any more
    Revoke {
        /// Its number in `integrations list`
        id: i64,
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// The flags by which fields are given.
#[derive(Clone, Debug, Args)]
pub struct FieldFlags {
    /// An open field
    #[arg(long = "set", value_name = "NAME=VALUE")]
    open: Vec<String>,
    #[command(flatten)]
    secret: SecretFlags,
}

/// The flags by which an integration is shown.
#[derive(Clone, Debug, Args)]
pub struct ShownFlags {
    /// The URL that senders reach the server by, when no server runs that knows it
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// How it is shown
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl FieldFlags {
    fn read(&self) -> anyhow::Result<GivenFields> {
        let mut open = BTreeMap::new();
        for given in &self.open {
            let (name, value) = assigned(given, "--set", "VALUE")?;
            if open.insert(name.to_owned(), value.to_owned()).is_some() {
                bail!("the field `{name}` is set twice");
            }
        }
        Ok(GivenFields { open, secret: self.secret.read()? })
    }
}

impl Integrations {
    /// Does it.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        match self {
            Self::Add { tenant, source, description, fields, shown } => {
                let operation = IntegrationOperation::Add { tenant, source, description, given: fields.read()? };
                let added = ask_for_one(global, &shown, operation).await?;
                let one = &added.summary;
                output::note(&format!("added integration {} of `{}` for `{}`\n", one.id, one.tenant, one.source));
                show(&added, shown.format)?;
            }
            Self::List { tenant, source, format } => {
                let operation = IntegrationOperation::List { tenant, source };
                let all = ask_for_several(&global.settings()?, operation).await?;
                match format {
                    Format::Json => output::json(&all)?,
                    Format::Text => list(&all),
                }
            }
            Self::Show { id, onboarding, lang, shown } => {
                let language = lang.code().to_owned();
                let found = ask_for_one(global, &shown, IntegrationOperation::Show { id, onboarding, language }).await?;
                match (&found.onboarding, shown.format) {
                    (Some(text), Format::Text) => output::data(text),
                    _ => show(&found, shown.format)?,
                }
            }
            Self::Set { id, description, fields, unset, shown } => {
                let operation = IntegrationOperation::Set { id, description, given: fields.read()?, remove: unset };
                let changed = ask_for_one(global, &shown, operation).await?;
                output::note(&format!("changed integration {id}\n"));
                show(&changed, shown.format)?;
            }
            Self::Rotate { id, shown } => {
                let rotated = ask_for_one(global, &shown, IntegrationOperation::Rotate { id }).await?;
                output::note(&format!("integration {id} has a new endpoint id; the old URL opens nothing any more\n"));
                show(&rotated, shown.format)?;
            }
            Self::Revoke { id, format } => {
                let revoked = ask_for_several(&global.settings()?, IntegrationOperation::Revoke { id }).await?;
                for one in &revoked {
                    output::note(&format!("revoked integration {} of `{}` for `{}`", one.id, one.tenant, one.source));
                }
                if format == Format::Json {
                    output::json(&revoked.first())?;
                }
            }
        }
        Ok(Exit::Fine)
    }
}

async fn ask_for_one(
    global: GlobalFlags,
    shown: &ShownFlags,
    operation: IntegrationOperation,
) -> anyhow::Result<IntegrationView> {
    let settings = resolve(Given { public_url: shown.public_url.clone(), ..global.given() })?.settings;
    match ask(&settings, Operation::Integrations(operation)).await? {
        Answer::Integration(view) => Ok(*view),
        _ => Err(unexpected()),
    }
}

async fn ask_for_several(settings: &Settings, operation: IntegrationOperation) -> anyhow::Result<Vec<IntegrationSummary>> {
    match ask(settings, Operation::Integrations(operation)).await? {
        Answer::Integrations(all) => Ok(all),
        _ => Err(unexpected()),
    }
}

fn show(view: &IntegrationView, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::json(view);
    }
    show_addresses(&view.addresses);
    let one = &view.summary;
    let mut about = vec![["tenant".to_owned(), one.tenant.clone()], ["source".to_owned(), one.source.clone()]];
    if !one.description.is_empty() {
        about.push(["description".to_owned(), one.description.clone()]);
    }
    about.push(["created".to_owned(), output::to_the_second(&one.created_at)]);
    about.push(["changed".to_owned(), output::to_the_second(&one.changed_at)]);
    let moments = [("last used", &one.last_used_at), ("revoked", &one.revoked_at)];
    about.extend(moments.into_iter().filter_map(|(what, at)| Some([what.to_owned(), output::to_the_second(at.as_ref()?)])));
    about.extend(one.needs_attention.iter().map(|reason| ["needs attention".to_owned(), reason.clone()]));
    output::data("");
    output::table(["integration", &one.id.to_string()], about);
    let rows = field_rows(view);
    if !rows.is_empty() {
        output::data("");
        output::table(["field", "value", "what it is"], rows);
    }
    Ok(())
}

/// What the file asks for, in its order, then what is stored though the file no longer asks for it.
fn field_rows(view: &IntegrationView) -> Vec<[String; 3]> {
    let one = &view.summary;
    let value_of = |name: &String| match (one.fields.get(name), one.secrets.get(name)) {
        (Some(value), _) => Some(value.clone()),
        (None, Some(changed_at)) => Some(format!("{} since {}", crate::secret::MASK, output::to_the_second(changed_at))),
        (None, None) => None,
    };
    let asked = view.asks_for.iter().map(|field| {
        let absent = || absent(field).to_owned();
        [field.name.clone(), value_of(&field.name).unwrap_or_else(absent), field.label.clone()]
    });
    let is_asked_for = |name: &&String| view.asks_for.iter().any(|field| field.name == **name);
    let others = one.fields.keys().chain(one.secrets.keys()).filter(|name| !is_asked_for(name));
    let others = others.map(|name| [name.clone(), value_of(name).unwrap_or_default(), "the file does not ask for it".to_owned()]);
    asked.chain(others).collect()
}

fn absent(field: &FieldView) -> &'static str {
    match field {
        FieldView { comes_along: true, .. } => "comes along with each request",
        FieldView { required: true, .. } => "missing",
        _ => "-",
    }
}

fn list(all: &[IntegrationSummary]) {
    if all.is_empty() {
        return output::note("there are no integrations; `hooktable integrations add` adds one");
    }
    let moment = |moment: &Option<String>| moment.as_deref().map_or_else(|| "-".to_owned(), output::to_the_second);
    let rows = all.iter().map(|one| {
        let open = one.fields.iter().map(|(name, value)| format!("{name}={value}"));
        let secret = one.secrets.keys().map(|name| format!("{name}={}", crate::secret::MASK));
        [
            one.id.to_string(),
            one.tenant.clone(),
            one.source.clone(),
            one.description.clone(),
            open.chain(secret).collect::<Vec<_>>().join(" "),
            output::to_the_second(&one.created_at),
            moment(&one.last_used_at),
            moment(&one.revoked_at),
        ]
    });
    output::table(["integration", "tenant", "source", "description", "fields", "created", "last used", "revoked"], rows);
    for one in all {
        if let Some(reason) = &one.needs_attention {
            output::data("");
            output::data(&format!("integration {} needs attention, its work waits: {reason}", one.id));
            output::data(&format!("  `hooktable integrations set {}` with other credentials lets it go on", one.id));
        }
    }
}
