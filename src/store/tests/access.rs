//! Tenants, API keys and bundles.

use std::collections::BTreeMap;
use std::time::Duration;

use super::harness::{TestStore, options};
use crate::model::bundle::Bundle;
use crate::store::{Store, StoreError, api_keys, bundles, tenants};

#[tokio::test]
async fn a_key_opens_its_source_until_it_is_revoked() {
    let test = TestStore::new().await;
    let tenant = tenants::add(&test.store, "acme").await.expect("added");
    let (key, secret) = api_keys::create(&test.store, &tenant, "shop", "till 3").await.expect("made");
    assert_eq!((&secret.expose()[..4], secret.expose().len()), ("htk_", 47));
    assert_eq!(api_keys::verify(&test.store, secret.expose(), "shop").map(|found| found.id), Some(key.id));
    assert!(api_keys::verify(&test.store, secret.expose(), "other").is_none());
    assert!(api_keys::verify(&test.store, "htk_", "shop").is_none());
    api_keys::revoke(&test.store, key.id).await.expect("revoked");
    assert!(api_keys::verify(&test.store, secret.expose(), "shop").is_none());
    assert!(matches!(api_keys::revoke(&test.store, 99).await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_once_a_minute_and_keys_survive_a_restart() {
    let test = TestStore::new().await;
    let tenant = tenants::add(&test.store, "acme").await.expect("added");
    let (key, secret) = api_keys::create(&test.store, &tenant, "shop", "").await.expect("made");
    test.pass(Duration::from_secs(90));
    for _ in 0..3 {
        api_keys::used(&test.store, key.id);
    }
    let TestStore { store, folder, clock } = test;
    store.close().await;
    let store = Store::open(options(folder.path(), &clock)).await.expect("opens again");
    let found = api_keys::verify(&store, secret.expose(), "shop").expect("still valid");
    assert_eq!(found.last_used_at.map(|at| at.to_string()).as_deref(), Some("2026-11-21T10:01:00Z"));
    assert_eq!(api_keys::list(&store).await.expect("listed").len(), 1);
}

#[tokio::test]
async fn tenants_are_named_once_and_sensibly() {
    let test = TestStore::new().await;
    let tenant = tenants::add(&test.store, "acme").await.expect("added");
    assert!(matches!(tenants::add(&test.store, "acme").await, Err(StoreError::Refused(_))));
    assert!(matches!(tenants::add(&test.store, "a b").await, Err(StoreError::Refused(_))));
    assert_eq!(tenants::find_by_name(&test.store, "acme").await.expect("asked"), Some(tenant.clone()));
    assert_eq!(tenants::list(&test.store).await.expect("listed"), [tenant]);
}

#[tokio::test]
async fn the_newest_bundle_of_a_source_is_kept_until_it_is_retired() {
    let test = TestStore::new().await;
    let bundle = |text: &str| Bundle {
        templates: Default::default(),
        source: "shop".into(),
        files: BTreeMap::from([("routes.d/shop.yaml".to_owned(), text.to_owned())]),
        main: "routes.d/shop.yaml".into(),
    };
    for (text, hash) in [("one", 1), ("two", 2), ("one", 1)] {
        bundles::save(&test.store, &bundle(text), [hash; 32], [0; 32]).await.expect("saved");
        assert_eq!(bundles::latest(&test.store, "shop").await.expect("asked"), Some(([hash; 32], bundle(text))));
    }
    assert_eq!(bundles::sources(&test.store).await.expect("asked"), ["shop"]);
    assert!(bundles::retire(&test.store, "shop").await.expect("retired"));
    assert_eq!(bundles::latest(&test.store, "shop").await.expect("asked"), None);
    assert!(bundles::sources(&test.store).await.expect("asked").is_empty());
    bundles::save(&test.store, &bundle("two"), [2; 32], [0; 32]).await.expect("saved");
    assert_eq!(bundles::sources(&test.store).await.expect("asked"), ["shop"]);
}
