//! Whose a record is: one delivery may hold records of several tenants, and none of them ends up with another's.

use std::time::Duration;

use super::engines::on_both_engines;
use super::harness::{ADMIT_HASH, LEASE, TestStore, coalescing, queue, record, with_id};
use crate::model::bundle::ActiveVersion;
use crate::model::delivery::{Appended, DeliveryId};
use crate::model::lane::Claim;
use crate::model::record::{AdmittedRecord, Fate, RecordState};
use crate::model::tenant::Tenant;
use crate::store::hands::Hands;
use crate::store::lanes::{ClaimRequest, End};
use crate::store::records::{self, Filter, Readmission, Readmitted, Replay};
use crate::store::{inbox, lanes, tenants};

struct Two {
    test: TestStore,
    acme: Tenant,
    globex: Tenant,
}

fn of(tenant: &Tenant, integration: i64, record: AdmittedRecord) -> AdmittedRecord {
    AdmittedRecord { tenant: Some(tenant.clone()), integration: Some(integration), ..record }
}

fn whose(claim: &Claim) -> (&str, Option<i64>) {
    let record = &claim.records[0];
    assert_eq!(claim.tenant, record.tenant);
    (record.tenant.as_ref().map_or("-", |tenant| tenant.name.as_str()), record.integration)
}

impl Two {
    async fn new() -> Self {
        let test = TestStore::new().await;
        let acme = tenants::add(&test.store, "acme").await.expect("added");
        let globex = tenants::add(&test.store, "globex").await.expect("added");
        Self { test, acme, globex }
    }

    async fn put(&self, records: Vec<AdmittedRecord>) -> DeliveryId {
        self.test.append(self.test.delivery("shop", None, records)).await
    }

    /// What was asked to run again, admitted as `admit` says.
    async fn readmit(&self, admit: impl Fn(&Readmission) -> AdmittedRecord) -> u64 {
        let asked = records::to_readmit(&self.test.store, &self.test.versions(&["shop"]), 100, u64::MAX).await.expect("asked");
        let readmitted = asked.into_iter().map(|readmission| again(readmission, &admit, false)).collect();
        records::readmit(&self.test.store, readmitted, ADMIT_HASH).await.expect("readmitted")
    }

    async fn listed(&self, tenant: &str) -> Vec<(DeliveryId, u32, Option<i64>)> {
        let filter = Filter { tenant: Some(tenant.to_owned()), ..Filter::default() };
        let listed = records::list(&self.test.store, &filter).await.expect("listed");
        listed.into_iter().map(|record| (record.delivery, record.number, record.integration)).collect()
    }
}

fn again(readmission: Readmission, admit: impl Fn(&Readmission) -> AdmittedRecord, runs_late: bool) -> Readmitted {
    let admitted = AdmittedRecord { number: readmission.number, ..admit(&readmission) };
    Readmitted { readmission, admitted, runs_late, further: Vec::new() }
}

on_both_engines!(one_delivery_may_hold_records_of_several_tenants_each_in_its_own_pool_and_lane);
async fn one_delivery_may_hold_records_of_several_tenants_each_in_its_own_pool_and_lane() {
    let two = Two::new().await;
    let (acme, globex) = (&two.acme, &two.globex);
    let records = vec![
        of(acme, 1, record(0, queue("order/1"))),
        of(globex, 2, record(1, queue("order/1"))),
        record(2, Fate::Bury("no integration has this shop".into())),
    ];
    let id = two.put(records).await;
    let mut claims = two.test.claim(10).await;
    // which of the lanes gets the lower fence is nobody's business
    claims.sort_by(|one, other| whose(one).cmp(&whose(other)));
    assert_eq!(claims.iter().map(whose).collect::<Vec<_>>(), [("acme", Some(1)), ("globex", Some(2))]);
    assert_ne!(claims[0].lane_hash, claims[1].lane_hash, "the same label of two tenants is two lanes");
    assert_eq!(two.listed("acme").await, [(id, 0, Some(1))]);
    assert_eq!(two.listed("globex").await, [(id, 1, Some(2))]);
    let stored = records::request(&two.test.store, id).await.expect("unsealed");
    assert_eq!(stored.caller.tenant, None, "the delivery belongs to nobody");
    for claim in &claims {
        two.test.end(claim, End::Done).await;
    }
    assert_eq!(two.test.broken_lanes().await, 0);
}

