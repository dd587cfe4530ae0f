//! Servers that go through something while senders send, lane by lane, each delivery until it is acknowledged; and the checks afterwards:
//! every effect once, in the order of its lane, nothing left behind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hooktable::clock::Clock;
use hooktable::failpoint::LEASE_VARIABLE;
use hooktable::target::{DatabaseOptions, Targets};
use sqlx::{Connection as _, Row as _};
use tokio::task::JoinHandle;

use super::flaky_api::FlakyApi;
use super::receiver::Receiver;
use super::server::{Sender, ServerProcess, free_address};

/// One insert and one upsert for each delivery: the first shows what took effect twice or out of order, the second what the last was.
const ROUTE: &str = r#"
auth: { token: $.headers.x_token, secret: { env: LOG_TOKEN } }
apis:
  shop: { base: "https://api.example.com", retry: { times: 2 }, timeout: 5s }
id: $.body.id
extract: { thing: $.body.thing, n: $.body.n }
lane: "thing/{{ thing }}"
retry: { first: 100ms, factor: 1, most: 1s, for: 1d }
enrich: { fetched: "/things/{{ thing }}/{{ n }}" }
write:
  - { insert: log, set: { thing: $.thing, n: $.n, path: $.fetched.path } }
  - { upsert: latest, key: { thing: $.thing }, set: { n: $.n } }
"#;
/// What is told elsewhere of each delivery.
const FORWARD: &str = r#"
forward:
  told: { post: "https://listener.example.com/told", json: { thing: $.thing, n: $.n }, retry: { first: 100ms, most: 1s } }
"#;
const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// How many were promised of each thing.
pub(crate) type Promised = BTreeMap<u64, u64>;

