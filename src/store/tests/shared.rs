//! Several stores on one state: what one does counts for the others, and what they do at the same moment does not collide.

use std::collections::HashSet;
use std::time::Duration;

use super::engines::{Engine, empty_database, is_skipped};
use super::harness::{LEASE, TestStore, key_text, options, queue, record, run_sql, with_id};
use crate::clock::Clock;
use crate::model::bundle::Bundle;
use crate::model::delivery::Appended;
use crate::store::hands::Hands;
use crate::store::integrations::{self, Fields};
use crate::store::lanes::{ClaimRequest, End};
use crate::store::{OpenOptions, Store, StoreError, api_keys, bundles, inbox, lanes, onboarding, records, tenants};

/// Two stores on one state under one clock; nothing where no server is to be used.
async fn two() -> Option<(TestStore, Store)> {
    if is_skipped() {
        return None;
    }
    Engine::Postgres.choose();
    let test = TestStore::new().await;
    let other = Store::open(options(test.folder.path(), &test.clock)).await.expect("opens beside the first");
    Some((test, other))
}

/// Waits for news to arrive.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(5), "it did not arrive within five seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_one_sealed_another_opens_though_it_did_not_know_the_key() {
    let Some((test, other)) = two().await else { return };
    let acme = tenants::add(&test.store, "acme").await.expect("added");
    let id = test.append(test.delivery("shop", Some(&acme), vec![record(0, queue("a"))])).await;
    records::request(&other, id).await.expect("unsealed");
    let listed = records::list(&other, &records::Filter::default()).await.expect("listed");
    assert_eq!(listed[0].lane.as_deref(), Some("a"));
}

#[tokio::test]
async fn the_same_record_sent_to_both_at_once_is_taken_once() {
    let Some((test, other)) = two().await else { return };
    for number in 0..20 {
        let delivery = || test.delivery("shop", None, vec![with_id(0, &format!("id {number}"), queue("a"))]);
        let (one, two) = tokio::join!(inbox::append(&test.store, delivery()), inbox::append(&other, delivery()));
        let taken = [one.expect("stored"), two.expect("stored")].into_iter().filter(|one| *one == Appended::Stored).count();
        assert_eq!(taken, 1, "{number}");
    }
    assert_eq!(test.broken_lanes().await, 0);
}

#[tokio::test]
async fn both_claim_at_once_and_no_lane_twice_and_both_add_to_the_same_lanes_at_once() {
    let Some((test, other)) = two().await else { return };
    let lanes_of =
        |from: u32| -> Vec<_> { (0..40).map(|lane| record(lane, queue(&format!("{}", (lane + from) % 40)))).collect() };
    for round in 0..10 {
        let one = inbox::append(&test.store, test.delivery("shop", None, lanes_of(round)));
        let two = inbox::append(&other, test.delivery("shop", None, lanes_of(40 - round)));
        let (one, two) = tokio::join!(one, two);
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    }
    let versions = test.versions(&["shop"]);
    let request = || ClaimRequest { owner: 2, versions: &versions, hands: Hands::for_anyone(16), lease: LEASE };
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let (one, two) = tokio::join!(lanes::claim(&test.store, request()), lanes::claim(&other, request()));
        for claim in one.expect("claimed").into_iter().chain(two.expect("claimed")) {
            assert!(seen.insert(claim.lane_id), "lane {} was claimed twice", claim.lane_id);
        }
    }
    assert!(seen.len() > 30, "{}", seen.len());
    assert_eq!(test.broken_lanes().await, 0);
}

#[tokio::test]
async fn one_that_starts_leaves_the_leases_of_the_others_alone_until_they_end() {
    let Some((test, other)) = two().await else { return };
    test.put("a").await;
    let held = test.claim_one().await;
    let late = Store::open(options(test.folder.path(), &test.clock)).await.expect("opens");
    let versions = test.versions(&["shop"]);
    let request = || ClaimRequest { owner: 9, versions: &versions, hands: Hands::for_anyone(4), lease: LEASE };
    for store in [&other, &late] {
        assert!(lanes::claim(store, request()).await.expect("asked").is_empty());
    }
    test.pass(LEASE);
    let taken = lanes::claim(&late, request()).await.expect("claimed").pop().expect("its lease has ended");
    assert!(taken.fence > held.fence);
    let refused = lanes::finish(&test.store, &held, super::harness::ending(&held, End::Done)).await;
    assert!(refused.is_err(), "the lease is lost");
}