on_both_engines!(a_delivery_that_one_tenants_credentials_brought_never_holds_anothers_records);
async fn a_delivery_that_one_tenants_credentials_brought_never_holds_anothers_records() {
    let two = Two::new().await;
    let records = vec![of(&two.globex, 2, record(0, queue("a"))), record(1, queue("a"))];
    let mut delivery = two.test.delivery("shop", Some(&two.acme), records.clone());
    delivery.records = records;
    let id = two.test.append(delivery).await;
    assert!(two.listed("globex").await.is_empty());
    assert_eq!(two.listed("acme").await, [(id, 1, None), (id, 0, None)]);
    assert_eq!(two.test.states(id).await, [(0, 1, RecordState::Dead), (1, 1, RecordState::Waiting)]);
    records::ask_replay(&two.test.store, id, Replay { number: Some(0), ..Replay::default() }).await.expect("asked");
    assert_eq!(two.readmit(|_| of(&two.globex, 2, record(0, queue("a")))).await, 1);
    assert!(two.listed("globex").await.is_empty(), "nor when it is admitted again");
    assert_eq!(two.test.states(id).await[0].2, RecordState::Dead);
}

on_both_engines!(ids_of_two_integrations_are_two_ids_and_the_same_one_is_known_again);
async fn ids_of_two_integrations_are_two_ids_and_the_same_one_is_known_again() {
    let two = Two::new().await;
    let with = |tenant: &Tenant, integration| of(tenant, integration, with_id(0, "a-1", queue("a")));
    let first = two.put(vec![with(&two.acme, 1)]).await;
    two.put(vec![with(&two.acme, 2)]).await;
    two.put(vec![with(&two.globex, 3)]).await;
    two.put(vec![with_id(0, "a-1", queue("a"))]).await;
    let second = two.test.delivery("shop", None, vec![with(&two.acme, 1)]);
    assert_eq!(inbox::append(&two.test.store, second).await.expect("answered"), Appended::Duplicate(first));
}

on_both_engines!(what_is_the_same_work_of_two_integrations_is_not_merged);
async fn what_is_the_same_work_of_two_integrations_is_not_merged() {
    let two = Two::new().await;
    for integration in [1, 1, 2] {
        two.put(vec![of(&two.acme, integration, coalescing("a", 7))]).await;
    }
    two.test.pass(Duration::from_secs(20));
    let claim = two.test.claim_one().await;
    assert_eq!((claim.records.len(), whose(&claim)), (2, ("acme", Some(1))));
    two.test.end(&claim, End::Done).await;
    assert_eq!(whose(&two.test.claim_one().await), ("acme", Some(2)));
}

on_both_engines!(a_dead_record_whose_integration_was_added_since_is_replayed_as_that_tenants);
async fn a_dead_record_whose_integration_was_added_since_is_replayed_as_that_tenants() {
    let two = Two::new().await;
    two.put(vec![of(&two.acme, 1, record(0, queue("order/1")))]).await;
    let id = two.put(vec![record(0, Fate::Bury("no integration has this shop".into()))]).await;
    records::ask_replay(&two.test.store, id, Replay::default()).await.expect("asked");
    assert_eq!(two.readmit(|_| of(&two.acme, 1, record(0, queue("order/1")))).await, 1);
    assert_eq!(two.listed("acme").await[0], (id, 0, Some(1)));
    let first = two.test.claim(10).await.remove(0);
    assert_ne!(first.records[0].delivery, id, "it stands behind what waits in the tenant's lane");
    two.test.end(&first, End::Done).await;
    let claim = two.test.claim_one().await;
    assert_eq!((claim.records[0].delivery, whose(&claim)), (id, ("acme", Some(1))));
    two.test.end(&claim, End::Done).await;
    assert_eq!(two.test.broken_lanes().await, 0);
}

