//! Several servers that share one state on PostgreSQL: the real binary, twice, one of them killed, and the database itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hooktable::clock::Clock;
use hooktable::target::{DatabaseOptions, Targets};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::postgres::{OwnServer, database_on, is_skipped, new_database};
use crate::support::server::{Sender, ServerProcess};

/// Rows in the order they were written, and by whose lane; the sender's id makes a second try harmless.
const LOG: &str = r#"
auth: { token: $.headers.x_token, secret: { env: LOG_TOKEN } }
id: $.body.id
lane: "thing/{{ body.thing }}"
write: { insert: log, set: { thing: $.body.thing, n: $.body.n } }
"#;
const KEYED: &str = "auth: { api_key: $.query.key }\nwrite: { insert: log, set: { n: $.body.n } }\n";
const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const PATIENCE: Duration = Duration::from_secs(150);

/// Folders for servers that share a state and the tables.
struct Shared {
    folder: tempfile::TempDir,
    url: String,
}

impl Shared {
    async fn new(url: String) -> Self {
        let shared = Self { folder: tempfile::tempdir().expect("a temporary folder"), url };
        let create = "create table log (id integer primary key autoincrement, thing integer, n integer)";
        shared.tables().database("main").expect("main").run_script(create).await.expect("a table");
        for name in ["one", "two"] {
            let folder = shared.of(name);
            std::fs::create_dir_all(folder.join("routes.d")).expect("a folder");
            std::fs::write(folder.join("routes.d/log.yaml"), LOG).expect("written");
            std::fs::write(folder.join("routes.d/keyed.yaml"), KEYED).expect("written");
            let settings = format!(
                "databases: {{ main: {{ url: \"{}\" }} }}\nstate: {{ url: {{ env: STATE_URL }} }}\n",
                shared.tables_url()
            );
            std::fs::write(folder.join("hooktable.yaml"), settings).expect("written");
        }
        shared
    }

    fn of(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tables_url(&self) -> String {
        format!("sqlite://{}", self.folder.path().join("tables.db").display())
    }

    fn tables(&self) -> Targets {
        let url = self.tables_url();
        let main = DatabaseOptions { name: "main".into(), url: url.into(), tenant_column: "tenant".into() };
        Targets::open(vec![main], Clock::system())
    }

    fn environment(&self) -> [(&str, &str); 3] {
        [("STATE_URL", &self.url), ("HOOKTABLE_MASTER_KEY", MASTER_KEY), ("LOG_TOKEN", "sesame")]
    }

    fn start(&self, name: &str) -> ServerProcess {
        ServerProcess::start(&self.of(name), &[], &self.environment())
    }

    /// What a command said.
    fn run(&self, name: &str, arguments: &[&str]) -> serde_json::Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
        let done = command.args(arguments).envs(self.environment()).current_dir(self.of(name)).output();
        let done = done.expect("the binary runs");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap_or_default()
    }

    /// The numbers of each thing in the order they were written.
    async fn written(&self) -> BTreeMap<u64, Vec<u64>> {
        let tables = self.tables();
        let mut rows = tables.database("main").expect("main").rows("log", None, &[]).await.expect("rows");
        rows.sort_by_key(|row| row["id"].as_u64());
        let mut written: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for row in rows {
            written.entry(row["thing"].as_u64().expect("a number")).or_default().push(row["n"].as_u64().expect("a number"));
        }
        written
    }

