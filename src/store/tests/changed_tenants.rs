//! Records that wait while the route file changes whose they are.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::changed_lanes::{BY_THING, Shop, Version};
use super::harness::{attempt, ending};
use crate::model::delivery::DeliveryId;
use crate::model::lane::Claim;
use crate::model::record::RecordState;
use crate::store::lanes;
use crate::store::lanes::End;
use crate::store::records::{self, Filter};

/// Things are nobody's under the first, and change hands between the others. Lanes keep their names: what ran under other names is
/// not known to a record that changes hands.
const VERSIONS: [Version; 3] = [BY_THING, (10, BY_THING.1), (11, BY_THING.1)];

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
        6 => (0u8..3, prop::bool::weighted(0.2)).prop_map(|(thing, late)| Operation::Arrive { thing, late }),
        4 => Just(Operation::Claim),
        3 => (0usize..4, any::<bool>()).prop_map(|(claim, done)| Operation::End { claim, done }),
        2 => (0usize..VERSIONS.len()).prop_map(|version| Operation::Change { version }),
        4 => Just(Operation::Look),
        1 => Just(Operation::Reopen),
    ]
}

/// A run: what ran, and as whose.
type Ran = (DeliveryId, Option<String>);

struct World {
    shop: Shop,
    claims: Vec<Claim>,
    ran: Vec<Ran>,
    before: Version,
}

impl World {
    async fn end(&mut self, claim: Claim, done: bool) {
        let (store, record) = (&self.shop.test.store, &claim.records[0]);
        assert_eq!(claim.tenant, record.tenant, "a lane holds one tenant's records");
        let ended = if done {
            lanes::finish(store, &claim, ending(&claim, End::Done)).await
        } else {
            lanes::retry(store, &claim, record.id, attempt(), "503".into(), self.shop.test.clock.now()).await
        };
        if ended.is_ok() && done {
            self.ran.push((record.delivery, record.tenant.as_ref().map(|tenant| tenant.name.clone())));
        }
    }

    async fn step(&mut self, operation: Operation) {
        match operation {
            Operation::Arrive { thing, late } => {
                let version = if late { self.before } else { self.shop.version };
                self.shop.arrive_under(thing, version).await;
            }
            Operation::Claim => self.claims.extend(self.shop.claim().await),
            Operation::End { claim, done } if claim < self.claims.len() => {
                let claim = self.claims.swap_remove(claim);
                self.end(claim, done).await;
            }
            Operation::End { .. } => {}
            Operation::Change { version } => {
                self.before = self.shop.version;
                self.shop.version = VERSIONS[version];
            }
            Operation::Look => drop(self.shop.look().await),
            Operation::Reopen => {
                self.claims.clear();
                self.shop.reopen().await;
            }
        }
    }

    async fn run_all(&mut self) {
        loop {
            self.shop.settle().await;
            let Some(claim) = self.shop.claim().await.pop() else { return };
            self.end(claim, true).await;
        }
    }

    /// Every record ran once, or a newer one of its thing ran or was superseded in its stead; and as one tenant's, records of a
    /// thing ran in the order they came.
    async fn check(&self) {
        let listed = records::list(&self.shop.test.store, &Filter { limit: 1000, ..Filter::default() }).await.expect("listed");
        let came: Vec<DeliveryId> = listed.iter().rev().map(|record| record.delivery).collect();
        let at = |id: &DeliveryId| came.iter().position(|known| known == id).expect("it came");
        let mut newest: BTreeMap<(u8, &Option<String>), usize> = BTreeMap::new();
        for (id, tenant) in &self.ran {
            let before = newest.insert((self.shop.things[id], tenant), at(id));
            assert!(before.is_none_or(|before| before < at(id)), "an older one ran after a newer one, or one ran twice");
        }
        for record in &listed {
            let times = self.ran.iter().filter(|(id, _)| *id == record.delivery).count();
            let thing = self.shop.things[&record.delivery];
            let newer = came[at(&record.delivery) + 1..].iter().any(|id| self.shop.things[id] == thing);
            match record.state {
                RecordState::Done => assert_eq!(times, 1),
                RecordState::Superseded => assert!(times == 0 && newer, "it is newer than all others"),
                state => panic!("it is {state}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whoever_things_belong_to_when_no_older_record_undoes_a_newer_one_and_none_is_lost(
        operations in prop::collection::vec(operation(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World { shop: Shop::new().await, claims: Vec::new(), ran: Vec::new(), before: BY_THING };
            for operation in operations {
                world.step(operation).await;
                assert_eq!(world.shop.test.broken_lanes().await, 0);
            }
            world.shop.reopen().await;
            world.run_all().await;
            world.check().await;
        });
    }
}