/// Records that wait as nobody's when a changed file makes them acme's; `ADMIT_HASH` is the version before.
struct Changing {
    two: Two,
    after: [u8; 32],
}

impl Changing {
    async fn new() -> Self {
        Self { two: Two::new().await, after: [9; 32] }
    }

    fn acmes(&self) -> AdmittedRecord {
        of(&self.two.acme, 1, record(0, queue("order/1")))
    }

    async fn arrive_after(&self) -> DeliveryId {
        let mut delivery = self.two.test.delivery("shop", None, vec![self.acmes()]);
        delivery.admit_hash = self.after;
        self.two.test.append(delivery).await
    }

    fn versions(&self) -> [ActiveVersion; 1] {
        [ActiveVersion { source: "shop".into(), admit_hash: self.after }]
    }

    async fn claim(&self) -> Option<Claim> {
        let versions = self.versions();
        let request = ClaimRequest { owner: 1, versions: &versions, hands: Hands::for_anyone(1), lease: LEASE };
        lanes::claim(&self.two.test.store, request).await.expect("claimed").pop()
    }

    async fn settle(&self, runs_late: bool) {
        let store = &self.two.test.store;
        for _ in 0..100 {
            let changed = records::changed_pools(store, &self.versions()).await.expect("pools");
            let Some(pool) = changed.into_iter().find(|pool| !pool.is_paused || !pool.is_held) else { return };
            if !pool.is_paused {
                records::pause_changed(store, &pool, self.after).await.expect("paused");
                continue;
            }
            let open = records::next_open(store, &pool, 2, u64::MAX).await.expect("open");
            let readmitted = open.into_iter().map(|one| again(one, |_| self.acmes(), runs_late)).collect();
            records::readmit_open(store, &pool, self.after, readmitted).await.expect("moved");
        }
        panic!("it does not end");
    }

    async fn run_all(&self) -> Vec<DeliveryId> {
        let mut ran = Vec::new();
        while let Some(claim) = self.claim().await {
            assert_eq!(whose(&claim), ("acme", Some(1)));
            ran.push(claim.records[0].delivery);
            self.two.test.end(&claim, End::Done).await;
        }
        assert_eq!(self.two.test.broken_lanes().await, 0);
        ran
    }
}

on_both_engines!(records_that_a_changed_file_makes_a_tenants_go_to_its_pool_in_their_order);
async fn records_that_a_changed_file_makes_a_tenants_go_to_its_pool_in_their_order() {
    let changing = Changing::new().await;
    let mut put = Vec::new();
    for lane in ["a", "b", "a", "c", "b"] {
        put.push(changing.two.test.put(lane).await);
    }
    changing.settle(false).await;
    put.push(changing.arrive_after().await);
    assert_eq!(changing.run_all().await, put);
    assert_eq!(changing.two.listed("acme").await.len(), 6);
}

on_both_engines!(a_record_that_becomes_a_tenants_does_not_undo_what_came_to_that_tenant_later);
async fn a_record_that_becomes_a_tenants_does_not_undo_what_came_to_that_tenant_later() {
    for runs_late in [false, true] {
        let changing = Changing::new().await;
        let old = changing.two.test.put("a").await;
        let newer = changing.arrive_after().await;
        assert_eq!(changing.run_all().await, [newer]);
        changing.settle(runs_late).await;
        assert_eq!(changing.run_all().await, if runs_late { vec![old] } else { vec![] });
        let state = if runs_late { RecordState::Done } else { RecordState::Superseded };
        assert_eq!(changing.two.test.state(old).await, state);
    }
}

on_both_engines!(a_record_that_enters_a_pool_of_another_version_is_admitted_again_with_it);
async fn a_record_that_enters_a_pool_of_another_version_is_admitted_again_with_it() {
    let changing = Changing::new().await;
    let old = changing.two.test.put("a").await;
    let before = changing.two.put(vec![of(&changing.two.acme, 1, record(0, queue("old/1")))]).await;
    changing.settle(true).await;
    assert_eq!(changing.run_all().await, [old, before]);
}
