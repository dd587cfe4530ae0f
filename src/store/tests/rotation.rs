//! Rotating the master key, and being killed while doing so.

use std::path::Path;

use super::engines::{Engine, is_skipped, on_both_engines};
use super::harness::{TestStore, key_text, options, queue, record, run_sql};
use crate::model::delivery::DeliveryId;
use crate::secret::Secret;
use crate::store::integrations::{self, Fields};
use crate::store::rotation::{Rotated, rotate_master_key};
use crate::store::{OpenOptions, Store, StoreError, records, tenants};

struct Sealed {
    test: TestStore,
    delivery: DeliveryId,
}

impl Sealed {
    /// A state with two data keys, a sealed request and a sealed integration.
    async fn new() -> Self {
        let test = TestStore::new().await;
        let acme = tenants::add(&test.store, "acme").await.expect("added");
        let fields = Fields { secret: [("token".to_owned(), Secret::from("hunter2"))].into(), ..Fields::default() };
        integrations::add(&test.store, &acme, "shop", "", fields, &[]).await.expect("added");
        let delivery = test.append(test.delivery("shop", Some(&acme), vec![record(0, queue("a"))])).await;
        test.put("b").await;
        Self { test, delivery }
    }

    fn key_file(&self) -> String {
        std::fs::read_to_string(self.test.folder.path().join("master.key")).expect("a key file")
    }

    async fn reopened(self, options: OpenOptions) -> Result<Self, StoreError> {
        let TestStore { store, folder, clock } = self.test;
        store.close().await;
        let store = Store::open(options).await?;
        Ok(Self { test: TestStore { store, folder, clock }, ..self })
    }

    async fn reopened_as_it_is(self) -> Self {
        let options = options(self.test.folder.path(), &self.test.clock);
        self.reopened(options).await.expect("opens")
    }

    async fn assert_readable(&self) {
        records::request(&self.test.store, self.delivery).await.expect("unsealed");
        let integrations = self.test.store.integrations();
        assert_eq!(integrations.by_id(1).expect("opened").secrets["token"].expose(), "hunter2");
        let listed = records::list(&self.test.store, &records::Filter::default()).await.expect("listed");
        assert!(listed.iter().all(|record| record.lane.is_some()), "labels open too");
    }
}

fn next_file(folder: &Path) -> std::path::PathBuf {
    folder.join("master.key.next")
}

on_both_engines!(a_new_master_key_opens_what_was_sealed_before_and_the_old_one_nothing);
async fn a_new_master_key_opens_what_was_sealed_before_and_the_old_one_nothing() {
    let sealed = Sealed::new().await;
    let old = sealed.key_file();
    let rotated = rotate_master_key(&sealed.test.store, None).await.expect("rotated");
    assert_eq!(rotated, Rotated { data_keys: 2, was_given: false });
    assert_ne!(sealed.key_file(), old);
    sealed.assert_readable().await;
    let globex = tenants::add(&sealed.test.store, "globex").await.expect("added");
    sealed.test.append(sealed.test.delivery("shop", Some(&globex), vec![record(0, queue("c"))])).await;
    let sealed = sealed.reopened_as_it_is().await;
    sealed.assert_readable().await;
    let with_old = OpenOptions { master_key: Some(old.trim().into()), ..options(sealed.test.folder.path(), &sealed.test.clock) };
    assert!(matches!(sealed.reopened(with_old).await.err(), Some(StoreError::WrongMasterKey)));
}

on_both_engines!(a_kill_between_commit_and_rename_costs_nothing);
async fn a_kill_between_commit_and_rename_costs_nothing() {
    let sealed = Sealed::new().await;
    let old = sealed.key_file();
    rotate_master_key(&sealed.test.store, None).await.expect("rotated");
    let (new, folder) = (sealed.key_file(), sealed.test.folder.path().to_owned());
    std::fs::rename(folder.join("master.key"), next_file(&folder)).expect("as before the rename");
    std::fs::write(folder.join("master.key"), &old).expect("as before the rename");
    let sealed = sealed.reopened_as_it_is().await;
    sealed.assert_readable().await;
    assert_eq!((sealed.key_file(), next_file(&folder).exists()), (new, false));
}

