//! Records that wait while the route file changes what admission computes.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::engines::{Engine, on_both_engines};
use super::harness::{LEASE, TestStore, attempt, ending, options, queue, queue_in, record};
use crate::model::bundle::ActiveVersion;
use crate::model::delivery::DeliveryId;
use crate::model::lane::Claim;
use crate::model::record::{AdmittedRecord, Fate, RecordState};
use crate::model::tenant::Tenant;
use crate::store::hands::Hands;
use crate::store::lanes::{ClaimRequest, End};
use crate::store::records::{self, Filter, Readmitted};
use crate::store::{Store, lanes, tenants};

/// What a version of the route file makes of the record of a thing. From 10 on it also says whose the thing is.
pub(super) type Version = (u8, fn(u8) -> Fate);

pub(super) const BY_THING: Version = (1, |thing| queue(&format!("thing/{thing}")));
const BY_OTHER_NAME: Version = (2, |thing| queue(&format!("other/{thing}")));
const BY_PARITY: Version = (3, |thing| queue(&format!("parity/{}", thing % 2)));
const NOT_THE_FIRST: Version = (4, |thing| if thing == 0 { Fate::Ignore("not wanted".into()) } else { queue("all") });

const WITH_THE_NEXT: Version = (5, |thing| {
    let next = format!("thing/{}", (thing + 1) % 4);
    queue_in(&[&format!("thing/{thing}"), &next])
});

pub(super) struct Shop {
    pub(super) test: TestStore,
    pub(super) things: BTreeMap<DeliveryId, u8>,
    pub(super) version: Version,
}

fn active(version: Version) -> [ActiveVersion; 1] {
    [ActiveVersion { source: "shop".into(), admit_hash: [version.0; 32] }]
}

fn admitted(thing: u8, version: Version) -> AdmittedRecord {
    let owner = |id: i64| Tenant { id, name: format!("tenant{id}") };
    let tenant = (version.0 >= 10).then(|| owner(i64::from((thing + version.0) % 2) + 1));
    AdmittedRecord { tenant, ..record(0, version.1(thing)) }
}

impl Shop {
    pub(super) async fn new() -> Self {
        let test = TestStore::new().await;
        for name in ["tenant1", "tenant2"] {
            tenants::add(&test.store, name).await.expect("added");
        }
        Self { test, things: BTreeMap::new(), version: BY_THING }
    }

    async fn arrive(&mut self, thing: u8) -> DeliveryId {
        self.arrive_under(thing, self.version).await
    }

    pub(super) async fn arrive_under(&mut self, thing: u8, version: Version) -> DeliveryId {
        let mut delivery = self.test.delivery("shop", None, vec![admitted(thing, version)]);
        delivery.admit_hash = [version.0; 32];
        let id = self.test.append(delivery).await;
        self.things.insert(id, thing);
        id
    }

    pub(super) async fn claim(&self) -> Vec<Claim> {
        let versions = active(self.version);
        let request = ClaimRequest { owner: 1, versions: &versions, hands: Hands::for_anyone(1), lease: Duration::from_secs(60) };
        lanes::claim(&self.test.store, request).await.expect("claimed")
    }

    /// One look as a worker has it, at most two records; whether it did something.
    pub(super) async fn look(&self) -> bool {
        let (store, admit_hash) = (&self.test.store, [self.version.0; 32]);
        let changed = records::changed_pools(store, &active(self.version)).await.expect("pools");
        let Some(pool) = changed.into_iter().find(|pool| !pool.is_paused || !pool.is_held) else { return false };
        if !pool.is_paused {
            records::pause_changed(store, &pool, admit_hash).await.expect("paused");
            return true;
        }
        let open = records::next_open(store, &pool, 2, u64::MAX).await.expect("open");
        let again = |readmission: records::Readmission| Readmitted {
            admitted: admitted(self.things[&readmission.delivery], self.version),
            readmission,
            runs_late: false,
            further: Vec::new(),
        };
        records::readmit_open(store, &pool, admit_hash, open.into_iter().map(again).collect()).await.expect("moved");
        true
    }

