//! `hooktable.yaml`: read like a route file, with every problem at its place.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::settings::{Given, TENANT_COLUMN};
use crate::auth::ip::Network;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options};
use crate::config::render;
use crate::config::shape::Shape;
use crate::config::source::{Sources, Span, Spanned};
use crate::config::units::ByteSize;
use crate::config::yaml::{Content, Node, parse};
use crate::secret::Secret;
use crate::target::DatabaseOptions;
use crate::target::options::DEFAULT_POOL;

options! {
    /// What the operator decides.
    pub struct SettingsFile {
        /// Where webhooks come to.
        listen: Option<String> = "127.0.0.1:8080",
        /// Where health and metrics are.
        admin_listen: Option<String> = "127.0.0.1:8081",
        /// The URL that senders reach `listen` by.
        public_url: Option<String>,
        /// The proxies between senders and `listen`, by address or network: only what they say of a request's sender is believed.
        trusted_proxies: Vec<Spanned<String>> as network,
        /// Where our own tables are.
        state: Option<StateOptions>,
        /// Where rows go: databases by name.
        databases: Named<NamedDatabaseOptions>,
        /// How long what is done is kept.
        retention: Option<RetentionOptions>,
        /// How many lanes are worked on side by side. One source has three quarters of them at most, one tenant of it half, so that
        /// others find some.
        workers: Option<u32> = "32",
    }
}

fn network() -> Shape {
    Network::shape()
}

options! {
    /// Where our own tables are.
    pub struct StateOptions {
        /// `sqlite://data/state.db`, or `postgres://USER@HOST/DATABASE` for several servers that share it.
        url: Option<UrlOptions>,
        /// The most that it may take: `20GiB`. At 95 % of it senders are asked to come again (503) until something has gone.
        max_bytes: Option<ByteSize>,
    }
}

options! {
    /// How long what is done is kept. What is open or dead stays until it is replayed or discarded, whatever its age, and senders' ids stay
    /// for the `remember` of their route file.
    pub struct RetentionOptions {
        /// The requests as they came, counted from then. Afterwards a delivery is still shown, with its secrets masked, but cannot be replayed.
        bodies: Option<Duration> = "30d",
        /// Deliveries with their records and attempts, counted from when they came and were finished. No shorter than `bodies`.
        records: Option<Duration> = "180d",
    }
}

options! {
    /// One database that rows go to.
    pub struct NamedDatabaseOptions {
        /// `sqlite://data/tables.db`, `postgres://…`, `mysql://…`, or where it stands: `{ env: NAME }`, `{ file: PATH }`. Without parameters TLS
        /// is used where the server offers it and nobody is verified: `?sslmode=verify-full` (PostgreSQL) and `?ssl-mode=VERIFY_IDENTITY` (MySQL)
        /// verify the server, `&sslrootcert=` and `&ssl-ca=` name a file of authorities of your own.
        url: UrlOptions,
        /// The column that carries the tenant's name.
        tenant_column: Option<String> = "tenant",
        /// The most connections at a time; SQLite takes one.
        pool: Option<u32> = "4",
    }
}

options! {
    /// Where a URL stands that may hold a password.
    pub struct PlaceOptions {
        /// The environment variable that holds it.
        env: Option<Spanned<String>>,
        /// The file that holds it.
        file: Option<Spanned<String>>,
    }
}

/// A URL, or where it stands.
#[derive(Clone, Debug)]
pub enum UrlOptions {
    /// As it is.
    Text(Secret<String>),
    /// Elsewhere.
    Place(PlaceOptions),
}

impl FromYaml for UrlOptions {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match &node.content {
            Content::Map(_) => PlaceOptions::from_yaml(node, diagnostics).map(Self::Place),
            Content::Scalar(_) | Content::List(_) => {
                String::from_yaml(node, diagnostics).map(|text| Self::Text(Secret::new(text)))
            }
        }
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![Shape::Text, PlaceOptions::shape()])
    }
}

/// Reads the file. One that is not there says nothing, unless it was asked for.
pub(super) fn read(path: &Path, asked_for: bool, variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Given> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => return Ok(Given::default()),
        Err(error) => return Err(error).with_context(|| format!("cannot read the settings file `{}`", path.display())),
    };
    let mut texts = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let file = texts.add(path.display().to_string(), text);
    let root = parse(&texts, file, &mut diagnostics);
    let empty = root.as_ref().is_some_and(Node::is_null);
    let options = root.filter(|_| !empty).and_then(|root| SettingsFile::from_yaml(&root, &mut diagnostics));
    let given = options.map(|options| given(&options, variable, &mut diagnostics));
    if diagnostics.has_errors() {
        bail!("the settings cannot be used\n\n{}", render::text(&diagnostics, &texts, false).trim_end());
    }
    Ok(given.unwrap_or_default())
}

fn given(options: &SettingsFile, variable: &dyn Fn(&str) -> Option<String>, diagnostics: &mut Diagnostics) -> Given {
    let state = options.state.as_ref();
    let state_url = state.and_then(|state| state.url.as_ref().map(|url| (url, state.span)));
    let databases = options.databases.entries.iter().filter_map(|(name, database)| {
        Some(DatabaseOptions {
            name: name.value.clone(),
            url: url_of(&database.url, database.span, variable, diagnostics)?,
            tenant_column: database.tenant_column.clone().unwrap_or_else(|| TENANT_COLUMN.to_owned()),
            pool: database.pool.unwrap_or(DEFAULT_POOL),
        })
    });
    Given {
        databases: databases.collect(),
        listen: options.listen.clone(),
        admin_listen: options.admin_listen.clone(),
        public_url: options.public_url.clone(),
        trusted_proxies: options.trusted_proxies.iter().map(|proxy| proxy.value.clone()).collect(),
        state: state_url.and_then(|(url, span)| url_of(url, span, variable, diagnostics)),
        state_max_bytes: state.and_then(|state| state.max_bytes).map(|size| size.0),
        keep_bodies: options.retention.as_ref().and_then(|retention| retention.bodies),
        keep_records: options.retention.as_ref().and_then(|retention| retention.records),
        workers: options.workers.map(|workers| workers as usize),
        ..Given::default()
    }
}

fn url_of(
    url: &UrlOptions,
    span: Span,
    variable: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Secret<String>> {
    let place = match url {
        UrlOptions::Text(text) => return Some(text.clone()),
        UrlOptions::Place(place) => place,
    };
    let (value, span, what) = match (&place.env, &place.file) {
        (Some(env), None) => (variable(env), env.span, format!("the environment variable `{}`", env.value)),
        (None, Some(file)) => (std::fs::read_to_string(&file.value).ok(), file.span, format!("the file `{}`", file.value)),
        _ => {
            let message = "expected a URL, `{ env: NAME }` or `{ file: PATH }`";
            diagnostics.report(Diagnostic::error("one-of", span, message));
            return None;
        }
    };
    let value = value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    if value.is_none() {
        diagnostics.report(Diagnostic::error("unset-setting", span, format!("{what} is absent or empty")));
    }
    value.map(Secret::new)
}
