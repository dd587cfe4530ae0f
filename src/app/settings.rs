//! What the program is told by flags, `HOOKTABLE_*` variables, `hooktable.yaml` and defaults, in that order. The only file that
//! reads the environment.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::civil::Date;
use reqwest::Url;

use super::settings_file;
use crate::auth::ip::Network;
use crate::auth::secret::SecretReader;
use crate::clock::Clock;
use crate::config::units::{format_duration, parse_size};
use crate::routes::folder::Folder;
use crate::secret::{MASK, Secret};
use crate::store::retention::Keep;
use crate::store::{Place, masked_url};
use crate::target::DatabaseOptions;

/// The settings file that is read when none is named.
const FILE: &str = "hooktable.yaml";

/// Everything a server is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of route files.
    pub routes: PathBuf,
    /// The folder of what route files include.
    pub templates: PathBuf,
    /// The folder of what is ours: key file, control socket, and by default the state and the tables.
    pub data: PathBuf,
    /// The state: a file of ours, or a database that several servers share.
    pub state: Place,
    /// The most bytes that the state may take.
    pub state_max_bytes: Option<u64>,
    /// Where webhooks come to: `127.0.0.1:8080`; port 0 takes any free one.
    pub listen: String,
    /// Where health and metrics are.
    pub admin_listen: String,
    /// The URL that senders reach `listen` by, without a slash at the end; the address itself when there is none.
    pub public_url: Option<String>,
    /// The proxies whose word on who sent a request is taken.
    pub trusted_proxies: Vec<Network>,
    /// The databases that rows go to.
    pub databases: Vec<DatabaseOptions>,
    /// Origins whose calls go to a simulated API instead, before the address guard.
    pub simulate_api: Vec<(String, Url)>,
    /// How long what is done is kept.
    pub keep: Keep,
    /// Lanes worked on side by side.
    pub workers: usize,
    /// The master key; without it the key file in `data` is used, and made at the first start.
    pub master_key: Option<Secret<String>>,
}

impl Settings {
    /// The folder of route files, with what they include.
    pub fn folder(&self) -> Folder {
        Folder::new(&self.routes).with_templates(&self.templates)
    }

    /// The defaults, with everything of ours in one folder.
    pub fn in_folder(data: impl Into<PathBuf>) -> Self {
        let data = data.into();
        Self {
            routes: PathBuf::from("routes.d"),
            templates: PathBuf::from("templates"),
            state: data.join("state.db").into(),
            state_max_bytes: None,
            listen: "127.0.0.1:8080".to_owned(),
            admin_listen: "127.0.0.1:8081".to_owned(),
            public_url: None,
            trusted_proxies: Vec::new(),
            databases: vec![DatabaseOptions::new(
                "main",
                format!("sqlite://{}", data.join("tables.db").display()),
                TENANT_COLUMN,
            )],
            simulate_api: Vec::new(),
            keep: Keep::default(),
            workers: 32,
            master_key: None,
            data,
        }
    }

    /// The key file.
    pub fn key_file(&self) -> PathBuf {
        self.data.join("master.key")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::in_folder("data")
    }
}

/// The tenant column of a database that names none.
pub(super) const TENANT_COLUMN: &str = "tenant";

