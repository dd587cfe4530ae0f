//! A store in a folder of its own, under a clock that is moved by hand, and short ways to fill it.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::engines::{new_place, place};
use crate::clock::{Clock, Timestamp};
use crate::model::attempt::{Attempt, Outcome};
use crate::model::bundle::ActiveVersion;
use crate::model::caller::StoredCaller;
use crate::model::delivery::{AdmittedDelivery, Appended, DeliveryId, Request};
use crate::model::lane::{AdmittedLane, Claim};
use crate::model::record::{AdmittedRecord, Fate, RecordState, SenderId};
use crate::model::tenant::Tenant;
use crate::secret::Secret;
use crate::store::hands::Hands;
use crate::store::lanes::{ClaimRequest, End, Ending};
use crate::store::records::{Filter, Readmission, Readmitted};
use crate::store::sql::query;
use crate::store::{OpenOptions, Store, inbox, lanes, records};

pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const ADMIT_HASH: [u8; 32] = [2; 32];

pub(super) struct TestStore {
    pub(super) store: Store,
    pub(super) folder: tempfile::TempDir,
    pub(super) clock: Clock,
}

pub(super) fn options(folder: &Path, clock: &Clock) -> OpenOptions {
    OpenOptions {
        place: place(folder),
        master_key: None,
        key_file: folder.join("master.key"),
        clock: clock.clone(),
        max_bytes: None,
    }
}

impl TestStore {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(Timestamp::parse("2026-11-21T10:00:00Z").expect("a moment"));
        new_place(folder.path()).await;
        let store = Store::open(options(folder.path(), &clock)).await.expect("opens");
        Self { store, folder, clock }
    }

    pub(super) fn pass(&self, duration: Duration) {
        self.clock.move_to(self.clock.now() + duration);
    }

    pub(super) async fn append(&self, delivery: AdmittedDelivery) -> DeliveryId {
        let id = delivery.id;
        assert_eq!(inbox::append(&self.store, delivery).await.expect("appended"), Appended::Stored);
        id
    }

    pub(super) async fn put(&self, lane: &str) -> DeliveryId {
        self.append(self.delivery("shop", None, vec![record(0, queue(lane))])).await
    }

    /// A delivery that this tenant's credentials brought; its records are that tenant's.
    pub(super) fn delivery(&self, source: &str, tenant: Option<&Tenant>, records: Vec<AdmittedRecord>) -> AdmittedDelivery {
        // Bodies differ, so that none is taken for another.
        static TURN: AtomicU8 = AtomicU8::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let of_tenant = |record: AdmittedRecord| AdmittedRecord { tenant: record.tenant.or(tenant.cloned()), ..record };
        AdmittedDelivery {
            id: DeliveryId::at(self.clock.now()),
            source: source.to_owned(),
            received_at: self.clock.now(),
            caller: StoredCaller { tenant: tenant.cloned(), scheme: "none".into(), ..StoredCaller::default() },
            request: Request {
                method: "POST".into(),
                path: format!("/{source}"),
                query: "key=hunter2".into(),
                headers: vec![("x-odd".into(), Bytes::from_static(b"\xff\x00"))],
                body: Bytes::from(vec![turn; 40]),
                peer: None,
            },
            masked: "{\"method\":\"POST\"}".into(),
            bundle_hash: [1; 32],
            admit_hash: ADMIT_HASH,
            records: records.into_iter().map(of_tenant).collect(),
        }
    }

    /// The version that every delivery of the harness is admitted by.
    pub(super) fn versions(&self, sources: &[&str]) -> Vec<ActiveVersion> {
        sources.iter().map(|source| ActiveVersion { source: (*source).to_owned(), admit_hash: ADMIT_HASH }).collect()
    }

    pub(super) async fn claim_from(&self, sources: &[&str], limit: usize) -> Vec<Claim> {
        let versions = self.versions(sources);
        let request = ClaimRequest { owner: 1, versions: &versions, hands: Hands::for_anyone(limit), lease: LEASE };
        lanes::claim(&self.store, request).await.expect("claimed")
    }

    pub(super) async fn claim(&self, limit: usize) -> Vec<Claim> {
        self.claim_from(&["shop"], limit).await
    }

    pub(super) async fn claim_one(&self) -> Claim {
        self.claim(1).await.pop().expect("something is due")
    }

    pub(super) async fn end(&self, claim: &Claim, end: End) {
        lanes::finish(&self.store, claim, ending(claim, end)).await.expect("finished");
    }

    /// Admits what was asked to run again to a lane.
    pub(super) async fn readmit_all(&self, lane: &str) -> u64 {
        let asked = records::to_readmit(&self.store, &self.versions(&["shop"]), 100, u64::MAX).await.expect("asked");
        let readmitted = asked.into_iter().map(|readmission| self.readmitted(readmission, queue(lane))).collect();
        records::readmit(&self.store, readmitted, ADMIT_HASH).await.expect("readmitted")
    }

    pub(super) fn readmitted(&self, readmission: Readmission, fate: Fate) -> Readmitted {
        let admitted = record(readmission.number, fate);
        Readmitted { readmission, admitted, runs_late: true, further: Vec::new() }
    }

    pub(super) async fn states(&self, delivery: DeliveryId) -> Vec<(u32, u32, RecordState)> {
        let filter = Filter { delivery: Some(delivery), ..Filter::default() };
        let mut listed = records::list(&self.store, &filter).await.expect("listed");
        listed.sort_by_key(|record| (record.number, record.run));
        listed.iter().map(|record| (record.number, record.run, record.state)).collect()
    }

    pub(super) async fn state(&self, delivery: DeliveryId) -> RecordState {
        self.states(delivery).await.last().expect("a record").2
    }

    /// Lanes whose number of waiting records is not that of their open records, or which sleep though something waits.
    pub(super) async fn broken_lanes(&self) -> i64 {
        let sql = "select count(*) as count from lane l where l.waiting <>
                (select count(*) from record r where r.lane_id = l.lane_id and r.state = 0 and r.aside_until is null) + l.gates
                + (select count(*) from forward_job j where j.lane_id = l.lane_id and j.state = 0)
            or l.gates <> (select count(*) from gate g where g.lane_id = l.lane_id and g.pos < 4611686018427387904)
            or (l.due_at is null) <> (l.waiting = 0 and l.owner is null or l.held_by is not null)
            or l.held_by is not null and (l.waiting = 0 or l.owner is not null)";
        let row = self.store.read_first(query(sql)).await.expect("counted").expect("a row");
        row.get("count").expect("a number")
    }
}

