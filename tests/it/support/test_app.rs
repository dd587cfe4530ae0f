//! One application for tests: real handler, real state, real tables, a simulated provider API over real HTTP, and time that
//! moves by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use hooktable::auth::secret::SecretReader;
use hooktable::clock::{Clock, Timestamp};
use hooktable::expr::template::Engine;
use hooktable::http_client::client::{ClientOptions, HttpClient};
use hooktable::http_client::store_budget::StoreBudget;
use hooktable::intake::address::Addresses;
use hooktable::intake::receive::Intake;
use hooktable::intake::rejected::RejectedRequest;
use hooktable::model::integration::Integration;
use hooktable::model::record::RecordSummary;
use hooktable::model::tenant::Tenant;
use hooktable::rehearsal::simulate::Simulation;
use hooktable::routes::load::Texts;
use hooktable::routes::registry::{Registry, Reloaded, Surroundings};
use hooktable::steps::map::Destination;
use hooktable::store::records::{self, Filter};
use hooktable::store::{OpenOptions, Store, api_keys, integrations, lanes, tenants};
use hooktable::target::{DatabaseOptions, Targets};
use hooktable::worker::deliver::Tools;
use hooktable::worker::pool::run_pending;
use serde_json::{Map, Value as Json};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// The moment at which every test begins: 2026-11-21T10:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);

/// What an application is made of.
pub(crate) struct Builder {
    routes: BTreeMap<String, String>,
    schema: String,
    simulate: String,
    environment: BTreeMap<String, String>,
    start: Timestamp,
}

/// A running application.
pub(crate) struct TestApp {
    pub(crate) tools: Tools,
    pub(crate) clock: Clock,
    pub(crate) api: Simulation,
    intake: Arc<Intake>,
    folder: TempDir,
}

/// An answer to a webhook.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Json,
    pub(crate) text: String,
}

struct Environment(BTreeMap<String, String>);

impl SecretReader for Environment {
    fn environment(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
    fn file(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }
    fn today(&self) -> jiff::civil::Date {
        jiff::civil::date(2026, 11, 21)
    }
    fn stand_in(&self, _: &str) -> Option<String> {
        None
    }
}

/// A file of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Builder {
    /// The shipped e-conomic file over the shipped tables.
    pub(crate) fn economic() -> Self {
        let text = std::fs::read_to_string(repository("routes.d/economic.yaml")).expect("the shipped route file");
        let schema = std::fs::read_to_string(repository("examples/timetracking/schema/sqlite.sql")).expect("the shipped schema");
        Self::new("routes.d/economic.yaml", &text).schema(&schema).environment("ECONOMIC_APP_SECRET_TOKEN", "app-secret-canary")
    }

    /// One route file.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let routes = BTreeMap::from([(path.to_owned(), text.to_owned())]);
        Self { routes, schema: String::new(), simulate: String::new(), environment: BTreeMap::new(), start: START }
    }

    /// The script that makes the tables.
    pub(crate) fn schema(mut self, sql: &str) -> Self {
        sql.clone_into(&mut self.schema);
        self
    }

    /// What the provider's API does besides serving files.
    pub(crate) fn simulate(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.simulate);
        self
    }

    /// A variable of the environment.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Another moment at which it begins.
    pub(crate) fn at(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// Starts it. The provider's API serves a copy of the shipped answers.
    pub(crate) async fn start(self) -> TestApp {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let apis = folder.path().join("apis");
        copy_folder(&repository("examples/timetracking/apis/economic"), &apis);
        if !self.simulate.is_empty() {
            std::fs::write(apis.join("simulate.yaml"), &self.simulate).expect("written");
        }
        let api = Simulation::start(&apis, ([127, 0, 0, 1], 0).into()).await.expect("a simulated API");
        let clock = Clock::manual(self.start);
        let store = Store::open(OpenOptions {
            place: folder.path().join("state.db").into(),
            master_key: None,
            key_file: folder.path().join("master.key"),
            clock: clock.clone(),
            max_bytes: None,
        });
        let store = store.await.expect("a state");
        let url = format!("sqlite://{}", folder.path().join("tables.db").display());
        let database = DatabaseOptions::new("main", url, "tenant");
        let targets = Targets::open(vec![database], clock.clone());
        targets.database("main").expect("main").run_script(&self.schema).await.expect("the schema");
        let surroundings = Surroundings {
            destinations: vec![Destination { name: "main".into(), tenant_column: "tenant".into() }],
            secrets: Box::new(Environment(self.environment)),
            files: Box::new(|path| std::fs::read_to_string(repository(path)).map_err(|error| error.to_string())),
            engine: Engine::default(),
        };
        let registry = Arc::new(Registry::new(surroundings, clock.clone()));
        let http = HttpClient::new(ClientOptions {
            clock: clock.clone(),
            budget: Arc::new(StoreBudget::new(store.clone())),
            simulated: [
                "https://restapi.e-conomic.com",
                "https://issuer.example",
                "https://api.example.com",
                "https://login.example",
            ]
            .map(|origin| (origin.to_owned(), api.url().parse().expect("a URL")))
            .to_vec(),
            recorded: None,
            user_agent: "hooktable-test".into(),
        });
        let http = Arc::new(http.expect("a client"));
        let intake = Intake::new(Arc::clone(&registry), store.clone(), Arc::clone(&http), Addresses::default());
        let app = TestApp { tools: Tools { registry, store, targets, http }, clock, api, intake, folder };
        let loaded = app.reload(&self.routes).loaded;
        let problems = hooktable::config::render::text(&loaded.diagnostics, &loaded.texts, false);
        assert!(loaded.diagnostics.is_empty(), "{problems}");
        app
    }
}