    /// Waits until each thing has its numbers, each once and in order.
    async fn wait_for(&self, promised: &BTreeMap<u64, u64>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let written = self.written().await;
            for (thing, numbers) in &written {
                let right: Vec<u64> = (0..).take(numbers.len()).collect();
                assert_eq!(numbers, &right, "thing {thing}: each number once and in order");
            }
            let missing: Vec<_> = promised
                .iter()
                .filter(|(thing, count)| written.get(thing).map_or(0, Vec::len) < usize::try_from(**count).expect("small"))
                .collect();
            if missing.is_empty() {
                return;
            }
            let logs = || ["one", "two"].map(|name| ServerProcess::said(&self.of(name))).join("\n---\n");
            assert!(Instant::now() < deadline, "not yet written: {missing:?}\n{}", logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Sends the numbers of a thing one after the other, each until it is acknowledged by one of the servers, until told to stop. Says how
/// many were acknowledged.
async fn send_in_turn(thing: u64, servers: [SocketAddr; 2], load: Arc<Load>) -> u64 {
    let mut senders: [Option<Sender>; 2] = [None, None];
    let mut n = 0;
    let mut turn = usize::try_from(thing % 2).expect("small");
    loop {
        turn = 1 - turn;
        if senders[turn].is_none() {
            senders[turn] = Sender::connect(servers[turn]).await.ok();
        }
        let Some(sender) = &mut senders[turn] else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let body = format!(r#"{{"id":"{thing}/{n}","thing":{thing},"n":{n}}}"#);
        match tokio::time::timeout(Duration::from_secs(5), sender.post("/in/log", "X-Token: sesame\r\n", &body)).await {
            Ok(Ok(200)) => {
                n += 1;
                load.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Ok(503)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(Ok(status)) => panic!("the answer is {status}"),
            // whether it was taken is not known; the same one again is a duplicate
            Ok(Err(_)) | Err(_) => senders[turn] = None,
        }
        if load.is_over.load(Ordering::Relaxed) {
            return n;
        }
    }
}

/// What senders and the test tell each other.
#[derive(Default)]
struct Load {
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    /// Waits until so many more were acknowledged.
    async fn goes_on(&self, count: u64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + count;
        let deadline = Instant::now() + PATIENCE;
        while self.acknowledged.load(Ordering::Relaxed) < goal {
            assert!(Instant::now() < deadline, "nothing is acknowledged any more");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn under_load(shared: &Shared, servers: [SocketAddr; 2], things: u64, meanwhile: impl AsyncFnOnce(&Load)) {
    let load = Arc::new(Load::default());
    let senders: Vec<_> =
        (0..things).map(|thing| (thing, tokio::spawn(send_in_turn(thing, servers, Arc::clone(&load))))).collect();
    meanwhile(&load).await;
    load.is_over.store(true, Ordering::Relaxed);
    let mut promised = BTreeMap::new();
    for (thing, sender) in senders {
        promised.insert(thing, sender.await.expect("a sender"));
    }
    shared.wait_for(&promised).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_keep_each_lanes_order_and_one_finishes_when_the_other_is_killed() {
    if is_skipped() {
        return;
    }
    let shared = Shared::new(new_database().await).await;
    let (one, two) = (shared.start("one"), shared.start("two"));
    let servers = [one.address, two.address];
    under_load(&shared, servers, 6, async |load| {
        load.goes_on(150).await;
        two.kill();
        load.goes_on(50).await;
    })
    .await;
    drop(one);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_database_under_load_loses_nothing_acknowledged() {
    if is_skipped() {
        return;
    }
    let database = OwnServer::start();
    let shared = Shared::new(database_on(&database.url).await).await;
    let (one, two) = (shared.start("one"), shared.start("two"));
    let servers = [one.address, two.address];
    under_load(&shared, servers, 6, async |load| {
        for _ in 0..2 {
            load.goes_on(80).await;
            database.crash();
            tokio::time::sleep(Duration::from_millis(800)).await;
            database.start_again();
        }
        load.goes_on(80).await;
    })
    .await;
}

/// Ends whoever listens for what other servers tell, again and again.
async fn keep_deaf(url: String) {
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let sql =
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'";
    loop {
        connection.execute(sql).await.expect("done");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_by_every_server_within_five_seconds_also_when_nobody_is_told() {
    if is_skipped() {
        return;
    }
    let shared = Shared::new(new_database().await).await;
    let (one, two) = (shared.start("one"), shared.start("two"));
    shared.run("one", &["tenants", "add", "acme"]);
    for is_told in [true, false] {
        let deaf = (!is_told).then(|| tokio::spawn(keep_deaf(shared.url.clone())));
        let create = ["keys", "create", "--tenant", "acme", "--source", "keyed", "--description", "a test", "--format", "json"];
        let made = shared.run("one", &create);
        let target = format!("/in/keyed?key={}", made["key"].as_str().expect("a key"));
        for address in [one.address, two.address] {
            assert_becomes(address, &target, 200).await;
        }
        shared.run("one", &["keys", "revoke", &made["id"].to_string()]);
        let revoked = Instant::now();
        assert_becomes(two.address, &target, 401).await;
        if is_told {
            assert!(revoked.elapsed() < Duration::from_millis(1500), "it was told: {:?}", revoked.elapsed());
        }
        deaf.inspect(tokio::task::JoinHandle::abort);
    }
}

async fn assert_becomes(address: SocketAddr, target: &str, status: u16) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut sender = Sender::connect(address).await.expect("connects");
        let found = sender.post(target, "", r#"{"n":1}"#).await.expect("an answer");
        if found == status {
            return;
        }
        assert!(Instant::now() < deadline, "it is still {found}, not {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_only_one_server_has_yet_is_received_by_all_and_worked_on_by_its_newest_version() {
    if is_skipped() {
        return;
    }
    let shared = Shared::new(new_database().await).await;
    let (one, two) = (shared.start("one"), shared.start("two"));
    let insert = |n: &str| {
        format!(
            "auth: {{ token: $.headers.x_token, secret: {{ env: LOG_TOKEN }} }}\nwrite: {{ insert: log, set: {{ thing: 7, n: {n} }} }}\n"
        )
    };
    let write = |name: &str, text: String| std::fs::write(shared.of(name).join("routes.d/new.yaml"), text).expect("written");
    write("one", insert("$.body.n"));
    let token = "X-Token: sesame\r\n";
    let send = async |address: SocketAddr| {
        let mut sender = Sender::connect(address).await.expect("connects");
        sender.post("/in/new", token, r#"{"n":0}"#).await.expect("an answer")
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while send(two.address).await != 200 {
        assert!(Instant::now() < deadline, "the other server does not receive it: {}", ServerProcess::said(&shared.of("two")));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shared.wait_for(&BTreeMap::from([(7, 1)])).await;
    drop(one);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_and_a_shared_data_folder_are_refused() {
    if is_skipped() {
        return;
    }
    let shared = Shared::new(new_database().await).await;
    let _one = shared.start("one");
    let refused = |folder: &Path, key: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).current_dir(folder);
        let done = command.envs(shared.environment()).env("HOOKTABLE_MASTER_KEY", key).output().expect("the binary runs");
        assert_eq!(done.status.code(), Some(2));
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    let said = refused(&shared.of("two"), &MASTER_KEY.replace('0', "1"));
    assert!(said.contains("the master key does not fit this state"), "{said}");
    let said = refused(&shared.of("one"), MASTER_KEY);
    assert!(said.contains("another server uses the data folder"), "{said}");
}