on_both_engines!(a_kill_before_the_commit_leaves_the_old_key_and_nothing_else);
async fn a_kill_before_the_commit_leaves_the_old_key_and_nothing_else() {
    let sealed = Sealed::new().await;
    let (old, folder) = (sealed.key_file(), sealed.test.folder.path().to_owned());
    std::fs::write(next_file(&folder), hex::encode([7; 32])).expect("written");
    let sealed = sealed.reopened_as_it_is().await;
    sealed.assert_readable().await;
    assert_eq!((sealed.key_file(), next_file(&folder).exists()), (old, false));
    rotate_master_key(&sealed.test.store, None).await.expect("rotated");
}

on_both_engines!(a_master_key_that_was_given_is_replaced_by_one_that_is_given);
async fn a_master_key_that_was_given_is_replaced_by_one_that_is_given() {
    let sealed = Sealed::new().await;
    let (old, folder) = (sealed.key_file(), sealed.test.folder.path().to_owned());
    let given =
        |key: Option<Secret<String>>, sealed: &Sealed| OpenOptions { master_key: key, ..options(&folder, &sealed.test.clock) };
    let with_old = given(Some(old.trim().into()), &sealed);
    let sealed = sealed.reopened(with_old).await.expect("opens");
    let refused = rotate_master_key(&sealed.test.store, None).await.expect_err("none is given").to_string();
    assert!(refused.contains("HOOKTABLE_NEW_MASTER_KEY"), "{refused}");
    assert!(rotate_master_key(&sealed.test.store, Some(old.trim().into())).await.is_err(), "the same one");
    assert!(matches!(rotate_master_key(&sealed.test.store, Some("short".into())).await, Err(StoreError::BadMasterKey { .. })));
    let rotated = rotate_master_key(&sealed.test.store, key_text(9)).await.expect("rotated");
    assert_eq!(rotated, Rotated { data_keys: 2, was_given: true });
    assert_eq!(sealed.key_file(), old, "the key file is none of its business");
    let with_new = given(key_text(9), &sealed);
    let sealed = sealed.reopened(with_new).await.expect("opens");
    sealed.assert_readable().await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_new_key_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let sealed = Sealed::new().await;
    rotate_master_key(&sealed.test.store, None).await.expect("rotated");
    let mode = std::fs::metadata(sealed.test.folder.path().join("master.key")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Another process rotates, and its new key is put beside the key file here: as if the answer to this process's own commit had been lost.
async fn rotated_without_an_answer(sealed: &Sealed) {
    let elsewhere = tempfile::tempdir().expect("a folder");
    for file in ["master.key", "state.url"] {
        std::fs::copy(sealed.test.folder.path().join(file), elsewhere.path().join(file)).expect("copied");
    }
    let other = Store::open(options(elsewhere.path(), &sealed.test.clock)).await.expect("opens");
    rotate_master_key(&other, None).await.expect("rotated");
    other.close().await;
    std::fs::copy(elsewhere.path().join("master.key"), next_file(sealed.test.folder.path())).expect("copied");
}

#[tokio::test]
async fn a_rotation_whose_commit_was_not_answered_is_finished_by_the_next_one() {
    if is_skipped() {
        return;
    }
    Engine::Postgres.choose();
    let sealed = Sealed::new().await;
    rotated_without_an_answer(&sealed).await;
    rotate_master_key(&sealed.test.store, None).await.expect("rotated");
    sealed.assert_readable().await;
    sealed.reopened_as_it_is().await.assert_readable().await;
}

/// The server ends the connection in the commit, so that nobody can tell whether it came about: this time it did not.
#[tokio::test]
async fn a_rotation_that_was_cut_off_leaves_a_key_that_fits_and_can_be_repeated() {
    if is_skipped() {
        return;
    }
    Engine::Postgres.choose();
    let sealed = Sealed::new().await;
    let old = sealed.key_file();
    for statement in [
        "create function cut_off() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$",
        "create constraint trigger cut_off after update on meta deferrable initially deferred for each row execute function cut_off()",
    ] {
        run_sql(&sealed.test, statement).await;
    }
    let error = rotate_master_key(&sealed.test.store, None).await.expect_err("cut off");
    assert!(matches!(error, StoreError::CutOff { .. }), "{error}");
    assert_eq!(sealed.key_file(), old);
    sealed.assert_readable().await;
    run_sql(&sealed.test, "drop trigger cut_off on meta").await;
    rotate_master_key(&sealed.test.store, None).await.expect("rotated");
    sealed.reopened_as_it_is().await.assert_readable().await;
}
