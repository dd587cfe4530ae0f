//! Integrations: sealed, found, changed and revoked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::harness::{TestStore, options, run_sql};
use crate::model::integration::Integration;
use crate::model::tenant::Tenant;
use crate::secret::Secret;
use crate::store::integrations::{self, FieldChanges, Fields};
use crate::store::{Store, StoreError, tenants};

fn open(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn secret(fields: &[(&str, &str)]) -> BTreeMap<String, Secret<String>> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value))).collect()
}

fn acmes_fields() -> Fields {
    Fields { open: open(&[("shop", "acme.example")]), secret: secret(&[("token", "hunter2-hunter2")]) }
}

async fn tenant(test: &TestStore, name: &str) -> Tenant {
    tenants::add(&test.store, name).await.expect("added")
}

async fn add(test: &TestStore, tenant: &Tenant, fields: Fields) -> Arc<Integration> {
    integrations::add(&test.store, tenant, "shop", "till 3", fields, &[]).await.expect("added")
}

async fn reopened(test: TestStore) -> TestStore {
    let TestStore { store, folder, clock } = test;
    store.close().await;
    let store = Store::open(options(folder.path(), &clock)).await.expect("opens again");
    TestStore { store, folder, clock }
}

#[tokio::test]
async fn an_integration_survives_a_restart_and_nothing_of_it_is_in_the_clear() {
    let test = TestStore::new().await;
    let acme = tenant(&test, "acme").await;
    let added = add(&test, &acme, acmes_fields()).await;
    assert_eq!((&added.endpoint.expose()[..4], added.endpoint.expose().len()), ("hti_", 36));
    for name in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(test.folder.path().join(name)).expect("read");
        for secret in ["hunter2", "acme.example", added.endpoint.expose().as_str()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} in {name}");
        }
    }
    let test = reopened(test).await;
    let found = test.store.integrations().by_endpoint("shop", added.endpoint.expose()).expect("found");
    assert_eq!((&found.fields, &found.secrets, &found.tenant), (&added.fields, &added.secrets, &acme));
    assert_eq!(found.secrets_changed_at, added.secrets_changed_at);
}

#[tokio::test]
async fn what_is_sealed_opens_only_in_its_own_row_and_the_others_go_on() {
    let test = TestStore::new().await;
    let (acme, globex) = (tenant(&test, "acme").await, tenant(&test, "globex").await);
    let mut endpoints = Vec::new();
    for tenant in [&acme, &acme, &acme, &globex] {
        endpoints.push(add(&test, tenant, acmes_fields()).await.endpoint.clone());
    }
    run_sql(&test, "update integration set tenant_id = 2 where integration_id = 1").await;
    run_sql(&test, "update integration set integration_id = 50 where integration_id = 2").await;
    run_sql(&test, "update integration set source = 'other' where integration_id = 3").await;
    let test = reopened(test).await;
    let integrations = test.store.integrations();
    let opens = |endpoint| ["shop", "other"].iter().any(|source| integrations.by_endpoint(source, endpoint).is_some());
    let opened: Vec<bool> = endpoints.iter().map(|endpoint| opens(endpoint.expose())).collect();
    assert_eq!((opened, integrations.all().count()), (vec![false, false, false, true], 1));
}

#[tokio::test]
async fn single_fields_are_set_and_removed_and_the_others_stay() {
    let test = TestStore::new().await;
    let acme = tenant(&test, "acme").await;
    let id = add(&test, &acme, acmes_fields()).await.id;
    test.pass(Duration::from_secs(60));
    let changes = FieldChanges {
        description: None,
        set: Fields { open: open(&[("plan", "x")]), secret: secret(&[("other", "s")]) },
        remove: vec!["shop".into()],
    };
    integrations::set_fields(&test.store, id, changes, &[]).await.expect("changed");
    let test = reopened(test).await;
    let found = integrations::find(&test.store, id).expect("there");
    assert_eq!((&found.fields, found.description.as_str()), (&open(&[("plan", "x")]), "till 3"));
    assert_eq!(found.secrets, secret(&[("token", "hunter2-hunter2"), ("other", "s")]));
    assert!(found.secrets_changed_at["token"] < found.secrets_changed_at["other"]);
    assert!(test.store.integrations().by_fields("shop", &[("shop".into(), "acme.example".into())]).expect("asked").is_none());
}

