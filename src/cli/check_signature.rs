//! `hooktable check-signature`: whether a saved request would be let in, with the real secrets; if not, what is wrong with it.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::flags::GlobalFlags;
use super::output;
use super::run::Exit;
use super::trial::{request_text, source_of, texts_around};
use crate::app::settings::{EnvironmentSecrets, Settings, environment_variable};
use crate::app::sources::surroundings;
use crate::auth::alone::Alone;
use crate::auth::evidence::Evidence;
use crate::clock::{Clock, Timestamp};
use crate::expr::scope::SecretValues;
use crate::intake::address::Addresses;
use crate::model::delivery::Request;
use crate::routes::load::load;
use crate::routes::saved;
use crate::routes::source::Source;

/// The flags of `check-signature`.
#[derive(Debug, Args)]
pub struct CheckSignature {
    /// The route file
    file: PathBuf,
    /// The request: an `.http` file, a file with a body, the name of one of the file's samples, or `-`
    #[arg(long, value_name = "REQUEST")]
    request: Option<String>,
    /// When it arrived, as `2026-11-21T10:15:00Z` [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The URL as the sender knows it [default: `public_url`, or what the request says]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The sender's address, for a scheme that looks at it
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// A secret field of the integration, from a variable of the environment; may be given several times
    #[arg(long, value_name = "NAME=VARIABLE")]
    field: Vec<String>,
    /// How the result is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How the result is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For machines
    Json,
}

impl CheckSignature {
    /// Verifies it; says whether it would be refused.
    pub fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        let now = self.now()?;
        let surroundings = surroundings(&settings, Box::new(EnvironmentSecrets::new(Clock::system())));
        let loaded = load(&texts_around(&self.file, &settings)?, surroundings.world(), &[]);
        let Some(source) = source_of(&self.file, &loaded)? else { return Ok(Exit::Problems) };
        let text = request_text(self.request.as_deref(), &source)?;
        let mut request = saved::read(&text, &source.receive).map_err(|reason| anyhow::anyhow!("the request: {reason}"))?;
        request.peer = self.from;
        let url = self.url.clone().unwrap_or_else(|| url_of(&text, &request, &settings));
        let params = source.receive.path_parameters(&request.path).unwrap_or_default();
        let document = source.admission.read(&request, &params).document;
        let fields = self.fields()?;
        let evidence = Evidence { request: &request, document: &document, url: &url, now, source: &source.name, fields: &fields };
        match source.auth.verify_alone(&evidence) {
            Alone::Passes(_) => self.tell(&source, true, &[], ""),
            Alone::Refused(refusal) => self.tell(&source, false, &refusal.findings, &refusal.told),
            Alone::NeedsMore("ip") => bail!("whose address is it?\nhint: `--from ADDRESS`"),
            Alone::NeedsMore(word) => {
                bail!("`{word}` cannot be verified here: it takes the state of a server\nhint: send the request to it")
            }
        }
    }

    fn now(&self) -> anyhow::Result<Timestamp> {
        let Some(text) = &self.at else { return Ok(Clock::system().now()) };
        Timestamp::parse(text).with_context(|| format!("`{text}` is no time\nhint: such as `--at 2026-11-21T10:15:00Z`"))
    }

    fn fields(&self) -> anyhow::Result<SecretValues> {
        let field = |written: &String| {
            let (name, variable) = written.split_once('=').context("`--field` is written as `NAME=VARIABLE`")?;
            let value = environment_variable(variable).with_context(|| format!("the variable `{variable}` is not set"))?;
            Ok((name.to_owned(), value.into()))
        };
        self.field.iter().map(field).collect()
    }

    fn tell(&self, source: &Source, passes: bool, findings: &[String], told: &str) -> anyhow::Result<Exit> {
        let scheme = source.auth.word();
        match self.format {
            Format::Json => output::json(&json!({
                "source": source.name,
                "auth": scheme,
                "passes": passes,
                "told": (!passes).then_some(told),
                "findings": findings,
            }))?,
            Format::Text if passes => output::data(&format!("source `{}`: `{scheme}` passes", source.name)),
            Format::Text => {
                let lines: String = findings.iter().map(|finding| format!("\n  - {finding}")).collect();
                output::data(&format!("source `{}`: `{scheme}` refuses it: {told}{lines}", source.name));
                if self.at.is_none() && findings.iter().any(|finding| finding.starts_with("the clock")) {
                    output::note("hint: of a request that was captured earlier, `--at TIME` says when it arrived");
                }
            }
        }
        Ok(if passes { Exit::Fine } else { Exit::Problems })
    }
}

/// The URL that the sender used: what the settings say, else what the saved request line says, else its host.
fn url_of(text: &str, request: &Request, settings: &Settings) -> String {
    let whole = text.lines().next().and_then(|line| line.split_whitespace().nth(1)).filter(|target| target.starts_with("http"));
    match (&settings.public_url, whole) {
        (None, Some(whole)) => whole.to_owned(),
        (public_url, _) => Addresses { public_url: public_url.clone(), ..Addresses::default() }.url(request),
    }
}