    pub(super) async fn settle(&self) {
        while self.look().await {}
    }

    /// Runs what is due; the deliveries in the order in which they ran.
    async fn run_all(&self) -> Vec<DeliveryId> {
        let mut ran = Vec::new();
        loop {
            self.settle().await;
            let Some(claim) = self.claim().await.pop() else { return ran };
            ran.push(claim.records[0].delivery);
            self.test.end(&claim, End::Done).await;
        }
    }

    pub(super) async fn reopen(&mut self) {
        self.test.store.clone().close().await;
        if Engine::current() == Engine::Postgres {
            // nobody knows that whoever held a lane is gone, but the leases say so
            self.test.pass(LEASE);
        }
        self.test.store = Store::open(options(self.test.folder.path(), &self.test.clock)).await.expect("opens");
    }
}

on_both_engines!(what_waits_goes_to_the_lanes_of_the_new_file_and_arrivals_come_behind_it);
async fn what_waits_goes_to_the_lanes_of_the_new_file_and_arrivals_come_behind_it() {
    let mut shop = Shop::new().await;
    let mut put = Vec::new();
    for thing in [2, 4, 1, 2, 4] {
        put.push(shop.arrive(thing).await);
    }
    shop.version = BY_PARITY;
    assert!(shop.claim().await.is_empty(), "lanes of another version are not worked on");
    assert!(shop.look().await && shop.look().await);
    let waiting = records::list(&shop.test.store, &Filter::default()).await.expect("listed").remove(0);
    assert_eq!(waiting.state, RecordState::Held);
    assert_eq!(waiting.reason.as_deref(), Some("the route file changed: admitted again"));
    put.push(shop.arrive(4).await);
    assert!(shop.claim().await.is_empty(), "nothing runs while some have not been moved");
    assert_eq!(lanes::next_due(&shop.test.store, &active(shop.version)).await.expect("asked"), None);
    assert_eq!(shop.test.broken_lanes().await, 0);
    let ran = shop.run_all().await;
    let even = |all: &[DeliveryId]| all.iter().copied().filter(|id| shop.things[id] % 2 == 0).collect::<Vec<_>>();
    assert_eq!((even(&ran), ran.len()), (even(&put), 6));
}

on_both_engines!(what_the_new_file_does_not_want_is_ignored_with_its_reason);
async fn what_the_new_file_does_not_want_is_ignored_with_its_reason() {
    let mut shop = Shop::new().await;
    let (unwanted, wanted) = (shop.arrive(0).await, shop.arrive(1).await);
    shop.version = NOT_THE_FIRST;
    assert_eq!(shop.run_all().await, [wanted]);
    assert_eq!(shop.test.state(unwanted).await, RecordState::Ignored);
}

