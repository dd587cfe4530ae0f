//! Acknowledged requests a second, side by side in one run: a bare axum handler, a hand-written axum handler that inserts into SQLite with
//! group commits, and `hooktable serve`, each a process of its own; then the time from the answer's request to its row, and memory.
//! `cargo bench --bench load`; HOOKTABLE_BENCH_QUICK=1 for a short run.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Row as _, Sqlite, SqliteConnection};
use support::{Connection, Load, Measured, closed_loop, free_address, is_quick, percentiles};
use tokio::sync::{mpsc, oneshot};

const CONNECTIONS: usize = 64;
/// Its work waits for a provider that refuses the credentials, so that nothing but the intake is measured.
const HELD: &str = r#"
auth: { token: $.headers.x_token, secret: { env: TOKEN } }
apis: { shop: { base: "https://api.example.com" } }
extract: { number: $.body.number }
lane: "order/{{ number }}"
enrich: { order: "/orders/{{ number }}" }
write: { upsert: orders, key: { number: $.number }, set: { name: $.order.name } }
"#;
/// Its work is one row.
const ROWS: &str = r#"
auth: { token: $.headers.x_token, secret: { env: TOKEN } }
write: { insert: log, set: { n: $.body.number } }
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let address = |text: &String| text.parse::<SocketAddr>().expect("an address");
    match arguments.get(1).map(String::as_str) {
        Some("bare") => runtime.block_on(serve_bare(address(&arguments[2]))),
        Some("inbox") => runtime.block_on(serve_inbox(address(&arguments[2]), Path::new(&arguments[3]))),
        _ => runtime.block_on(measure()),
    }
}

/// (a) Reads the body and answers.
async fn serve_bare(address: SocketAddr) {
    let router = Router::new().route("/in/held", post(|body: Bytes| async move { format!("{{\"bytes\":{}}}", body.len()) }));
    let listener = tokio::net::TcpListener::bind(address).await.expect("bound");
    axum::serve(listener, router).await.expect("served");
}

type Waiting = (Bytes, oneshot::Sender<()>);

/// (b) What somebody would write who wants the request on disk before the answer: a queue, one writer, one commit for all that wait.
async fn serve_inbox(address: SocketAddr, file: &Path) {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let options = options.synchronous(SqliteSynchronous::Full).disable_statement_logging();
    let mut connection = options.connect().await.expect("a database");
    sqlx::raw_sql("create table inbox (id integer primary key, body blob not null, at integer not null)")
        .execute(&mut connection)
        .await
        .expect("a table");
    let (sender, receiver) = mpsc::channel::<Waiting>(8192);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(write_inbox(connection, receiver));
    });
    let router = Router::new().route("/in/held", post(take)).with_state(sender);
    let listener = tokio::net::TcpListener::bind(address).await.expect("bound");
    axum::serve(listener, router).await.expect("served");
}

async fn take(State(sender): State<mpsc::Sender<Waiting>>, body: Bytes) -> (StatusCode, &'static str) {
    let (answer, committed) = oneshot::channel();
    if sender.send((body, answer)).await.is_err() || committed.await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "{}");
    }
    (StatusCode::OK, "{\"stored\":true}")
}

async fn write_inbox(mut connection: SqliteConnection, mut receiver: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(256);
    while receiver.recv_many(&mut batch, 256).await > 0 {
        let mut transaction = connection.begin_with("begin immediate").await.expect("begun");
        // statements of few sizes, so that each is prepared once
        let mut rest = &batch[..];
        while !rest.is_empty() {
            let size = [64, 16, 4, 1].into_iter().find(|size| *size <= rest.len()).expect("one at least");
            let (rows, others) = rest.split_at(size);
            let mut insert = QueryBuilder::<Sqlite>::new("insert into inbox (body, at) ");
            insert.push_values(rows, |mut row, (body, _)| {
                row.push_bind(&body[..]).push("unixepoch()");
            });
            insert.build().persistent(true).execute(&mut *transaction).await.expect("inserted");
            rest = others;
        }
        transaction.commit().await.expect("committed");
        for (_, answer) in batch.drain(..) {
            let _ = answer.send(());
        }
    }
}

/// 57 bytes, as e-conomic sends them; a hundred thousand different orders.
fn slim(number: u64) -> String {
    format!("{{\"eConomicAPIKey\":\"0123456789abcdef\",\"number\":{:>12}}}", number * 7919 % 100_000)
}

fn counted(number: u64) -> String {
    format!("{{\"number\":{number}}}")
}

fn show(name: &str, load: &Load, bare: f64, memory: (u64, u64)) {
    let Load { per_second, p50, p99 } = load;
    println!(
        "  {name:<34} {per_second:>8.0}/s  {:>5.2} of bare  p50 {p50:>8.1?}  p99 {p99:>8.1?}  RSS {} MiB (at most {})",
        per_second / bare,
        memory.0,
        memory.1
    );
}

fn project(folder: &Path) {
    std::fs::create_dir_all(folder.join("routes.d")).expect("a folder");
    std::fs::write(folder.join("routes.d/held.yaml"), HELD).expect("written");
    std::fs::write(folder.join("routes.d/rows.yaml"), ROWS).expect("written");
}