#[tokio::test]
async fn two_that_a_request_could_not_tell_apart_are_refused_until_one_is_revoked() {
    let test = TestStore::new().await;
    let (acme, globex) = (tenant(&test, "acme").await, tenant(&test, "globex").await);
    let unique = ["shop".to_owned()];
    let add = |tenant: Tenant, source: &'static str| {
        let store = test.store.clone();
        async move { integrations::add(&store, &tenant, source, "", acmes_fields(), &["shop".to_owned()]).await }
    };
    let first = add(acme.clone(), "shop").await.expect("added");
    let error = add(globex.clone(), "shop").await.expect_err("a twin").to_string();
    assert!(error.contains("integration 1 of `acme` is found by the same values: `shop` is `acme.example`"), "{error}");
    add(globex.clone(), "other").await.expect("of another source");
    let without = integrations::add(&test.store, &globex, "shop", "", Fields::default(), &unique).await.expect("no such field");
    let set =
        FieldChanges { set: Fields { open: open(&[("shop", "acme.example")]), ..Fields::default() }, ..FieldChanges::default() };
    assert!(integrations::set_fields(&test.store, without.id, set.clone(), &unique).await.is_err());
    integrations::set_fields(&test.store, first.id, set.clone(), &unique).await.expect("its own values");
    integrations::revoke(&test.store, first.id).await.expect("revoked");
    integrations::set_fields(&test.store, without.id, set, &unique).await.expect("free now");
}

#[tokio::test]
async fn an_old_endpoint_id_and_a_revoked_integration_let_nobody_in() {
    let test = TestStore::new().await;
    let acme = tenant(&test, "acme").await;
    let added = add(&test, &acme, acmes_fields()).await;
    let opens = |endpoint: &Secret<String>| test.store.integrations().by_endpoint("shop", endpoint.expose()).is_some();
    let rotated = integrations::rotate_endpoint(&test.store, added.id).await.expect("rotated");
    assert!(!opens(&added.endpoint) && opens(&rotated.endpoint));
    integrations::revoke(&test.store, added.id).await.expect("revoked");
    assert!(!opens(&rotated.endpoint));
    assert!(test.store.integrations().of_tenant("shop", acme.id).is_empty());
    let refused = integrations::rotate_endpoint(&test.store, added.id).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert!(matches!(integrations::revoke(&test.store, 99).await, Err(StoreError::NotFound(_))));
    let test = reopened(test).await;
    assert!(test.store.integrations().by_endpoint("shop", rotated.endpoint.expose()).is_none());
    assert!(integrations::find(&test.store, added.id).expect("known").revoked_at.is_some());
}

#[tokio::test]
async fn the_use_of_an_integration_is_noted_once_a_minute() {
    let test = TestStore::new().await;
    let acme = tenant(&test, "acme").await;
    let id = add(&test, &acme, Fields::default()).await.id;
    test.pass(Duration::from_secs(90));
    for _ in 0..3 {
        integrations::used(&test.store, id);
    }
    let test = reopened(test).await;
    let listed = integrations::list(&test.store).await.expect("listed");
    assert_eq!(listed[0].last_used_at.map(|at| at.to_string()).as_deref(), Some("2026-11-21T10:01:00Z"));
}

#[tokio::test]
async fn changes_at_one_moment_are_all_in_the_snapshot_afterwards() {
    let test = TestStore::new().await;
    let acme = tenant(&test, "acme").await;
    let adding = (0..20).map(|number: i32| {
        let fields = Fields { open: open(&[("shop", &number.to_string())]), ..Fields::default() };
        integrations::add(&test.store, &acme, "shop", "", fields, &[])
    });
    let added = futures_util::future::join_all(adding).await;
    let ids: Vec<i64> = added.into_iter().map(|one| one.expect("added").id).collect();
    futures_util::future::join_all(ids.iter().filter(|id| *id % 2 == 0).map(|id| integrations::revoke(&test.store, *id))).await;
    assert_eq!(test.store.integrations().of_tenant("shop", acme.id).len(), 10);
}
