//! Rows a second into each engine, against hand-written sqlx code that writes the same rows in the same transactions: so many
//! units to a transaction, and for each a savepoint, its mark, its fence and its row. Both run in turn, in one run.
//!
//! `cargo bench --bench targets [-- UNITS]`; PostgreSQL and MariaDB take part where `HOOKTABLE_TEST_POSTGRES` and
//! `HOOKTABLE_TEST_MARIADB` say where they are (`scripts/postgres`, `scripts/mariadb`).

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement, not the product")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hooktable::clock::Clock;
use hooktable::model::change::{Cell, Change, Operation};
use hooktable::target::{DatabaseOptions, Targets, Unit};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _};

/// How many units are on their way at once, as many as two full transactions.
const WORKERS: usize = 64;
/// Units of a transaction of the hand-written code, as many as ours takes at most.
const TOGETHER: usize = 32;
const ROUNDS: usize = 5;

#[derive(Clone, Copy, PartialEq)]
enum Engine {
    Sqlite,
    Postgres,
    Mariadb,
}

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Insert,
    UpsertNew,
    UpsertChanged,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let units = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(4000);
    println!("{units} units of one row, medians of {ROUNDS} rounds in turn; `alone` is one unit after the other");
    println!("{:<10} {:<15} {:>12} {:>12} {:>14} {:>7}", "engine", "work", "connections", "ours", "hand-written", "ratio");
    for (engine, variable) in
        [(Engine::Sqlite, ""), (Engine::Postgres, "HOOKTABLE_TEST_POSTGRES"), (Engine::Mariadb, "HOOKTABLE_TEST_MARIADB")]
    {
        let server = if engine == Engine::Sqlite { Some(String::new()) } else { std::env::var(variable).ok() };
        let Some(server) = server else {
            println!("{:<10} left out: `{variable}` is not set", engine.name());
            continue;
        };
        for connections in if engine == Engine::Sqlite { vec![1] } else { vec![1, 4] } {
            measure(engine, &server, connections, WORKERS, TOGETHER, units).await;
        }
        measure(engine, &server, 1, 1, 1, units / 4).await;
    }
}

async fn measure(engine: Engine, server: &str, connections: u32, workers: usize, together: usize, units: usize) {
    for work in [Work::Insert, Work::UpsertNew, Work::UpsertChanged] {
        let folder = tempfile::tempdir().unwrap();
        let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let place = Place::new(engine, server, folder.path(), &format!("o{round}")).await;
            ours.push(run_ours(&place.url, connections, workers, units, work).await);
            place.remove(engine, server).await;
            let place = Place::new(engine, server, folder.path(), &format!("h{round}")).await;
            by_hand.push(run_by_hand(engine, &place.url, connections as usize, together, units, work).await);
            place.remove(engine, server).await;
        }
        let rate = |mut times: Vec<Duration>| {
            times.sort();
            units as f64 / times[ROUNDS / 2].as_secs_f64()
        };
        let (ours, by_hand) = (rate(ours), rate(by_hand));
        let name = format!("{}{}", work.name(), if together == 1 { ", alone" } else { "" });
        let ratio = ours / by_hand;
        println!("{:<10} {name:<20} {connections:>7} {ours:>12.0} {by_hand:>14.0} {ratio:>7.2}", engine.name());
    }
}

/// A schema or database of its own.
struct Place {
    name: String,
    url: String,
}

impl Place {
    async fn new(engine: Engine, server: &str, folder: &std::path::Path, name: &str) -> Self {
        let name = format!("bench_{name}_{}", std::process::id());
        let (address, parameters) = server.split_once('?').unwrap_or((server, ""));
        let url = match engine {
            Engine::Sqlite => format!("sqlite://{}", folder.join(format!("{name}.db")).display()),
            Engine::Postgres => format!("{address}?options=-c%20search_path%3D{name}&{parameters}"),
            Engine::Mariadb => format!("{}/{name}?{parameters}", address.rsplit_once('/').unwrap().0),
        };
        match engine {
            Engine::Sqlite => {}
            Engine::Postgres => on_server(engine, server, &format!("create schema {name}")).await,
            Engine::Mariadb => on_server(engine, server, &format!("create database {name} character set utf8mb4")).await,
        }
        let database = target(&url, 1);
        database.database("main").unwrap().run_script(engine.schema()).await.unwrap();
        Self { name, url }
    }

