//! One of two target databases stalls or is gone under a real server: the rows of the other go on, and afterwards everything is there once.

use std::time::{Duration, Instant};

use hooktable::clock::Clock;
use hooktable::target::{DatabaseOptions, Targets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::postgres::{is_skipped, new_database};
use crate::support::server::{Sender, ServerProcess};
use crate::support::tcp_proxy::{Mood, TcpProxy};

/// An insert, so that records are in nobody's way, and one that takes effect twice is seen.
const ROUTE: &str = r#"
auth: { token: $.headers.x_token, secret: { env: TOKEN } }
extract: { n: { from: $.body.n, as: integer } }
retry: { first: 200ms, factor: 1, most: 1s, for: 1d }
write: { insert: log, into: DATABASE, set: { n: $.n } }
"#;
/// One that writes to both of them.
const BOTH: &str = r#"
auth: { token: $.headers.x_token, secret: { env: TOKEN } }
extract: { n: { from: $.body.n, as: integer } }
retry: { first: 200ms, factor: 1, most: 1s, for: 1d }
write:
  - { insert: log, into: main, set: { n: $.n } }
  - { insert: log, into: erp, set: { n: $.n } }
"#;
const TOKEN: &[(&str, &str)] = &[("TOKEN", "sesame"), ("HOOKTABLE_MASTER_KEY", MASTER_KEY)];
const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// More than there are workers, all of them for the database that stalls.
const MANY: u64 = 60;

/// A server with a database that is well and one behind a proxy.
struct Two {
    folder: tempfile::TempDir,
    targets: Targets,
    proxy: TcpProxy,
    server: ServerProcess,
    sender: Sender,
}

impl Two {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let erp = new_database().await;
        let (proxy, through) = TcpProxy::in_front_of(&erp).await;
        let main = format!("sqlite://{}", folder.path().join("tables.db").display());
        std::fs::create_dir_all(folder.path().join("routes.d")).expect("a folder");
        for database in ["main", "erp"] {
            let route = ROUTE.replace("DATABASE", database);
            std::fs::write(folder.path().join(format!("routes.d/to_{database}.yaml")), route).expect("written");
        }
        std::fs::write(folder.path().join("routes.d/to_both.yaml"), BOTH).expect("written");
        let settings = format!("databases: {{ main: {{ url: \"{main}\" }}, erp: {{ url: \"{through}\" }} }}\n");
        std::fs::write(folder.path().join("hooktable.yaml"), settings).expect("written");
        let options = [("main", main), ("erp", erp)].map(|(name, url)| DatabaseOptions::new(name, url.as_str(), "tenant"));
        let targets = Targets::open(options.into(), Clock::system());
        for name in ["main", "erp"] {
            let database = targets.database(name).expect("a database");
            database.run_script("create table log (n integer)").await.expect("a table");
        }
        let server = ServerProcess::start(folder.path(), &[], TOKEN);
        let sender = Sender::connect(server.address).await.expect("a connection");
        Self { folder, targets, proxy, server, sender }
    }

    async fn send(&mut self, database: &str, numbers: std::ops::Range<u64>) {
        for n in numbers {
            let sent = self.sender.post(&format!("/in/to_{database}"), "X-Token: sesame\r\n", &format!(r#"{{"n":{n}}}"#)).await;
            assert_eq!(sent.expect("an answer"), 200);
        }
    }

    async fn rows(&self, database: &str) -> Vec<u64> {
        let rows = self.targets.database(database).expect("a database").rows("log", None, &[]).await.expect("rows");
        let mut numbers: Vec<u64> = rows.iter().map(|row| row["n"].as_u64().expect("a number")).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Waits until exactly these rows are there.
    async fn has(&self, database: &str, numbers: std::ops::Range<u64>, patience: Duration) {
        let (expected, deadline) = (numbers.collect::<Vec<_>>(), Instant::now() + patience);
        loop {
            let rows = self.rows(database).await;
            if rows == expected {
                return;
            }
            assert!(Instant::now() < deadline, "`{database}` has {rows:?}\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the metric says so.
    async fn is_up(&self, database: &str, is_up: bool) {
        let (said, deadline) = (self.said(), Instant::now() + Duration::from_secs(40));
        let admin = said.lines().find_map(|line| line.trim().strip_prefix("admin")).expect("the admin address");
        let admin = admin.trim().trim_start_matches("http://").split(' ').next().expect("an address");
        let line = format!("hooktable_target_up{{database=\"{database}\"}} {}", u8::from(is_up));
        loop {
            let text = metrics(admin).await;
            if text.lines().any(|found| found == line) {
                return;
            }
            assert!(Instant::now() < deadline, "`{line}` is not in\n{text}\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn said(&self) -> String {
        ServerProcess::said(self.folder.path())
    }
}

async fn metrics(address: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

fn count(text: &str, words: &str) -> usize {
    text.matches(words).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stalls_holds_up_no_other_and_has_everything_once_when_it_is_well() {
    if is_skipped() {
        return;
    }
    let mut two = Two::start().await;
    two.send("erp", 0..10).await;
    two.send("main", 0..10).await;
    two.has("erp", 0..10, Duration::from_secs(20)).await;
    two.has("main", 0..10, Duration::from_secs(20)).await;
    two.is_up("erp", true).await;
    two.proxy.set(Mood::Stalls);
    // fewer than there are workers: the others do not even notice
    two.send("erp", 10..18).await;
    two.send("main", 10..20).await;
    two.has("main", 0..20, Duration::from_secs(5)).await;
    // more than there are workers, before anybody knows that it stalls
    two.send("erp", 18..MANY).await;
    two.send("main", 20..40).await;
    two.has("main", 0..40, Duration::from_secs(20)).await;
    two.is_up("erp", false).await;
    two.is_up("main", true).await;
    // and once it is known, nobody waits for it any more
    two.send("erp", MANY..MANY + 20).await;
    two.send("main", 40..60).await;
    two.has("main", 0..60, Duration::from_secs(5)).await;
    assert!(two.rows("erp").await.len() < 20, "it stalls");
    two.proxy.set(Mood::Passes);
    two.has("erp", 0..MANY + 20, Duration::from_secs(60)).await;
    two.is_up("erp", true).await;
    let said = two.said();
    assert_eq!(count(&said, "the database is away"), 1, "{said}");
    assert_eq!(count(&said, "the database answers again"), 1, "{said}");
    two.server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_connections_is_told_of_once_and_found_again() {
    if is_skipped() {
        return;
    }
    let mut two = Two::start().await;
    two.send("erp", 0..5).await;
    two.has("erp", 0..5, Duration::from_secs(20)).await;
    two.proxy.set(Mood::Resets);
    two.send("erp", 5..MANY).await;
    two.send("main", 0..20).await;
    two.has("main", 0..20, Duration::from_secs(5)).await;
    two.is_up("erp", false).await;
    two.proxy.set(Mood::Passes);
    two.has("erp", 0..MANY, Duration::from_secs(60)).await;
    two.is_up("erp", true).await;
    let said = two.said();
    assert_eq!(count(&said, "the database is away"), 1, "{said}");
    assert_eq!(count(&said, "the database answers again"), 1, "{said}");
    two.server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_record_for_two_databases_each_is_written_once_though_one_is_away() {
    if is_skipped() {
        return;
    }
    let mut two = Two::start().await;
    two.proxy.set(Mood::Resets);
    two.send("both", 0..30).await;
    two.has("main", 0..30, Duration::from_secs(20)).await;
    two.is_up("erp", false).await;
    two.proxy.set(Mood::Passes);
    two.has("erp", 0..30, Duration::from_secs(60)).await;
    two.has("main", 0..30, Duration::from_secs(1)).await;
    two.server.kill();
}
