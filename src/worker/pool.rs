//! The pool of workers: claims as many lanes as there are free hands, holds their leases while they are worked on, and stops
//! without losing any.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

use super::deliver::{Tools, chance, deliver};
use super::fences;
use super::hands::Workbench;
use super::readmit;
use crate::model::bundle::ActiveVersion;
use crate::model::lane::{Claim, LaneKind};
use crate::routes::table::RouteTable;
use crate::store::hands::Hands;
use crate::store::lanes::ClaimRequest;
use crate::store::{FinishError, StoreError, bundles, lanes};

/// How long a claim holds a lane unless it is prolonged.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long before its end a lease that could not be prolonged is no longer worked under: this part of it.
const MARGIN: u32 = 6;
/// The longest that idle workers go without looking.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest.
const AT_LEAST: Duration = Duration::from_millis(5);
/// The longest where the state is shared and something was claimed a short while ago.
const WHILE_BUSY: Duration = Duration::from_millis(250);
const BUSY_FOR: Duration = Duration::from_secs(5);
/// How long a worker waits after the state failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);
/// How long the end of the program may be put off to give lanes back.
const GIVING_BACK: Duration = Duration::from_secs(2);

/// How many lanes are worked on side by side, and under which number this process claims.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Lanes worked on side by side.
    pub workers: usize,
    /// The number this process claims under.
    pub owner: i64,
    /// How long a claim holds a lane unless it is prolonged.
    pub lease: Duration,
}

/// Works until told to stop, then gives every lane back that is not finished within `grace`. Forwards have as many hands of their own,
/// so that a target that is slow takes none from the records.
pub async fn run(tools: Tools, options: Options, stop: watch::Receiver<bool>, grace: Duration) {
    let unreached = fences::catch_up(&tools).await;
    tokio::spawn(fences::catch_up_late(tools.clone(), unreached, stop.clone()));
    let readmitting = tokio::spawn(readmit::run(tools.clone(), stop.clone()));
    let records = work_on(LaneKind::Records, tools.clone(), options, stop.clone(), grace);
    tokio::join!(records, work_on(LaneKind::Forwards, tools, options, stop, grace));
    // a batch under way is one transaction: it is written whole or not at all
    readmitting.abort();
}

async fn work_on(kind: LaneKind, tools: Tools, options: Options, mut stop: watch::Receiver<bool>, grace: Duration) {
    let bench = Arc::new(Workbench::with_hands(options.workers.max(1)));
    let mut running = JoinSet::new();
    let mut last_claim = Instant::now();
    while !*stop.borrow() {
        while running.try_join_next().is_some() {}
        let claimed = claim(kind, &tools, options, bench.hands()).await;
        let claims = claimed.unwrap_or_else(|error| {
            tracing::error!(%error, "lanes cannot be claimed");
            Vec::new()
        });
        if claims.is_empty() {
            tokio::select! {
                () = wait_for_work(kind, &tools, &bench, last_claim) => {}
                _ = stop.changed() => {}
            }
            continue;
        }
        last_claim = Instant::now();
        for claim in claims {
            let hand = bench.take(claim);
            let tools = tools.clone();
            running.spawn(async move { work_under_lease(&tools, &hand.claim, options.lease).await });
        }
    }
    let finished = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, finished).await.is_err() {
        let cut_off = bench.claims();
        running.shutdown().await;
        give_back(&tools, cut_off).await;
    }
}

/// Lets others have what was cut off here, at once; marks keep it from taking effect twice. What ended after all is not ours to give.
async fn give_back(tools: &Tools, claims: Vec<Arc<Claim>>) {
    let given = join_all(claims.iter().map(|claim| lanes::give_back(&tools.store, claim)));
    match tokio::time::timeout(GIVING_BACK, given).await {
        Ok(given) => {
            let back = given.iter().filter(|given| given.is_ok()).count();
            tracing::info!(lanes = back, "work that was cut off is given back");
        }
        // their leases end by themselves
        Err(_) => tracing::warn!("work that was cut off could not be given back"),
    }
}