on_both_engines!(a_record_that_a_worker_holds_ends_first_and_is_admitted_again_only_if_it_is_still_open);
async fn a_record_that_a_worker_holds_ends_first_and_is_admitted_again_only_if_it_is_still_open() {
    let mut shop = Shop::new().await;
    let (first, second) = (shop.arrive(1).await, shop.arrive(1).await);
    let claim = shop.claim().await.remove(0);
    shop.version = BY_OTHER_NAME;
    shop.settle().await;
    assert_eq!(shop.test.state(first).await, RecordState::Running);
    assert!(shop.claim().await.is_empty(), "the second would overtake the first");
    let at = shop.test.clock.now();
    lanes::retry(&shop.test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await.expect("put off");
    shop.settle().await;
    let claim = shop.claim().await.remove(0);
    assert_eq!((claim.records[0].delivery, claim.records[0].attempts), (first, 1));
    assert_eq!(claim.records[0].first_failed_at, Some(at), "the same run goes on");
    shop.test.end(&claim, End::Done).await;
    assert_eq!(shop.run_all().await, [second]);
}

on_both_engines!(a_lane_goes_on_backing_off_while_the_record_that_failed_stays_in_it);
async fn a_lane_goes_on_backing_off_while_the_record_that_failed_stays_in_it() {
    for (version, backs_off) in [((9, BY_THING.1), true), (BY_OTHER_NAME, false)] {
        let mut shop = Shop::new().await;
        shop.arrive(1).await;
        let claim = shop.claim().await.remove(0);
        let at = shop.test.clock.now() + Duration::from_secs(600);
        lanes::retry(&shop.test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await.expect("put off");
        shop.version = version;
        shop.settle().await;
        assert_eq!(shop.claim().await.is_empty(), backs_off);
        shop.test.clock.move_to(at);
        assert_eq!(shop.run_all().await.len(), 1);
        assert_eq!(shop.test.broken_lanes().await, 0);
    }
}

on_both_engines!(a_request_that_was_under_way_while_the_file_changed_is_admitted_again);
async fn a_request_that_was_under_way_while_the_file_changed_is_admitted_again() {
    let mut shop = Shop::new().await;
    shop.arrive(1).await;
    shop.version = BY_OTHER_NAME;
    shop.settle().await;
    let late = shop.arrive_under(1, BY_THING).await;
    let next = shop.arrive(1).await;
    assert!(shop.claim().await.is_empty());
    assert_eq!(shop.run_all().await[1..], [late, next]);
}

#[derive(Clone, Debug)]
enum Operation {
    Arrive { thing: u8, late: bool },
    Claim,
    End { claim: usize, done: bool },
    Change { version: usize },
    Look,
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (0u8..4, prop::bool::weighted(0.2)).prop_map(|(thing, late)| Operation::Arrive { thing, late }),
        4 => Just(Operation::Claim),
        3 => (0usize..4, any::<bool>()).prop_map(|(claim, done)| Operation::End { claim, done }),
        2 => (0usize..4).prop_map(|version| Operation::Change { version }),
        4 => Just(Operation::Look),
        1 => Just(Operation::Reopen),
    ]
}

/// Does one; what ran because of it is added to `ran`.
async fn step(shop: &mut Shop, claims: &mut Vec<Claim>, ran: &mut Vec<DeliveryId>, before: &mut Version, operation: Operation) {
    match operation {
        Operation::Arrive { thing, late } => {
            let version = if late { *before } else { shop.version };
            shop.arrive_under(thing, version).await;
        }
        Operation::Claim => claims.extend(shop.claim().await),
        Operation::End { claim, done } if claim < claims.len() => {
            let claim = claims.swap_remove(claim);
            let store = &shop.test.store;
            let ended = if done {
                lanes::finish(store, &claim, ending(&claim, End::Done)).await
            } else {
                lanes::retry(store, &claim, claim.records[0].id, attempt(), "503".into(), shop.test.clock.now()).await
            };
            if ended.is_ok() && done {
                ran.push(claim.records[0].delivery);
            }
        }
        Operation::End { .. } => {}
        Operation::Change { version } => {
            *before = shop.version;
            shop.version = [BY_THING, BY_OTHER_NAME, BY_PARITY, WITH_THE_NEXT][version];
        }
        Operation::Look => drop(shop.look().await),
        Operation::Reopen => {
            // whoever held a lane is gone
            claims.clear();
            shop.reopen().await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_changes_when_each_things_records_run_once_and_in_the_order_they_came(
        engine in Engine::any(),
        operations in prop::collection::vec(operation(), 1..60),
    ) {
        engine.choose();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut shop = Shop::new().await;
            let (mut claims, mut ran, mut before) = (Vec::new(), Vec::new(), BY_THING);
            for operation in operations {
                step(&mut shop, &mut claims, &mut ran, &mut before, operation).await;
                assert_eq!(shop.test.broken_lanes().await, 0);
            }
            shop.reopen().await;
            ran.extend(shop.run_all().await);
            let listed = records::list(&shop.test.store, &Filter { limit: 1000, ..Filter::default() }).await.expect("listed");
            for thing in 0..4 {
                let of_thing = |id: &DeliveryId| shop.things[id] == thing;
                let came: Vec<DeliveryId> = listed.iter().rev().map(|record| record.delivery).filter(of_thing).collect();
                let ran: Vec<DeliveryId> = ran.iter().copied().filter(of_thing).collect();
                assert_eq!(ran, came, "thing {thing}");
            }
        });
    }
}