/// What one place says; `None` where it says nothing.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--routes`.
    pub routes: Option<PathBuf>,
    /// `--templates`.
    pub templates: Option<PathBuf>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--state`: `sqlite://PATH` or `postgres://USER@HOST/DATABASE`.
    pub state: Option<Secret<String>>,
    /// `state.max_bytes`.
    pub state_max_bytes: Option<u64>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--admin-listen`.
    pub admin_listen: Option<String>,
    /// `--public-url`.
    pub public_url: Option<String>,
    /// `--trusted-proxy`.
    pub trusted_proxies: Vec<String>,
    /// `databases`.
    pub databases: Vec<DatabaseOptions>,
    /// `--simulate-api ORIGIN=URL`.
    pub simulate_api: Vec<String>,
    /// `retention.bodies`.
    pub keep_bodies: Option<Duration>,
    /// `retention.records`.
    pub keep_records: Option<Duration>,
    /// `--workers`.
    pub workers: Option<usize>,
    /// `HOOKTABLE_MASTER_KEY`.
    pub master_key: Option<Secret<String>>,
}

/// The settings with what `--print-config` shows.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Each of them in words.
    pub shown: Vec<Shown>,
}

/// A setting as it is shown: nothing in it is secret.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Shown {
    /// As `hooktable.yaml` names it.
    pub name: String,
    /// Its value, masked.
    pub value: String,
    /// Where it was set.
    pub from: String,
}

/// The settings that flags, environment and file come to.
pub fn resolve(flags: Given) -> anyhow::Result<Resolved> {
    resolve_with(flags, &environment_variable)
}

/// A variable of the environment, when it is set to something.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The operator's secrets as the environment and files hold them.
pub struct EnvironmentSecrets {
    clock: Clock,
}

impl EnvironmentSecrets {
    /// A reader with a clock for `until`.
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl SecretReader for EnvironmentSecrets {
    fn environment(&self, name: &str) -> Option<String> {
        environment_variable(name)
    }

    fn file(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    fn today(&self) -> Date {
        let now = jiff::Timestamp::from_microsecond(self.clock.now().as_micros()).unwrap_or_default();
        now.to_zoned(jiff::tz::TimeZone::system()).date()
    }

    fn stand_in(&self, _name: &str) -> Option<String> {
        None
    }
}

fn resolve_with(flags: Given, variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Resolved> {
    let variables = from_environment(variable)?;
    let (path, named) = match flags.config.clone().or_else(|| variables.config.clone()) {
        Some(path) => (path, true),
        None => (PathBuf::from(FILE), false),
    };
    let file = settings_file::read(&path, named, variable)?;
    let mut layers = Layers {
        places: [("a flag".to_owned(), flags), ("the environment".to_owned(), variables), (path.display().to_string(), file)],
        shown: Vec::new(),
    };
    layers.settle()
}

fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Given> {
    let secret = |name: &str| variable(name).map(Secret::new);
    let workers = variable("HOOKTABLE_WORKERS").map(|text| text.parse().with_context(|| not_a_number("WORKERS", &text)));
    let size = |text: String| parse_size(&text).map(|size| size.0).with_context(|| not_a_number("STATE_MAX_BYTES", &text));
    Ok(Given {
        config: variable("HOOKTABLE_CONFIG").map(PathBuf::from),
        routes: variable("HOOKTABLE_ROUTES").map(PathBuf::from),
        templates: variable("HOOKTABLE_TEMPLATES").map(PathBuf::from),
        data: variable("HOOKTABLE_DATA").map(PathBuf::from),
        state: secret("HOOKTABLE_STATE"),
        state_max_bytes: variable("HOOKTABLE_STATE_MAX_BYTES").map(size).transpose()?,
        listen: variable("HOOKTABLE_LISTEN"),
        admin_listen: variable("HOOKTABLE_ADMIN_LISTEN"),
        public_url: variable("HOOKTABLE_PUBLIC_URL"),
        trusted_proxies: variable("HOOKTABLE_TRUSTED_PROXIES").map(|text| words_of(&text)).unwrap_or_default(),
        databases: Vec::new(),
        keep_bodies: None,
        keep_records: None,
        simulate_api: variable("HOOKTABLE_SIMULATE_API").map(|text| words_of(&text)).unwrap_or_default(),
        workers: workers.transpose()?,
        master_key: secret("HOOKTABLE_MASTER_KEY"),
    })
}

/// The words of a variable that holds a list.
fn words_of(text: &str) -> Vec<String> {
    text.split(|letter: char| letter.is_whitespace() || letter == ',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A list that says something.
fn listed(words: &[String]) -> Option<Vec<String>> {
    (!words.is_empty()).then(|| words.to_vec())
}

#[expect(clippy::ptr_arg, reason = "settings are shown as what they are")]
fn words_or_none(words: &Vec<String>) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

fn not_a_number(name: &str, found: &str) -> String {
    format!("the variable `HOOKTABLE_{name}` is `{found}`; expected a number")
}

/// What each place says, the strongest first.
struct Layers {
    places: [(String, Given); 3],
    shown: Vec<Shown>,
}

impl Layers {
    fn settle(&mut self) -> anyhow::Result<Resolved> {
        let data = self.pick("data", |given| given.data.clone(), |data| data.display().to_string(), Settings::default().data);
        let default = Settings::in_folder(&data);
        let path = |path: &PathBuf| path.display().to_string();
        let text = |text: &String| text.clone();
        let routes = self.pick("routes", |given| given.routes.clone(), path, default.routes);
        let templates = self.pick("templates", |given| given.templates.clone(), path, default.templates);
        let listen = self.pick("listen", |given| given.listen.clone(), text, default.listen);
        let admin_listen = self.pick("admin_listen", |given| given.admin_listen.clone(), text, default.admin_listen);
        let public_url = self.pick(
            "public_url",
            |given| given.public_url.clone().map(Some),
            |url| url.clone().unwrap_or_else(|| "the address of `listen`".to_owned()),
            None,
        );
        let proxies = self.pick("trusted_proxies", |given| listed(&given.trusted_proxies), words_or_none, Vec::new());
        let default_state = Secret::new(format!("sqlite://{}", default.state.shown()));
        let state = self.pick("state.url", |given| given.state.clone(), |url| masked_url(url.expose()), default_state);
        let state_max_bytes = self.pick(
            "state.max_bytes",
            |given| given.state_max_bytes.map(Some),
            |bytes| bytes.map_or_else(|| "no limit".to_owned(), |bytes| bytes.to_string()),
            None,
        );
        let keep = self.keep(default.keep)?;
        let workers = self.pick("workers", |given| given.workers, usize::to_string, default.workers);
        let master_key = self.pick(
            "master_key",
            |given| given.master_key.clone().map(Some),
            |key| if key.is_some() { MASK.to_owned() } else { data.join("master.key").display().to_string() },
            None,
        );
        let databases = self.databases(default.databases);
        let simulated = self.pick("simulate_api", |given| listed(&given.simulate_api), words_or_none, Vec::new());
        if workers == 0 {
            bail!("`workers` is 0; expected at least one");
        }
        let settings = Settings {
            routes,
            templates,
            state: state_place(&state)?,
            state_max_bytes,
            listen,
            admin_listen,
            public_url: public_url.map(|url| checked_public_url(&url)).transpose()?,
            trusted_proxies: proxies.iter().map(|text| trusted_proxy(text)).collect::<anyhow::Result<_>>()?,
            databases,
            simulate_api: simulated.iter().map(|text| simulated_api(text)).collect::<anyhow::Result<_>>()?,
            keep,
            workers,
            master_key,
            data,
        };
        Ok(Resolved { settings, shown: std::mem::take(&mut self.shown) })
    }

    fn pick<T>(&mut self, name: &str, said: impl Fn(&Given) -> Option<T>, words: impl Fn(&T) -> String, default: T) -> T {
        let found = self.places.iter().find_map(|(place, given)| said(given).map(|value| (value, place.clone())));
        let (value, from) = found.unwrap_or_else(|| (default, "the default".to_owned()));
        self.shown.push(Shown { name: name.to_owned(), value: words(&value), from });
        value
    }

    fn keep(&mut self, default: Keep) -> anyhow::Result<Keep> {
        let words = |duration: &Duration| format_duration(*duration);
        let bodies = self.pick("retention.bodies", |given| given.keep_bodies, words, default.bodies);
        let records = self.pick("retention.records", |given| given.keep_records, words, default.records.max(bodies));
        if records < bodies {
            let (records, bodies) = (words(&records), words(&bodies));
            bail!(
                "`retention.records` is {records} and `retention.bodies` {bodies}; expected records to be kept as long at least"
            );
        }
        Ok(Keep { bodies, records })
    }

    /// Those of the file, and `main` whether it names it or not.
    fn databases(&mut self, default: Vec<DatabaseOptions>) -> Vec<DatabaseOptions> {
        let mut databases = Vec::new();
        let (place, given) = &self.places[2];
        let named = given.databases.iter().map(|database| (database.clone(), place.clone()));
        let missing = default.into_iter().filter(|one| given.databases.iter().all(|named| named.name != one.name));
        for (database, from) in missing.map(|one| (one, "the default".to_owned())).chain(named) {
            let (url, pool) = (masked_url(database.url.expose()), database.pool);
            let value = format!("{url}, tenant column `{}`, pool {pool}", database.tenant_column);
            self.shown.push(Shown { name: format!("databases.{}", database.name), value, from });
            databases.push(database);
        }
        databases
    }
}

fn state_place(url: &Secret<String>) -> anyhow::Result<Place> {
    let text = url.expose();
    if ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(Place::Server(url.clone()));
    }
    let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
    match path.filter(|path| !path.is_empty() && !path.contains('?')) {
        Some(path) => Ok(PathBuf::from(path).into()),
        None => {
            bail!("the state cannot be at `{}`; expected `sqlite://PATH` or `postgres://USER@HOST/DATABASE`", masked_url(text))
        }
    }
}