    async fn remove(self, engine: Engine, server: &str) {
        match engine {
            Engine::Sqlite => {}
            Engine::Postgres => on_server(engine, server, &format!("drop schema {} cascade", self.name)).await,
            Engine::Mariadb => on_server(engine, server, &format!("drop database {}", self.name)).await,
        }
    }
}

async fn on_server(engine: Engine, server: &str, sql: &str) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match engine {
        Engine::Sqlite => {}
        Engine::Postgres => {
            let mut connection = sqlx::PgConnection::connect(server).await.unwrap();
            sql.execute(&mut connection).await.unwrap();
        }
        Engine::Mariadb => {
            let mut connection = sqlx::MySqlConnection::connect(server).await.unwrap();
            sql.execute(&mut connection).await.unwrap();
        }
    }
}

fn target(url: &str, pool: u32) -> Targets {
    let options = DatabaseOptions { pool, ..DatabaseOptions::new("main", url.to_owned(), "tenant") };
    Targets::open(vec![options], Clock::system())
}

async fn run_ours(url: &str, connections: u32, workers: usize, units: usize, work: Work) -> Duration {
    let targets = target(url, connections);
    if work == Work::UpsertChanged {
        apply_all(&targets, (0..units).map(|number| unit(number, 0, Work::UpsertNew)).collect(), workers).await;
    }
    let all = (0..units).map(|number| unit(number, 1, work)).collect();
    let started = Instant::now();
    apply_all(&targets, all, workers).await;
    started.elapsed()
}