/// A provider on loopback that refuses everybody.
async fn refusing_provider() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(|| async { StatusCode::UNAUTHORIZED });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn measure() {
    let length = Duration::from_secs(if is_quick() { 1 } else { 6 });
    let folder = tempfile::tempdir().expect("a folder");
    project(folder.path());
    let own = |mode: &str, rest: &[&Path]| {
        let address = free_address();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(mode).arg(address.to_string()).args(rest);
        Measured::start(command, address, &folder.path().join("others.log"))
    };
    let provider = refusing_provider().await;
    let simulated = format!("https://api.example.com=http://{provider}");
    let bare = own("bare", &[]);
    let inbox = own("inbox", &[&folder.path().join("inbox.db")]);
    let hooktable = Measured::hooktable(folder.path(), &["--simulate-api", &simulated]);
    make_tables(folder.path()).await;
    println!("idle: bare {} MiB, inbox {} MiB, hooktable {} MiB", bare.memory().0, inbox.memory().0, hooktable.memory().0);
    println!("{CONNECTIONS} connections, unique bodies of 57 bytes, each for {length:?}, in turn:");
    let next = Arc::new(AtomicU64::new(0));
    let drive = async |measured: &Measured| {
        closed_loop(measured.address, "/in/held", CONNECTIONS, length, u64::MAX / 2, slim, &next).await
    };
    let mut best = 0.0_f64;
    for round in 0..3 {
        let of_bare = drive(&bare).await;
        let of_inbox = drive(&inbox).await;
        let of_hooktable = drive(&hooktable).await;
        println!(" round {round}");
        show("bare axum handler", &of_bare, of_bare.per_second, bare.memory());
        show("axum + group-commit SQLite insert", &of_inbox, of_bare.per_second, inbox.memory());
        show("hooktable serve", &of_hooktable, of_bare.per_second, hooktable.memory());
        println!("  hooktable is {:.2} of the hand-written inbox", of_hooktable.per_second / of_inbox.per_second);
        best = best.max(of_hooktable.per_second);
    }
    drop((bare, inbox));
    for share in [0.5, 0.1] {
        accept_to_rows(folder.path(), hooktable.address, best * share, length).await;
    }
    println!("under load: hooktable {:?} MiB now and at most", hooktable.memory());
    million_waiting(hooktable, folder.path(), &simulated, &next).await;
}

async fn make_tables(folder: &Path) {
    let options = SqliteConnectOptions::new().filename(folder.join("data/tables.db")).create_if_missing(true);
    let mut connection = options.journal_mode(SqliteJournalMode::Wal).connect().await.expect("a database");
    let sql = "create table log (id integer primary key, n integer); create table orders (number integer primary key, name text)";
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("tables");
}

/// Sends at a steady pace and looks when each row can be read.
async fn accept_to_rows(folder: &Path, address: SocketAddr, per_second: f64, length: Duration) {
    let total = (per_second * length.as_secs_f64()) as u64;
    let options = SqliteConnectOptions::new().filename(folder.join("data/tables.db")).read_only(true).disable_statement_logging();
    let mut reader = options.connect().await.expect("a database");
    let before: i64 = sqlx::query("select coalesce(max(id), 0) from log").fetch_one(&mut reader).await.expect("a row").get(0);
    let started = Instant::now();
    let due = move |number: u64| Duration::from_secs_f64(number as f64 / per_second);
    let next = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let next = Arc::clone(&next);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return;
                    }
                    tokio::time::sleep_until((started + due(number)).into()).await;
                    assert_eq!(connection.post("/in/rows", &counted(number)).await, 200);
                }
            })
        })
        .collect();
    let mut seen = before;
    let mut took = Vec::new();
    let patience = started + length * 6;
    while (took.len() as u64) < total && Instant::now() < patience {
        let rows = sqlx::query("select id, n from log where id > ? order by id").bind(seen);
        let rows = rows.fetch_all(&mut reader).await.expect("rows");
        let now = started.elapsed();
        for row in rows {
            seen = row.get(0);
            took.push(now.saturating_sub(due(u64::try_from(row.get::<i64, _>(1)).expect("a number"))));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let drained = started.elapsed().as_secs_f64();
    for sender in senders {
        sender.await.expect("a sender");
    }
    let rows = took.len();
    let [p50, p99] = percentiles(&mut took);
    println!(
        "accept to row at {per_second:.0}/s: p50 {p50:.1?}, p99 {p99:.1?}; {rows} of {total} rows after {drained:.1} s, {:.0} rows/s",
        rows as f64 / drained
    );
}

async fn million_waiting(hooktable: Measured, folder: &Path, simulated: &str, next: &Arc<AtomicU64>) {
    let most = if is_quick() { 20_000 } else { 1_000_000 };
    let sent = next.load(Ordering::Relaxed);
    let length = Duration::from_secs(170);
    let load = closed_loop(hooktable.address, "/in/held", CONNECTIONS, length, most, slim, next).await;
    let added = next.load(Ordering::Relaxed).min(sent + most) - sent;
    println!(
        "{added} more deliveries in waiting lanes, at {:.0}/s, p99 {:.1?}: {:?} MiB now and at most",
        load.per_second,
        load.p99,
        hooktable.memory()
    );
    drop(hooktable);
    let started = Instant::now();
    let again = Measured::hooktable(folder, &["--simulate-api", simulated]);
    println!("started again over them in {:.1?}: {} MiB", started.elapsed(), again.memory().0);
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("five seconds later: {:?} MiB now and at most", again.memory());
    let options = SqliteConnectOptions::new().filename(folder.join("data/state.db")).read_only(true);
    let mut reader = options.connect().await.expect("a database");
    let row = sqlx::query("select (select count(*) from record where state = 0), (select count(*) from lane where waiting > 0)");
    let row = row.fetch_one(&mut reader).await.expect("a row");
    let size = std::fs::metadata(folder.join("data/state.db")).map_or(0, |found| found.len() >> 20);
    println!("{} open records in {} lanes, a state file of {size} MiB", row.get::<i64, _>(0), row.get::<i64, _>(1));
}