fn checked_public_url(text: &str) -> anyhow::Result<String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() => Ok(text.trim_end_matches('/').to_owned()),
        _ => bail!("`public_url` is `{text}`; expected a URL such as `https://webhook.example.dk`"),
    }
}

fn trusted_proxy(text: &str) -> anyhow::Result<Network> {
    Network::parse(text).with_context(|| {
        format!("the trusted proxy `{text}` is neither an address nor a network; expected such as `10.0.0.7` or `10.0.0.0/8`")
    })
}

fn simulated_api(text: &str) -> anyhow::Result<(String, Url)> {
    let parts = text.split_once('=').and_then(|(origin, url)| Some((origin.to_owned(), Url::parse(url).ok()?)));
    parts.with_context(|| format!("`{text}` names no simulated API; expected `https://api.example.com=http://127.0.0.1:PORT`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(flags: Given, variables: &[(&str, &str)], file: &str) -> anyhow::Result<Resolved> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hooktable.yaml");
        std::fs::write(&path, file).expect("written");
        let flags = Given { config: Some(path), ..flags };
        resolve_with(flags, &|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn flags_win_over_variables_and_those_over_the_file() {
        let file = "listen: 1.1.1.1:1\nadmin_listen: 1.1.1.1:2\npublic_url: https://one.example/\n";
        let variables = [("HOOKTABLE_LISTEN", "2.2.2.2:1"), ("HOOKTABLE_ADMIN_LISTEN", "2.2.2.2:2")];
        let flags = Given { listen: Some("3.3.3.3:1".to_owned()), ..Given::default() };
        let resolved = resolved(flags, &variables, file).expect("settings");
        let settings = resolved.settings;
        assert_eq!((settings.listen.as_str(), settings.admin_listen.as_str()), ("3.3.3.3:1", "2.2.2.2:2"));
        assert_eq!(settings.public_url.as_deref(), Some("https://one.example"));
        let from = |name: &str| resolved.shown.iter().find(|one| one.name == name).map(|one| one.from.clone()).expect("shown");
        assert_eq!((from("listen").as_str(), from("workers").as_str()), ("a flag", "the default"));
        assert!(from("public_url").ends_with("hooktable.yaml"));
    }

    #[test]
    fn databases_are_added_to_main_and_their_secrets_are_not_shown() {
        let file = "databases:\n  erp: { url: { env: ERP_URL }, tenant_column: customer }\n";
        let resolved = resolved(Given::default(), &[("ERP_URL", "postgres://me:hunter2@db/erp?a=b")], file).expect("settings");
        let names: Vec<&str> = resolved.settings.databases.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["main", "erp"]);
        let shown = format!("{:?} {:?}", resolved.shown, resolved.settings);
        assert!(!shown.contains("hunter2") && shown.contains("•••@db/erp"), "{shown}");
    }

    #[test]
    fn the_password_of_the_state_is_not_shown() {
        let url = "postgres://me:hunter2@db.example/state?sslmode=verify-full&password=hunter2";
        let resolved =
            resolved(Given::default(), &[("STATE_URL", url)], "state: { url: { env: STATE_URL } }\n").expect("settings");
        let shown = format!("{:?} {:?} {}", resolved.shown, resolved.settings, resolved.settings.state.shown());
        assert!(!shown.contains("hunter2") && shown.contains("postgres://•••@db.example/state?•••"), "{shown}");
    }

    #[test]
    fn trusted_proxies_are_addresses_and_networks_of_one_place() {
        let file = "trusted_proxies: [10.0.0.0/8, \"::1\"]\n";
        let shown = |resolved: &Resolved| {
            let shown = resolved.shown.iter().find(|one| one.name == "trusted_proxies").expect("shown");
            format!("{} from {}", shown.value, shown.from.rsplit('/').next().unwrap_or_default())
        };
        let of_file = resolved(Given::default(), &[], file).expect("settings");
        assert_eq!((of_file.settings.trusted_proxies.len(), shown(&of_file).as_str()), (2, "10.0.0.0/8 ::1 from hooktable.yaml"));
        let variables = [("HOOKTABLE_TRUSTED_PROXIES", "192.0.2.1,192.0.2.2 192.0.2.3")];
        let of_variable = resolved(Given::default(), &variables, file).expect("settings");
        assert_eq!(of_variable.settings.trusted_proxies.len(), 3);
        let flags = Given { trusted_proxies: vec!["192.0.2.9".to_owned()], ..Given::default() };
        assert_eq!(shown(&resolved(flags, &variables, file).expect("settings")), "192.0.2.9 from a flag");
    }

    #[test]
    fn a_slip_in_the_file_is_shown_at_its_place() {
        let error = resolved(Given::default(), &[], "listn: 1.1.1.1:1\n").expect_err("a slip").to_string();
        assert!(error.contains("hooktable.yaml:1:1") && error.contains("did you mean `listen`?"), "{error}");
        for later in ["retention: { attempts: 1d }", "databases: { main: { url: a, pols: 8 } }"] {
            let error = resolved(Given::default(), &[], later).expect_err(later).to_string();
            assert!(error.contains("unknown-option"), "{error}");
        }
    }

    #[test]
    fn what_is_done_is_kept_as_long_as_the_file_says() {
        let kept = |file: &str| resolved(Given::default(), &[], file).map(|resolved| (resolved.settings.keep, resolved.shown));
        let day = Duration::from_secs(86_400);
        assert_eq!(kept("").expect("settings").0, Keep { bodies: day * 30, records: day * 180 });
        let (keep, shown) = kept("retention: { bodies: 7d, records: 8d }\n").expect("settings");
        assert_eq!(keep, Keep { bodies: day * 7, records: day * 8 });
        assert!(shown.iter().any(|one| one.name == "retention.records" && one.value == "8d" && one.from.ends_with(".yaml")));
        assert_eq!(kept("retention: { bodies: 365d }\n").expect("settings").0.records, day * 365);
        let refused = kept("retention: { bodies: 8d, records: 7d }\n").expect_err("shorter").to_string();
        assert!(refused.contains("`retention.records` is 7d and `retention.bodies` 8d"), "{refused}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let many = [("TRUSTED_PROXIES", "10.0.0.0/8, everyone")];
        for (name, value) in
            many.into_iter().chain([("WORKERS", "many"), ("WORKERS", "0"), ("PUBLIC_URL", "here"), ("STATE", "mysql://db/x")])
        {
            assert!(resolved(Given::default(), &[(&format!("HOOKTABLE_{name}"), value)], "").is_err(), "{name}={value}");
        }
        let missing = Given { config: Some(PathBuf::from("no/such.yaml")), ..Given::default() };
        assert!(resolve_with(missing, &|_| None).is_err());
    }
}
