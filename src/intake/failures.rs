//! Failed verifications: whoever presents the same wrong credential again and again is answered later and later. Only failures are
//! slowed, after they were verified, so that a rightful sender who shares an address with others never waits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::Digest as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::authenticate::Arrived;
use super::receive::Intake;
use super::rejection::Rejection;
use crate::clock::Timestamp;
use crate::payload::request::document;

/// How many failures of one credential within [`WINDOW`] are answered at once.
const FREE: u32 = 5;
/// How many with whatever credentials: who guesses presents another one each time.
const FREE_GUESSES: u32 = 50;
/// After how long without a failure all is forgotten.
const WINDOW: Duration = Duration::from_secs(60);
/// The first delay; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(5);
/// How many senders are kept in mind.
const MOST_KNOWN: usize = 10_000;
/// How many answers may be waiting at once; each of them holds a connection.
const MOST_DELAYED: usize = 200;

/// Who failed lately, and how often.
pub(super) struct Failures {
    known: Mutex<HashMap<Failing, Count>>,
    delayed: Arc<Semaphore>,
}

/// SHA-256 of the address, the source and the presented credential.
type Failing = [u8; 32];
/// Stands for all of them together.
const ANY_CREDENTIAL: [u8; 32] = [0; 32];

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    last: Timestamp,
}

/// What a failed verification comes to.
pub(super) enum Slowed {
    /// It is answered at once.
    No,
    /// It is answered after this long; the permit is kept until then.
    For(Duration, OwnedSemaphorePermit),
    /// Too many wait already: come again after this long.
    TooMany(Duration),
}

impl Default for Failures {
    fn default() -> Self {
        Self { known: Mutex::default(), delayed: Arc::new(Semaphore::new(MOST_DELAYED)) }
    }
}

impl Failures {
    /// Counts a failure and says what it comes to. `credential` is the digest of what was presented.
    pub(super) fn note(&self, peer: IpAddr, source: &str, credential: &[u8; 32], now: Timestamp) -> Slowed {
        let delay = self.count(failing(peer, source, credential), FREE, now);
        let delay = delay.max(self.count(failing(peer, source, &ANY_CREDENTIAL), FREE_GUESSES, now));
        if delay.is_zero() {
            return Slowed::No;
        }
        match Arc::clone(&self.delayed).try_acquire_owned() {
            Ok(permit) => Slowed::For(delay, permit),
            Err(_) => Slowed::TooMany(LONGEST),
        }
    }

    fn count(&self, failing: Failing, free: u32, now: Timestamp) -> Duration {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN && !known.contains_key(&failing) {
            known.retain(|_, count| now.since(count.last) < WINDOW);
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
        }
        let count = known.entry(failing).or_insert(Count { failures: 0, last: now });
        if now.since(count.last) >= WINDOW {
            count.failures = 0;
        }
        *count = Count { failures: count.failures.saturating_add(1), last: now };
        delay_after(count.failures, free)
    }
}

/// Lets a failed verification wait for its answer; everything else goes on at once, and so does what came over no network.
pub(super) async fn slow(intake: &Intake, arrived: Arrived<'_>, rejection: Rejection) -> Rejection {
    let (Rejection::Unauthorized(_), Some(peer)) = (&rejection, arrived.request.peer) else { return rejection };
    let source = arrived.source;
    let document = if source.auth_reads_body {
        source.admission.read_unverified(arrived.request, arrived.params).document
    } else {
        document(arrived.request, arrived.params)
    };
    let now = intake.store.clock().now();
    match intake.failures.note(peer, &source.name, &source.presented(&document), now) {
        Slowed::No => rejection,
        Slowed::For(delay, _permit) => {
            tokio::time::sleep(delay).await;
            rejection
        }
        Slowed::TooMany(wait) => Rejection::TooMany(wait),
    }
}

/// Nothing for the first few, then 0.1 s, 0.2 s, … up to 5 s.
fn delay_after(failures: u32, free: u32) -> Duration {
    match failures.checked_sub(free + 1) {
        Some(doublings) => FIRST.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST),
        None => Duration::ZERO,
    }
}

fn failing(peer: IpAddr, source: &str, credential: &[u8; 32]) -> Failing {
    sha2::Sha256::new()
        .chain_update(peer.to_string())
        .chain_update([0])
        .chain_update(source)
        .chain_update([0])
        .chain_update(credential)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const A: [u8; 32] = [1; 32];
    const B: [u8; 32] = [2; 32];
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn delay(slowed: &Slowed) -> u128 {
        match slowed {
            Slowed::No => 0,
            Slowed::For(delay, _) => delay.as_millis(),
            Slowed::TooMany(_) => u128::MAX,
        }
    }

    #[test]
    fn the_same_failure_is_answered_later_and_later_and_forgiven_after_a_minute() {
        let (failures, clock) = (Failures::default(), Clock::manual(Timestamp::from_micros(0)));
        let peer = PEER;
        let fail = |credential: &[u8; 32]| delay(&failures.note(peer, "a", credential, clock.now()));
        let delays: Vec<u128> = (0..13).map(|_| fail(&A)).collect();
        assert_eq!(delays, [0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(fail(&B), 0, "another credential from the same address");
        assert_eq!(delay(&failures.note(peer, "b", &A, clock.now())), 0, "at another source");
        assert_eq!(delay(&failures.note(IpAddr::from([192, 0, 2, 2]), "a", &A, clock.now())), 0, "from another address");
        clock.move_to(clock.now() + Duration::from_secs(59));
        assert_eq!(fail(&A), 5000);
        clock.move_to(clock.now() + Duration::from_secs(60));
        assert_eq!(fail(&A), 0);
    }

    #[test]
    fn who_guesses_is_answered_later_too() {
        let (failures, now) = (Failures::default(), Timestamp::from_micros(0));
        let guess = |number: u32| {
            let mut credential = A;
            credential[..4].copy_from_slice(&number.to_be_bytes());
            delay(&failures.note(PEER, "a", &credential, now))
        };
        assert!((0..FREE_GUESSES).all(|number| guess(number) == 0));
        assert_eq!([guess(1000), guess(1001), guess(1002)], [100, 200, 400]);
    }

    #[test]
    fn only_so_many_answers_wait_at_once_and_only_so_many_senders_are_known() {
        let failures = Failures::default();
        let now = Timestamp::from_micros(0);
        let waiting: Vec<Slowed> = (0..MOST_DELAYED + 10).map(|_| failures.note(PEER, "a", &A, now)).collect();
        let turned_away = waiting.iter().filter(|slowed| matches!(slowed, Slowed::TooMany(_))).count();
        assert_eq!(turned_away, 10 - FREE as usize);
        drop(waiting);
        assert!(matches!(failures.note(PEER, "a", &A, now), Slowed::For(..)), "room again");
        for number in 0..2 * MOST_KNOWN {
            failures.note(PEER, &number.to_string(), &A, now);
        }
        assert!(failures.known.lock().expect("not poisoned").len() <= MOST_KNOWN);
    }
}