/// Does what is due now, one claim after the other, until nothing is: for tests and the demo. Says how many claims were worked on.
pub async fn run_pending(tools: &Tools, owner: i64) -> Result<usize, StoreError> {
    let mut worked = 0;
    loop {
        readmit::readmit_all(tools).await?;
        let mut claims =
            claim(LaneKind::Records, tools, Options { workers: 1, owner, lease: LEASE }, Hands::for_anyone(8)).await?;
        if claims.is_empty() {
            claims = claim(LaneKind::Forwards, tools, Options { workers: 1, owner, lease: LEASE }, Hands::for_anyone(8)).await?;
        }
        if claims.is_empty() {
            return Ok(worked);
        }
        for claim in &claims {
            work_under_lease(tools, claim, LEASE).await;
            worked += 1;
        }
    }
}

async fn claim(kind: LaneKind, tools: &Tools, options: Options, hands: Hands) -> Result<Vec<Claim>, StoreError> {
    let versions = worked_on(tools, &tools.registry.table());
    let request = ClaimRequest { owner: options.owner, versions: &versions, hands, lease: options.lease };
    match kind {
        LaneKind::Records => lanes::claim(&tools.store, request).await,
        LaneKind::Forwards => lanes::claim_forwards(&tools.store, request).await,
    }
}

/// The versions whose work is done here: those that run, and where the state is shared only the newest that any process activated.
pub(super) fn worked_on(tools: &Tools, table: &RouteTable) -> Vec<ActiveVersion> {
    let mut versions = table.active_versions();
    let hash_of = |name: &str| table.source(name).map(|source| source.bundle_hash);
    versions
        .retain(|version| hash_of(&version.source).is_some_and(|hash| bundles::is_newest(&tools.store, &version.source, hash)));
    versions
}

/// Until something was stored, something becomes due, a hand becomes free, or a while has passed.
async fn wait_for_work(kind: LaneKind, tools: &Tools, bench: &Workbench, last_claim: Instant) {
    let put_down = bench.put_down();
    let hands = bench.hands();
    if hands.free() == 0 {
        return put_down.await;
    }
    let is_anyone_at_the_limit = hands.is_anyone_at_the_limit();
    let arrived = tools.store.work_arrived().notified();
    let (shortest, longest) = if tools.store.is_shared() { among_others(last_claim) } else { (AT_LEAST, LOOK_EVERY) };
    let versions = worked_on(tools, &tools.registry.table());
    let due = match kind {
        LaneKind::Records => lanes::next_due(&tools.store, &versions).await,
        LaneKind::Forwards => lanes::next_due_forward(&tools.store, &versions).await,
    };
    let pause = match due {
        // what is due may be of those who have their share: it waits for a hand, not for a moment
        Ok(Some(_)) if is_anyone_at_the_limit => WHILE_BUSY.min(longest),
        Ok(Some(due)) => due.since(tools.store.clock().now()).clamp(shortest, longest),
        Ok(None) => longest,
        Err(_) => AFTER_FAILURE,
    };
    tokio::select! {
        () = arrived => {}
        () = put_down, if is_anyone_at_the_limit => {}
        () = sleep(pause) => {}
    }
}

/// How long to wait where others store work without telling: not long while there is some, and never all at the same moment.
fn among_others(last_claim: Instant) -> (Duration, Duration) {
    let longest = if last_claim.elapsed() < BUSY_FOR { WHILE_BUSY } else { LOOK_EVERY };
    (AT_LEAST * 4, longest.mul_f64(0.75 + 0.5 * chance()))
}

/// Prolongs the lease while the work goes on; stops working when that no longer succeeds.
async fn work_under_lease(tools: &Tools, claim: &Claim, lease: Duration) {
    let mut holds_until = Instant::now() + lease;
    let mut beat = interval_at(Instant::now() + lease / 3, lease / 3);
    let work = deliver(tools, claim);
    tokio::pin!(work);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = beat.tick() => match lanes::prolong(&tools.store, claim, lease).await {
                Ok(()) => holds_until = Instant::now() + lease,
                Err(FinishError::LeaseLost) => break Err(FinishError::LeaseLost),
                Err(error) => tracing::warn!(source = claim.source, %error, "the lease cannot be prolonged"),
            },
            () = tokio::time::sleep_until(holds_until - lease / MARGIN) => break Err(FinishError::LeaseLost),
        }
    };
    match result {
        Ok(()) => {}
        Err(FinishError::LeaseLost) => {
            tracing::warn!(source = claim.source, lane = claim.lane_id, "the lease was lost; another try will come")
        }
        Err(error) => {
            tracing::error!(source = claim.source, %error, "the end of an attempt cannot be stored");
            sleep(AFTER_FAILURE).await;
        }
    }
}