/// The folders of servers that share a state and the tables, or of one.
pub(crate) struct Trial {
    folder: tempfile::TempDir,
    /// The state on PostgreSQL, as the servers reach it and as the checks do.
    state: Option<(String, String)>,
    tables_url: String,
    arguments: Vec<String>,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Trial {
    /// One server with files of SQLite.
    pub(crate) async fn on_sqlite(api: &FlakyApi) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("tables.db").display());
        let create = "create table log (id integer primary key autoincrement, thing integer, n integer, path text);
            create table latest (thing integer primary key, n integer)";
        Self::new(folder, None, (&url, &url), create, 1, api).await
    }

    /// Servers that share a PostgreSQL, with the tables in another one. Both as the servers reach them and as the checks do.
    pub(crate) async fn on_postgres(servers: usize, state: (&str, &str), tables: (&str, &str), api: &FlakyApi) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let create = "create table log (id bigint generated always as identity primary key, thing bigint, n bigint, path text);
            create table latest (thing bigint primary key, n bigint)";
        Self::new(folder, Some((state.0.to_owned(), state.1.to_owned())), tables, create, servers, api).await
    }

    async fn new(
        folder: tempfile::TempDir,
        state: Option<(String, String)>,
        tables: (&str, &str),
        create: &str,
        servers: usize,
        api: &FlakyApi,
    ) -> Self {
        let arguments = vec!["--simulate-api".to_owned(), format!("https://api.example.com=http://{}", api.address)];
        let addresses = (0..servers).map(|_| free_address()).collect();
        let trial = Self { folder, state, tables_url: tables.1.to_owned(), arguments, addresses };
        for number in 0..servers {
            let folder = trial.of(number);
            std::fs::create_dir_all(folder.join("routes.d")).expect("a folder");
            std::fs::write(folder.join("routes.d/log.yaml"), ROUTE).expect("written");
            let mut settings = format!("databases: {{ main: {{ url: \"{}\" }} }}\n", tables.0);
            if trial.state.is_some() {
                settings += "state: { url: { env: STATE_URL } }\n";
            }
            std::fs::write(folder.join("hooktable.yaml"), settings).expect("written");
        }
        trial.tables().database("main").expect("main").run_script(create).await.expect("tables");
        trial
    }

    /// From the next start on each delivery is told to `listener` too.
    pub(crate) fn telling(mut self, listener: &Receiver) -> Self {
        let simulated = format!("https://listener.example.com=http://{}", listener.address);
        self.arguments.extend(["--simulate-api".to_owned(), simulated]);
        for number in 0..self.addresses.len() {
            std::fs::write(self.of(number).join("routes.d/log.yaml"), format!("{ROUTE}{FORWARD}")).expect("written");
        }
        self
    }

    pub(crate) fn of(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("server{number}"))
    }

    fn tables(&self) -> Targets {
        Targets::open(vec![DatabaseOptions::new("main", self.tables_url.as_str(), "tenant")], Clock::system())
    }

    pub(crate) fn start(&self, number: usize, environment: &[(&str, &str)]) -> ServerProcess {
        let state = self.state.as_ref().map_or("", |(url, _)| url);
        let mut all = vec![("STATE_URL", state), ("HOOKTABLE_MASTER_KEY", MASTER_KEY), ("LOG_TOKEN", "sesame")];
        all.push((LEASE_VARIABLE, "6000"));
        all.extend(environment);
        ServerProcess::start_at(self.addresses[number], &self.of(number), &self.arguments, &all)
    }

    /// What the servers said last.
    pub(crate) fn said(&self) -> String {
        let end = |text: String| text.lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
        (0..self.addresses.len()).map(|number| end(ServerProcess::said(&self.of(number)))).collect::<Vec<_>>().join("\n---\n")
    }

    /// Why senders were refused.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let said = (0..self.addresses.len()).map(|number| ServerProcess::said(&self.of(number))).collect::<String>();
        said.lines().filter(|line| line.contains("request rejected")).map(str::to_owned).collect()
    }

    /// Begins to send so many deliveries to each of the things, to one server after the other.
    pub(crate) fn send(&self, things: std::ops::Range<u64>, each: u64) -> Sending {
        let shared = Arc::new(Shared::default());
        let senders = things
            .map(|thing| (thing, tokio::spawn(send_in_turn(thing, each, self.addresses.clone(), Arc::clone(&shared)))))
            .collect();
        Sending { senders, shared }
    }

    /// The numbers of each thing in the order they were written.
    async fn written(&self) -> Option<(BTreeMap<u64, Vec<u64>>, BTreeMap<u64, u64>)> {
        let tables = self.tables();
        let main = tables.database("main").expect("main");
        let number = |row: &serde_json::Map<String, serde_json::Value>, name: &str| row[name].as_u64().expect("a number");
        let mut rows = main.rows("log", None, &[]).await.ok()?;
        rows.sort_by_key(|row| number(row, "id"));
        let mut written: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for row in rows {
            let (thing, n) = (number(&row, "thing"), number(&row, "n"));
            assert_eq!(row["path"], format!("/things/{thing}/{n}"), "what was fetched for it");
            written.entry(thing).or_default().push(n);
        }
        let latest = main.rows("latest", None, &[]).await.ok()?;
        Some((written, latest.iter().map(|row| (number(row, "thing"), number(row, "n"))).collect()))
    }

    /// How many of the promised are written, each once and in the order of its lane.
    pub(crate) async fn count(&self, promised: &Promised) -> u64 {
        let Some((written, latest)) = self.written().await else { return 0 };
        let mut count = 0;
        for (thing, numbers) in &written {
            let right: Vec<u64> = (0..).take(numbers.len()).collect();
            assert_eq!(numbers, &right, "thing {thing}: each number once and in order");
            let most = promised.get(thing).copied().unwrap_or(0);
            let found = numbers.len() as u64;
            // the two tables are not read at the same moment
            let newest = latest.get(thing).copied();
            assert!(
                newest.is_some_and(|newest| newest + 1 >= found),
                "thing {thing}: {found} rows, but the latest is {newest:?}"
            );
            count += found.min(most);
        }
        count
    }

    /// Waits until all that was promised is written and nothing of the state is left open.
    pub(crate) async fn settles(&self, promised: &Promised, patience: Duration) {
        let deadline = Instant::now() + patience;
        let total: u64 = promised.values().sum();
        loop {
            let asked = Instant::now();
            let count = self.count(promised).await;
            let left = if count == total { self.left_open().await } else { None };
            if left == Some((0, 0)) {
                break;
            }
            assert!(Instant::now() < deadline, "{count} of {total} are written; open and busy: {left:?}\n{}", self.said());
            // what it takes to look is not taken from what is looked at
            tokio::time::sleep(Duration::from_millis(200).max(asked.elapsed() * 4)).await;
        }
        let (written, latest) = self.written().await.expect("the tables can be read");
        for (thing, numbers) in written {
            assert_eq!(latest.get(&thing), numbers.last(), "thing {thing}: the last one that was written");
        }
    }

    /// Checks that all that was promised was told, in the order of its lane, each as one and the same forward however often.
    pub(crate) fn was_told(&self, promised: &Promised, listener: &Receiver) {
        let mut told: BTreeMap<u64, Vec<(u64, String)>> = BTreeMap::new();
        for one in listener.received() {
            let body: serde_json::Value = serde_json::from_slice(&one.body).expect("JSON");
            let number = |name: &str| body[name].as_u64().expect("a number");
            let id = one.header("webhook-id").expect("an id").to_owned();
            told.entry(number("thing")).or_default().push((number("n"), id));
        }
        for (thing, count) in promised {
            let mut told = told.remove(thing).unwrap_or_default();
            told.dedup();
            let numbers: Vec<u64> = told.iter().map(|(n, _)| *n).collect();
            assert_eq!(numbers, (0..*count).collect::<Vec<_>>(), "thing {thing}: {told:?}\n{}", self.said());
        }
    }

    /// How many records are open, and how many lanes wait, are held or count wrongly. None when it cannot be asked now.
    async fn left_open(&self) -> Option<(i64, i64)> {
        const OPEN: &str = "select count(*) from record where state in (0, 4)";
        const BUSY: &str = "select count(*) from lane where waiting <> 0 or owner is not null or due_at is not null";
        let (open, busy) = if let Some((_, url)) = &self.state {
            let mut connection = sqlx::PgConnection::connect(url).await.ok()?;
            (sqlx::query(OPEN).fetch_one(&mut connection).await.ok()?.get(0), {
                sqlx::query(BUSY).fetch_one(&mut connection).await.ok()?.get(0)
            })
        } else {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.of(0).join("data/state.db")).read_only(true);
            let mut connection = sqlx::SqliteConnection::connect_with(&options).await.ok()?;
            (sqlx::query(OPEN).fetch_one(&mut connection).await.ok()?.get(0), {
                sqlx::query(BUSY).fetch_one(&mut connection).await.ok()?.get(0)
            })
        };
        Some((open, busy))
    }
}

