//! Tenants, API keys and bundles.

use std::collections::BTreeMap;
use std::time::Duration;

use super::harness::{TestStore, options};
use crate::model::bundle::Bundle;
use crate::model::user::Role;
use crate::secret::Secret;
use crate::store::{Store, StoreError, api_keys, bundles, tenants, users};

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
async fn a_rotated_key_is_replaced_by_one_for_the_same_purpose() {
    let test = TestStore::new().await;
    let tenant = tenants::add(&test.store, "acme").await.expect("added");
    let (old, old_key) = api_keys::create(&test.store, &tenant, "shop", "till 3").await.expect("made");
    let (new, new_key) = api_keys::rotate(&test.store, old.id).await.expect("rotated");
    assert_eq!((&new.tenant, new.source.as_str(), new.description.as_str()), (&tenant, "shop", "till 3"));
    assert!(api_keys::verify(&test.store, old_key.expose(), "shop").is_none());
    assert_eq!(api_keys::verify(&test.store, new_key.expose(), "shop").map(|key| key.id), Some(new.id));
    assert!(matches!(api_keys::rotate(&test.store, old.id).await, Err(StoreError::Refused(_))), "it is revoked");
    assert!(matches!(api_keys::rotate(&test.store, 99).await, Err(StoreError::NotFound(_))));
    assert_eq!(api_keys::list(&test.store).await.expect("listed").len(), 2);
}

#[tokio::test]
async fn a_user_is_known_by_name_and_password_together() {
    let test = TestStore::new().await;
    let (good, bad) = (|| Secret::from("correct horse battery"), || Secret::from("correct horse batterz"));
    users::add(&test.store, "ann@example.com", Role::Support, good()).await.expect("added");
    let verify = async |name: &str, password| users::verify(&test.store, name, password).await.expect("asked");
    assert_eq!(verify("ann@example.com", good()).await.map(|user| user.role), Some(Role::Support));
    assert_eq!(verify("ann@example.com", bad()).await, None);
    assert_eq!(verify("bob", good()).await, None);
    users::set_password(&test.store, "ann@example.com", bad()).await.expect("changed");
    assert_eq!(verify("ann@example.com", good()).await, None);
    users::set_role(&test.store, "ann@example.com", Role::Viewer).await.expect("changed");
    assert_eq!(verify("ann@example.com", bad()).await.map(|user| user.role), Some(Role::Viewer));
    assert_eq!(users::list(&test.store).await.expect("listed").len(), 1);
    users::remove(&test.store, "ann@example.com").await.expect("removed");
    assert_eq!(verify("ann@example.com", bad()).await, None);
    assert!(matches!(users::remove(&test.store, "bob").await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn names_and_passwords_of_users_are_sensible_and_passwords_are_kept_as_hashes() {
    let test = TestStore::new().await;
    let password = || Secret::from("correct horse battery");
    users::add(&test.store, "ann", Role::Admin, password()).await.expect("added");
    assert!(matches!(users::add(&test.store, "ann", Role::Admin, password()).await, Err(StoreError::Refused(_))));
    assert!(matches!(users::add(&test.store, "a b", Role::Admin, password()).await, Err(StoreError::Refused(_))));
    let short = users::add(&test.store, "bob", Role::Admin, Secret::from("hunter2")).await.expect_err("short").to_string();
    assert!(short.contains("7 characters") && !short.contains("hunter2"), "{short}");
    let bytes = std::fs::read(test.folder.path().join("state.db-wal")).expect("read");
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("$argon2id$v=19$m=19456,t=2,p=1$") && !has("correct horse"));
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
