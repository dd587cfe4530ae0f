//! A database that stalls: the hand comes back, the others hear at once, and the mark tells afterwards what took effect.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::bench::*;
use super::engines::fresh;
use crate::model::change::Change;
use crate::model::failure::Retry;
use crate::target::database::Database;
use crate::target::dialect::Dialect;
use crate::target::limits::Limits;
use crate::target::options::DatabaseOptions;
use crate::target::write::{Applied, Unit, WriteError};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mood {
    Passes,
    /// Connections are taken, and nothing passes in either direction.
    Stalls,
    /// A commit gets there; from then on nothing comes back on its connection.
    LosesCommits,
}

/// A database behind a way that stalls when it is told to.
struct Away {
    bench: Bench,
    database: Database,
    mood: watch::Sender<Mood>,
}

impl Away {
    /// None when servers are skipped.
    async fn new(limits: Limits) -> Option<Self> {
        let bench = fresh(Dialect::Mysql, "create table t (n int)").await?;
        let (before, rest) = bench.url().split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{before}@{}/{name}", listener.local_addr().unwrap());
        let (mood, moods) = watch::channel(Mood::Passes);
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), moods.clone()));
            }
        });
        let database = Database::new(DatabaseOptions::new("main", url.as_str(), "tenant"), clock(), limits);
        Some(Self { bench, database, mood })
    }

    fn is(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    async fn apply(&self, number: u8) -> Result<Applied, WriteError> {
        let changes = row(number);
        self.database
            .apply(Unit { mark: [number; 32], lane: [number; 16], others: &[], fence: 1, is_late: false, changes: &changes })
            .await
    }

    /// Tries until the database is not left alone any more.
    async fn apply_until_it_works(&self, number: u8) -> Applied {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.apply(number).await {
                Ok(applied) => return applied,
                Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn pass(mut client: TcpStream, server: String, mut moods: watch::Receiver<Mood>) {
    let mut upstream = TcpStream::connect(&server).await.unwrap();
    let (mut from_client, mut to_client) = (vec![0; 65536], vec![0; 65536]);
    let mut is_mute = false;
    loop {
        let (length, is_answer) = tokio::select! {
            read = client.read(&mut from_client) => (read.unwrap_or(0), false),
            read = upstream.read(&mut to_client) => (read.unwrap_or(0), true),
        };
        if length == 0 || moods.wait_for(|mood| *mood != Mood::Stalls).await.is_err() {
            return;
        }
        let sent = if !is_answer {
            let is_commit = from_client[..length].windows(7).any(|word| word == b"\x03commit");
            is_mute |= is_commit && *moods.borrow() == Mood::LosesCommits;
            upstream.write_all(&from_client[..length]).await
        } else if is_mute {
            Ok(())
        } else {
            client.write_all(&to_client[..length]).await
        };
        if sent.is_err() {
            return;
        }
    }
}

fn row(number: u8) -> Vec<Change> {
    vec![change("t", insert(json!({ "n": number })))]
}

fn quick() -> Limits {
    let short = Duration::from_millis(400);
    Limits { connect: short, answer: short, silence: short, ..Limits::default() }
}

fn reason(result: Result<Applied, WriteError>) -> String {
    match result {
        Err(WriteError::Failed(failure)) => {
            assert_eq!(failure.retry, Retry::Later);
            failure.reason
        }
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn numbers(rows: &Json) -> Vec<u64> {
    let mut numbers: Vec<u64> = rows.as_array().unwrap().iter().map(|row| row["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn one_that_stalls_gives_the_hand_back_and_is_left_alone_until_it_answers() {
    let Some(away) = Away::new(quick()).await else { return };
    away.apply(1).await.unwrap();
    away.is(Mood::Stalls);
    // more than there are connections: those that wait for one are told as well
    let (first, waiting) = (away.apply(2), futures_util::future::join_all((3..12).map(|number| away.apply(number))));
    let (first, waiting) = tokio::join!(first, waiting);
    assert!(reason(first).starts_with("database `main`"));
    for result in waiting {
        assert!(reason(result).starts_with("database `main`"));
    }
    assert!(!away.database.health.is_up());
    let asked = Instant::now();
    assert!(reason(away.apply(12).await).starts_with("database `main`"));
    assert!(asked.elapsed() < Duration::from_millis(200), "it waited for {:?}", asked.elapsed());
    away.is(Mood::Passes);
    for number in 1..13 {
        let applied = away.apply_until_it_works(number).await;
        assert_eq!(applied.already, number == 1);
    }
    assert!(away.database.health.is_up());
    assert_eq!(numbers(&away.bench.rows("t").await), (1..13).collect::<Vec<_>>());
    away.bench.remove().await;
}

#[tokio::test]
async fn a_commit_that_is_not_answered_is_found_by_its_mark_with_the_next_try() {
    let Some(away) = Away::new(quick()).await else { return };
    away.apply(1).await.unwrap();
    away.is(Mood::LosesCommits);
    assert_eq!(reason(away.apply(2).await), "database `main`: it did not answer within 400ms");
    away.is(Mood::Passes);
    assert!(away.apply_until_it_works(2).await.already);
    assert_eq!(numbers(&away.bench.rows("t").await), [1, 2]);
    away.bench.remove().await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up_though_the_database_answers_others() {
    let limits = Limits { silence: Duration::from_secs(30), ..quick() };
    let Some(away) = Away::new(limits).await else { return };
    let trigger = "create trigger slow before insert on t for each row begin if new.n = 66 then do sleep(3); end if; end";
    away.bench.database.run_script(trigger).await.unwrap();
    away.apply(1).await.unwrap();
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        away.apply(2).await
    };
    let (slow, other) = tokio::join!(away.apply(66), others);
    other.unwrap();
    let said = "table `t` of database `main`: it did not answer within 400ms, so its connection was given up";
    assert_eq!(reason(slow), said);
    assert!(away.database.health.is_up());
    away.apply(3).await.unwrap();
    assert_eq!(numbers(&away.bench.rows("t").await), [1, 2, 3]);
    away.bench.remove().await;
}

#[tokio::test]
async fn a_transaction_that_is_not_done_in_time_is_given_up() {
    let limits = Limits { transaction: Duration::from_millis(300), ..Limits::default() };
    let Some(away) = Away::new(limits).await else { return };
    away.bench.database.run_script("create trigger slow before insert on t for each row do sleep(0.2)").await.unwrap();
    let changes: Vec<Change> = (0..4).flat_map(row).collect();
    let unit = Unit { mark: [9; 32], lane: [9; 16], others: &[], fence: 1, is_late: false, changes: &changes };
    let said = "table `t` of database `main`: its transaction was not done within 300ms, so its connection was given up";
    assert_eq!(reason(away.database.apply(unit).await), said);
    assert_eq!(numbers(&away.bench.rows("t").await), Vec::<u64>::new());
    away.bench.remove().await;
}

#[tokio::test]
async fn one_that_is_down_is_asked_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let database = open(&folder.path().join("file").join("tables.db"));
    let changes = row(1);
    let unit = Unit { mark: [1; 32], lane: [1; 16], others: &[], fence: 1, is_late: false, changes: &changes };
    let first = reason(database.apply(unit).await);
    assert!(first.starts_with("database `main` cannot be opened: the folder "), "{first}");
    std::fs::remove_file(folder.path().join("file")).unwrap();
    assert_eq!(reason(database.apply(unit).await), first, "it is left alone for a while");
    // who asks by hand is answered, and that shows that it works
    database.connect().await.unwrap();
    let failure = reason(database.apply(unit).await);
    assert!(failure.contains("has no table `t`"), "{failure}");
}

#[tokio::test]
async fn the_servers_end_by_themselves_what_we_have_given_up_on() {
    let told = [
        (
            Dialect::Postgres,
            "create table told as select name as k, setting as v from pg_settings
             where name in ('statement_timeout', 'idle_in_transaction_session_timeout')",
            json!([{ "k": "idle_in_transaction_session_timeout", "v": "30000" }, { "k": "statement_timeout", "v": "30000" }]),
        ),
        (
            Dialect::Mysql,
            "create table told as select 'idle' as k, @@session.idle_transaction_timeout as v
             union all select 'statement', cast(@@session.max_statement_time as int)",
            json!([{ "k": "idle", "v": "30" }, { "k": "statement", "v": "30" }]),
        ),
    ];
    for (engine, look, expected) in told {
        let Some(bench) = fresh(engine, "").await else { return };
        bench.database.run_script(look).await.unwrap();
        let rows = bench.database.rows("told", None, &["k".to_owned()]).await.unwrap();
        assert_eq!(json!(rows), expected);
        bench.remove().await;
    }
}