pub(super) fn ending(claim: &Claim, end: End) -> Ending {
    let (last, others) = claim.records.split_last().expect("a claim has records");
    let superseded = others.iter().map(|record| record.id).collect();
    Ending { record: last.id, superseded, end, attempt: Some(attempt()), forwards: Vec::new() }
}

pub(super) fn queue(lane: &str) -> Fate {
    Fate::Queue(AdmittedLane { label: lane.to_owned(), quiet: Duration::ZERO, most: Duration::ZERO, others: Vec::new() })
}

/// The fate of a record that waits in the first of these lanes and must head them all.
pub(super) fn queue_in(lanes: &[&str]) -> Fate {
    let others = lanes[1..].iter().map(|lane| (*lane).to_owned()).collect();
    Fate::Queue(AdmittedLane { label: lanes[0].to_owned(), quiet: Duration::ZERO, most: Duration::ZERO, others })
}

pub(super) fn record(number: u32, fate: Fate) -> AdmittedRecord {
    AdmittedRecord {
        number,
        tenant: None,
        integration: None,
        event: Some("made".into()),
        item_sha256: [3; 32],
        work_hash: None,
        sender_id: None,
        fate,
    }
}

/// A record that waits for two quiet seconds, at most ten, and runs together with others of the same work.
pub(super) fn coalescing(lane: &str, work: u8) -> AdmittedRecord {
    let lane =
        AdmittedLane { label: lane.to_owned(), quiet: Duration::from_secs(2), most: Duration::from_secs(10), others: Vec::new() };
    AdmittedRecord { work_hash: Some([work; 32]), ..record(0, Fate::Queue(lane)) }
}

pub(super) fn with_id(number: u32, id: &str, fate: Fate) -> AdmittedRecord {
    let sender_id = SenderId { id: id.to_owned(), remember: Duration::from_secs(3600) };
    AdmittedRecord { sender_id: Some(sender_id), ..record(number, fate) }
}

pub(super) fn attempt() -> Attempt {
    Attempt {
        number: 1,
        started_at: "2026-11-21T10:00:00Z".into(),
        took_ms: 5,
        bundle: "ab".into(),
        outcome: Outcome::Done,
        steps: Vec::new(),
        calls: Vec::new(),
        changes: Vec::new(),
        notes: Vec::new(),
    }
}

pub(super) fn key_text(byte: u8) -> Option<Secret<String>> {
    Some(Secret::new(hex::encode([byte; 32])))
}

pub(super) async fn run_sql(test: &TestStore, sql: &'static str) {
    let job = test.store.writer().run(move |connection, _| {
        Box::pin(async move {
            connection.run(sql).await?;
            Ok(())
        })
    });
    job.await.expect("changed");
}