async fn apply_all(targets: &Targets, units: Vec<(Row, Vec<Change>)>, workers: usize) {
    let (units, next) = (Arc::new(units), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..workers)
        .map(|_| {
            let (targets, units, next) = (targets.clone(), units.clone(), next.clone());
            tokio::spawn(async move {
                let database = targets.database("main").unwrap();
                while let Some((row, changes)) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let unit = Unit { mark: row.mark, lane: row.lane, others: &[], fence: row.fence, is_late: false, changes };
                    assert!(!database.apply(unit).await.unwrap().already);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// What a worker hands over for one delivery.
fn unit(number: usize, round: usize, work: Work) -> (Row, Vec<Change>) {
    let row = Row::new(number, round);
    let cell = |column: &str, value: Value| Cell {
        column: column.to_owned(),
        value,
        declared: None,
        origin: format!("$.order.{column}"),
    };
    let key = vec![cell("tenant", json!("acme")), cell("job_no", json!(row.job_no))];
    let set = vec![
        cell("description", json!(row.description)),
        cell("customer_no", json!(row.customer_no)),
        cell("net_amount", serde_json::from_str(&row.net_amount).unwrap()),
        cell("delivery_date", json!(row.delivery_date)),
    ];
    let operation = match work {
        Work::Insert => Operation::Insert { set: [key, set].concat() },
        Work::UpsertNew | Work::UpsertChanged => Operation::Upsert { key, set },
    };
    let change =
        Change { database: "main".to_owned(), table: "jobs".to_owned(), place: "write[0]".to_owned(), operation, version: None };
    (row, vec![change])
}

struct Row {
    mark: [u8; 32],
    lane: [u8; 16],
    fence: i64,
    job_no: i64,
    description: String,
    customer_no: i64,
    net_amount: String,
    delivery_date: &'static str,
}

impl Row {
    fn new(number: usize, round: usize) -> Self {
        // scattered as hashes are
        let scattered = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let (mut mark, mut lane) = ([round as u8; 32], [0; 16]);
        mark[..8].copy_from_slice(&scattered);
        lane[..8].copy_from_slice(&scattered);
        Self {
            mark,
            lane,
            fence: round as i64 + 1,
            job_no: number as i64,
            description: format!("Installation of pump {number}, round {round}"),
            customer_no: number as i64 % 97,
            net_amount: format!("{}.{:02}", number * 7 + round, number % 100),
            delivery_date: "2026-11-21",
        }
    }
}

/// A transaction as somebody would write it who knows the table; `row_sql` is the last statement of each unit.
macro_rules! by_hand {
    ($name:ident, $connection:ty, $mark:expr, $fence:expr) => {
        async fn $name(connection: &mut $connection, begin: &'static str, row_sql: &'static str, rows: &[Row]) {
            let now = "2026-11-21 10:00:00.123456";
            sqlx::raw_sql(begin).execute(&mut *connection).await.unwrap();
            for row in rows {
                sqlx::raw_sql("savepoint unit").execute(&mut *connection).await.unwrap();
                let marked = sqlx::query($mark).bind(&row.mark[..]).bind(now).execute(&mut *connection).await.unwrap();
                assert_eq!(marked.rows_affected(), 1);
                let fence = sqlx::query($fence).bind(&row.lane[..]).bind(row.fence).bind(now);
                fence.execute(&mut *connection).await.unwrap();
                let written = sqlx::query(row_sql)
                    .bind("acme")
                    .bind(row.job_no)
                    .bind(&row.description)
                    .bind(row.customer_no)
                    .bind(&row.net_amount)
                    .bind(row.delivery_date);
                written.execute(&mut *connection).await.unwrap();
                sqlx::raw_sql("release savepoint unit").execute(&mut *connection).await.unwrap();
            }
            sqlx::raw_sql("commit").execute(&mut *connection).await.unwrap();
        }
    };
}

by_hand!(
    sqlite_by_hand,
    sqlx::SqliteConnection,
    "insert into hooktable_applied (mark, at) values (?, ?) on conflict do nothing",
    "insert into hooktable_lane (lane, fence, at) values (?, ?, ?) on conflict (lane) do update set fence = excluded.fence,
     at = excluded.at where hooktable_lane.fence <= excluded.fence"
);
by_hand!(
    postgres_by_hand,
    sqlx::PgConnection,
    "insert into hooktable_applied (mark, at) values ($1, $2::text::timestamptz) on conflict do nothing",
    "insert into hooktable_lane (lane, fence, at) values ($1, $2, $3::text::timestamptz) on conflict (lane) do update
     set fence = excluded.fence, at = excluded.at where hooktable_lane.fence <= excluded.fence"
);
by_hand!(
    mariadb_by_hand,
    sqlx::MySqlConnection,
    "insert ignore into hooktable_applied (mark, at) values (?, ?)",
    "insert into hooktable_lane (lane, fence, at) values (?, ?, ?) on duplicate key update
     at = if(fence <= values(fence), values(at), at), fence = greatest(fence, values(fence))"
);

async fn run_by_hand(engine: Engine, url: &str, connections: usize, together: usize, units: usize, work: Work) -> Duration {
    let shares = |round: usize| -> Vec<Vec<Row>> {
        let share = units.div_ceil(connections);
        let rows: Vec<Row> = (0..units).map(|number| Row::new(number, round)).collect();
        let mut rows = rows.into_iter();
        (0..connections).map(|_| rows.by_ref().take(share).collect()).collect()
    };
    let mut took = Duration::ZERO;
    let rounds = if work == Work::UpsertChanged { vec![(0, Work::UpsertNew), (1, work)] } else { vec![(1, work)] };
    for (round, work) in rounds {
        let sql = engine.row_sql(work);
        let mut ready = Vec::new();
        for rows in shares(round) {
            ready.push((Hand::connect(engine, url).await, rows));
        }
        let started = Instant::now();
        let tasks: Vec<_> = ready
            .into_iter()
            .map(|(mut hand, rows)| {
                tokio::spawn(async move {
                    for rows in rows.chunks(together) {
                        hand.write(sql, rows).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        took = started.elapsed();
    }
    took
}

enum Hand {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection),
    Mariadb(sqlx::MySqlConnection),
}

impl Hand {
    async fn connect(engine: Engine, url: &str) -> Self {
        match engine {
            Engine::Sqlite => Self::Sqlite(sqlx::SqliteConnection::connect(url).await.unwrap()),
            Engine::Postgres => Self::Postgres(sqlx::PgConnection::connect(url).await.unwrap()),
            Engine::Mariadb => Self::Mariadb(sqlx::MySqlConnection::connect(url).await.unwrap()),
        }
    }

    async fn write(&mut self, sql: &'static str, rows: &[Row]) {
        match self {
            Self::Sqlite(connection) => sqlite_by_hand(connection, "begin immediate", sql, rows).await,
            Self::Postgres(connection) => postgres_by_hand(connection, "begin", sql, rows).await,
            Self::Mariadb(connection) => mariadb_by_hand(connection, "begin", sql, rows).await,
        }
    }
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::UpsertNew => "upsert new",
            Self::UpsertChanged => "upsert changed",
        }
    }
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
        }
    }

    fn schema(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "create table jobs (tenant text, job_no integer, description text, customer_no integer, net_amount decimal_text,
                 delivery_date date_text, primary key (tenant, job_no))"
            }
            Self::Postgres => {
                "create table jobs (tenant text, job_no bigint, description text, customer_no bigint, net_amount numeric(12, 2),
                 delivery_date date, primary key (tenant, job_no))"
            }
            Self::Mariadb => {
                "create table jobs (tenant varchar(100) character set utf8mb4 collate utf8mb4_nopad_bin, job_no bigint, description text,
                 customer_no bigint, net_amount decimal(12, 2), delivery_date date, primary key (tenant, job_no))"
            }
        }
    }

    fn row_sql(self, work: Work) -> &'static str {
        match (self, work) {
            (Self::Sqlite, Work::Insert) => {
                "insert into jobs (tenant, job_no, description, customer_no, net_amount, delivery_date) values (?, ?, ?, ?, ?, ?)"
            }
            (Self::Sqlite, _) => {
                "insert into jobs (tenant, job_no, description, customer_no, net_amount, delivery_date) values (?, ?, ?, ?, ?, ?)
                 on conflict (tenant, job_no) do update set description = excluded.description, customer_no = excluded.customer_no,
                 net_amount = excluded.net_amount, delivery_date = excluded.delivery_date"
            }
            (Self::Postgres, Work::Insert) => {
                "insert into jobs (tenant, job_no, description, customer_no, net_amount, delivery_date)
                 values ($1, $2, $3, $4, $5::text::numeric, $6::text::date)"
            }
            (Self::Postgres, _) => {
                "insert into jobs (tenant, job_no, description, customer_no, net_amount, delivery_date)
                 values ($1, $2, $3, $4, $5::text::numeric, $6::text::date) on conflict (tenant, job_no) do update
                 set description = excluded.description, customer_no = excluded.customer_no, net_amount = excluded.net_amount,
                 delivery_date = excluded.delivery_date"
            }
            (Self::Mariadb, Work::Insert) => {
                "insert into jobs (tenant, job_no, description, customer_no, net_amount, delivery_date) values (?, ?, ?, ?, ?, ?)"
            }
            (Self::Mariadb, _) => {
                "insert into jobs (tenant, job_no, description, customer_no, net_amount, delivery_date) values (?, ?, ?, ?, ?, ?)
                 on duplicate key update description = values(description), customer_no = values(customer_no),
                 net_amount = values(net_amount), delivery_date = values(delivery_date)"
            }
        }
    }
}