#[tokio::test]
async fn keys_integrations_windows_and_versions_of_one_count_for_the_others() {
    let Some((test, other)) = two().await else { return };
    let acme = tenants::add(&test.store, "acme").await.expect("added");
    let (key, secret) = api_keys::create(&test.store, &acme, "shop", "").await.expect("made");
    until(async || api_keys::verify(&other, secret.expose(), "shop").is_some()).await;
    api_keys::revoke(&test.store, key.id).await.expect("revoked");
    until(async || api_keys::verify(&other, secret.expose(), "shop").is_none()).await;
    let added = integrations::add(&test.store, &acme, "shop", "", Fields::default(), &[]).await.expect("added");
    until(async || other.integrations().by_endpoint("shop", added.endpoint.expose()).is_some()).await;
    onboarding::open(&test.store, "shop").await.expect("opened");
    until(async || onboarding::is_open(&other, "shop")).await;
    let bundle =
        Bundle { source: "shop".into(), files: Default::default(), main: "shop.yaml".into(), templates: Default::default() };
    bundles::save(&test.store, &bundle, [1; 32], [1; 32]).await.expect("saved");
    assert!(bundles::is_newest(&test.store, "shop", [1; 32]));
    until(async || !bundles::is_newest(&other, "shop", [9; 32])).await;
    bundles::save(&other, &bundle, [9; 32], [1; 32]).await.expect("saved");
    until(async || !bundles::is_newest(&test.store, "shop", [1; 32])).await;
}

#[tokio::test]
async fn two_first_starts_make_one_state_and_another_master_key_is_refused() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let place = empty_database().await;
    let options = |byte| OpenOptions {
        place: place.clone(),
        master_key: key_text(byte),
        key_file: folder.path().join("master.key"),
        clock: Clock::system(),
        max_bytes: None,
    };
    let (one, two) = tokio::join!(Store::open(options(7)), Store::open(options(7)));
    assert_eq!(one.expect("opens").state_id(), two.expect("opens").state_id());
    assert!(matches!(Store::open(options(8)).await.err(), Some(StoreError::WrongMasterKey)));
    let without = OpenOptions { master_key: None, ..options(7) };
    assert!(matches!(Store::open(without).await.err(), Some(StoreError::MissingMasterKey { .. })), "nobody makes up another one");
}

#[tokio::test]
async fn a_newer_schema_is_worked_with_where_it_allows_that_and_refused_where_it_does_not() {
    let Some((test, _other)) = two().await else { return };
    run_sql(&test, "update meta set schema = 99").await;
    drop(Store::open(options(test.folder.path(), &test.clock)).await.expect("opens"));
    run_sql(&test, "update meta set min_binary = 99").await;
    let refused = Store::open(options(test.folder.path(), &test.clock)).await.err().expect("refused");
    assert!(matches!(refused, StoreError::NewerSchema { found: 99, .. }), "{refused}");
}

#[tokio::test]
async fn after_one_rotated_the_master_key_another_makes_no_key_that_nobody_could_open() {
    let Some((test, other)) = two().await else { return };
    test.put("a").await;
    crate::store::rotation::rotate_master_key(&test.store, None).await.expect("rotated");
    let acme = tenants::add(&other, "acme").await.expect("added");
    let refused = inbox::append(&other, test.delivery("shop", Some(&acme), vec![record(0, queue("a"))])).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("master key")));
    let id = test.append(test.delivery("shop", Some(&acme), vec![record(0, queue("a"))])).await;
    records::request(&test.store, id).await.expect("unsealed");
}