/// What senders tell.
#[derive(Default)]
struct Shared {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    slowest_micros: AtomicU64,
    is_over: AtomicBool,
}

/// Senders at work.
pub(crate) struct Sending {
    senders: Vec<(u64, JoinHandle<u64>)>,
    shared: Arc<Shared>,
}

impl Sending {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// How many were answered with 503.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// The longest that any sender waited for an answer since this was asked last.
    pub(crate) fn take_slowest(&self) -> Duration {
        Duration::from_micros(self.shared.slowest_micros.swap(0, Ordering::Relaxed))
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.senders.iter().all(|(_, sender)| sender.is_finished())
    }

    /// Waits until so many more were acknowledged.
    pub(crate) async fn goes_on(&self, count: u64) {
        let goal = self.acknowledged() + count;
        let deadline = Instant::now() + Duration::from_secs(40);
        while self.acknowledged() < goal && !self.is_finished() {
            assert!(Instant::now() < deadline, "nothing is acknowledged any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until so many more were refused.
    pub(crate) async fn is_refused(&self, count: u64) {
        let goal = self.refused() + count;
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.refused() < goal {
            assert!(Instant::now() < deadline, "nothing is refused");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops, and says what was acknowledged.
    pub(crate) async fn stop(self) -> Promised {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits until everything was sent.
    pub(crate) async fn finish(self) -> Promised {
        let mut promised = Promised::new();
        for (thing, sender) in self.senders {
            promised.insert(thing, sender.await.expect("a sender"));
        }
        promised
    }
}

/// Sends the numbers of a thing one after the other, each until one of the servers acknowledges it. Says how many were.
async fn send_in_turn(thing: u64, each: u64, servers: Vec<SocketAddr>, shared: Arc<Shared>) -> u64 {
    let mut senders: Vec<Option<Sender>> = servers.iter().map(|_| None).collect();
    let mut turn = usize::try_from(thing).expect("small");
    let mut n = 0;
    while n < each && !shared.is_over.load(Ordering::Relaxed) {
        turn = (turn + 1) % servers.len();
        if senders[turn].is_none() {
            senders[turn] = Sender::connect(servers[turn]).await.ok();
        }
        let Some(sender) = &mut senders[turn] else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let body = format!(r#"{{"id":"{thing}/{n}","thing":{thing},"n":{n}}}"#);
        let started = Instant::now();
        let sent = tokio::time::timeout(Duration::from_secs(8), sender.post("/in/log", "X-Token: sesame\r\n", &body)).await;
        if matches!(sent, Ok(Ok(_)) | Err(_)) {
            let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            shared.slowest_micros.fetch_max(took, Ordering::Relaxed);
        }
        match sent {
            Ok(Ok(200)) => {
                n += 1;
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Ok(503)) => {
                assert!(sender.retry_after.is_some(), "a refusal says when to come again");
                shared.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(Ok(status)) => panic!("the answer is {status}"),
            // whether it was taken is not known; the same one again is a duplicate
            Ok(Err(_)) | Err(_) => senders[turn] = None,
        }
    }
    n
}
