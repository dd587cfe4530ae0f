//! Named databases: reaching them, and rows outside of deliveries.

use serde_json::json;

use super::bench::*;
use crate::clock::Clock;
use crate::model::failure::Retry;
use crate::target::Targets;
use crate::target::options::DatabaseOptions;

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_a_passing_failure_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let database = open(&folder.path().join("file").join("tables.db"));
    let failure = database.connect().await.unwrap_err();
    assert_eq!(failure.retry, Retry::Later);
    assert!(failure.reason.starts_with("database `main` cannot be opened: the folder "), "{}", failure.reason);
    std::fs::remove_file(folder.path().join("file")).unwrap();
    database.connect().await.unwrap();
}

#[tokio::test]
async fn a_url_of_another_engine_is_refused_without_showing_it() {
    let options = DatabaseOptions::new("erp", "oracle://me:hunter2@host/erp", "tenant");
    let targets = Targets::open(vec![options], Clock::system());
    assert_eq!(targets.names().collect::<Vec<_>>(), ["erp"]);
    let failure = targets.database("erp").unwrap().connect().await.unwrap_err();
    assert_passing(
        &failure,
        "database `erp` cannot be opened: its URL must begin with `sqlite:`, `postgres:`, `mysql:` or `mariadb:`",
    );
    assert!(targets.database("main").is_none());
}

#[tokio::test]
async fn rows_given_as_json_read_back_in_the_order_of_the_primary_key() {
    let bench = Bench::new("create table t (id integer primary key, name text, at timestamp_text, raw blob)").await;
    let given = json!([{ "id": 2, "name": "b", "at": "2026-11-21T11:00:00+01:00" }, { "id": 1, "name": "a" }]);
    let given: Vec<_> = given.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect();
    bench.database.insert_rows("t", &given).await.unwrap();
    let expected = json!([
        { "id": 1, "name": "a", "at": null, "raw": null },
        { "id": 2, "name": "b", "at": "2026-11-21T10:00:00Z", "raw": null },
    ]);
    assert_eq!(bench.rows("t").await, expected);
    let names = bench.database.rows("t", Some(&["NAME".to_owned()]), &["name".to_owned()]).await.unwrap();
    assert_eq!(json!(names), json!([{ "name": "a" }, { "name": "b" }]));
    let stored = bench.database.as_stored("t", &given[..1]).await.unwrap();
    assert_eq!(json!(stored), json!([{ "id": 2, "name": "b", "at": "2026-11-21T10:00:00Z" }]));
}