impl TestApp {
    /// Takes over these route files.
    pub(crate) fn reload(&self, routes: &BTreeMap<String, String>) -> Reloaded {
        self.tools.registry.reload(&Texts { routes: routes.clone(), ..Texts::default() }, &BTreeMap::new())
    }

    /// The requests of a source that were refused, the newest first.
    pub(crate) fn rejected(&self, source: &str) -> Vec<RejectedRequest> {
        self.intake.rejected().of(source)
    }

    /// The folder that holds everything.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A key of a tenant for a source; the tenant comes into being with its first one.
    pub(crate) async fn key(&self, tenant: &str, source: &str) -> String {
        let tenant = self.tenant(tenant).await;
        let (_, key) = api_keys::create(&self.tools.store, &tenant, source, "a test").await.expect("a key");
        key.expose().clone()
    }

    /// A tenant, who comes into being when first named.
    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        match tenants::find_by_name(&self.tools.store, name).await.expect("tenants") {
            Some(tenant) => tenant,
            None => tenants::add(&self.tools.store, name).await.expect("a tenant"),
        }
    }

    /// An integration of a tenant with these open and secret fields.
    pub(crate) async fn integration(
        &self,
        tenant: &str,
        source: &str,
        open: &[(&str, &str)],
        secret: &[(&str, &str)],
    ) -> Arc<Integration> {
        let tenant = self.tenant(tenant).await;
        let fields = integrations::Fields {
            open: open.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            secret: secret.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        };
        integrations::add(&self.tools.store, &tenant, source, "a test", fields, &[]).await.expect("an integration")
    }

    /// Sends a webhook from an address.
    pub(crate) async fn send_from(&self, client: &str, target: &str, body: &str) -> Answer {
        let client = ConnectInfo(SocketAddr::new(client.parse().expect("an address"), 0));
        let request = Request::builder().method("POST").uri(target).extension(client);
        self.answer_to(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    /// Sends a webhook.
    pub(crate) async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send_bytes(method, target, headers, body.as_bytes()).await
    }

    /// Sends a webhook whose body need not be text.
    pub(crate) async fn send_bytes(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer_to(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    async fn answer_to(&self, request: Request<Body>) -> Answer {
        let response = self.intake.router().oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let headers =
            response.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
        let headers = headers.collect();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Json::Null), text }
    }

    /// Sends SmartTID's order webhook.
    pub(crate) async fn send_order(&self, key: &str, body: &str) -> Answer {
        self.send("POST", &format!("/?APIKey={key}&APISource=eConomicOrder"), &[("content-type", "application/json")], body).await
    }

    /// Works until nothing is due any more; time moves to whatever is due within `ahead`.
    pub(crate) async fn run_pending_deliveries(&self, ahead: Duration) {
        let until = self.clock.now() + ahead;
        loop {
            run_pending(&self.tools, 1).await.expect("work");
            let versions = self.tools.registry.table().active_versions();
            let record = lanes::next_due(&self.tools.store, &versions).await.expect("due");
            let forward = lanes::next_due_forward(&self.tools.store, &versions).await.expect("due");
            match record.into_iter().chain(forward).min() {
                Some(due) if due <= until => self.clock.move_to(due),
                _ => break,
            }
        }
        self.clock.move_to(until);
    }

    /// The rows of a table, by primary key.
    pub(crate) async fn rows(&self, table: &str) -> Vec<Map<String, Json>> {
        self.tools.targets.database("main").expect("main").rows(table, None, &[]).await.expect("rows")
    }

    /// The rows of a table as one line each: `tenant=acme job_no=20417 …`.
    pub(crate) async fn lines(&self, table: &str) -> Vec<String> {
        let line =
            |row: Map<String, Json>| row.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        self.rows(table).await.into_iter().map(line).collect()
    }

    /// All records, newest first.
    pub(crate) async fn records(&self) -> Vec<RecordSummary> {
        records::list(&self.tools.store, &Filter::default()).await.expect("records")
    }

    /// The states of all records, oldest first.
    pub(crate) async fn states(&self) -> Vec<&'static str> {
        self.records().await.iter().rev().map(|record| record.state.word()).collect()
    }

    /// Replaces an answer of the provider's API.
    pub(crate) fn answer(&self, path: &str, body: &str) {
        let file = self.folder().join("apis").join(format!("{path}.json"));
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        std::fs::write(file, body).expect("an answer");
    }

    /// Removes an answer of the provider's API.
    pub(crate) fn forget_answer(&self, path: &str) {
        std::fs::remove_file(self.folder().join("apis").join(format!("{path}.json"))).expect("an answer to remove");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
