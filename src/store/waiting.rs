//! Senders that wait for what becomes of their deliveries: kept in memory, told by whoever ends records in this process.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use tokio::sync::{Notify, watch};

use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;

/// The most senders that wait for one source.
pub const MOST: usize = 64;

/// Who waits.
#[derive(Default)]
pub struct Waiting {
    known: Mutex<Known>,
    begun: Notify,
}

#[derive(Default)]
struct Known {
    closed: bool,
    deliveries: HashMap<DeliveryId, (String, watch::Sender<Course>)>,
}

/// What is known of a delivery that someone waits for.
#[derive(Clone, Debug, Default)]
struct Course {
    open: BTreeSet<u32>,
    over: Option<Over>,
    fetched: Option<Fetched>,
    ended_at: Option<Timestamp>,
}

/// Why nobody waits any longer although not all is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    Failed,
    Released,
}

/// What was fetched for a record: what its reply may look at besides what was known before.
#[derive(Clone, Debug, Default)]
pub struct Fetched(pub Vec<(String, Arc<Json>)>);

/// What a try of some records came to.
#[derive(Clone, Debug)]
pub enum News {
    /// They are done, or nothing is to be done.
    Ended(Option<Fetched>),
    /// They failed, whether or not they are tried again.
    Failed,
}

/// All records of a delivery have ended well.
#[derive(Clone, Debug)]
pub struct Ended {
    /// When the last of them did.
    pub at: Timestamp,
    /// What was fetched for the first one, if it was run here.
    pub fetched: Option<Fetched>,
}

/// A place among those who wait; given up when dropped.
pub struct Place {
    waiting: Arc<Waiting>,
    delivery: DeliveryId,
    course: watch::Receiver<Course>,
}

impl Waiting {
    /// A place for the sender of a delivery with these open records, before it is stored. None when too many wait, or the program stops.
    pub fn enter(self: &Arc<Self>, source: &str, delivery: DeliveryId, open: BTreeSet<u32>) -> Option<Place> {
        let mut known = self.known();
        let of_source = known.deliveries.values().filter(|(known, _)| known == source).count();
        if known.closed || of_source >= MOST {
            return None;
        }
        let (sender, course) = watch::channel(Course { open, ..Course::default() });
        known.deliveries.insert(delivery, (source.to_owned(), sender));
        Some(Place { waiting: Arc::clone(self), delivery, course })
    }

    /// Tells those who wait for these records.
    pub fn tell(&self, records: impl Iterator<Item = (DeliveryId, u32)>, news: &News, now: Timestamp) {
        let known = self.known();
        if known.deliveries.is_empty() {
            return;
        }
        for (delivery, number) in records {
            let Some((_, course)) = known.deliveries.get(&delivery) else { continue };
            course.send_modify(|course| course.hear(number, news, now));
        }
    }

    /// Nobody waits any longer, and nobody will: the program stops.
    pub fn close(&self) {
        self.known().closed = true;
        self.release();
    }

    /// Nobody who waits now waits any longer.
    pub fn release(&self) {
        let known = self.known();
        known
            .deliveries
            .values()
            .for_each(|(_, course)| course.send_modify(|course| course.over = course.over.or(Some(Over::Released))));
    }

    /// Until a delivery that is waited for has been stored.
    pub async fn begun(&self) {
        self.begun.notified().await;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Course {
    fn hear(&mut self, number: u32, news: &News, now: Timestamp) {
        match news {
            News::Failed => self.over = Some(Over::Failed),
            News::Ended(fetched) => {
                self.open.remove(&number);
                if number == 0 {
                    self.fetched.clone_from(fetched);
                }
                self.ended_at = Some(now);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.open.is_empty() || self.over.is_some()
    }
}

impl Place {
    /// Until all records have ended well; nothing when one failed or nobody waits any longer. The delivery is stored by now.
    pub async fn ended(&mut self) -> Option<Ended> {
        self.waiting.begun.notify_one();
        let course = self.course.wait_for(Course::is_over).await.ok()?.clone();
        let at = course.ended_at.filter(|_| course.open.is_empty())?;
        Some(Ended { at, fetched: course.fetched })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.known().deliveries.remove(&self.delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000);

    fn delivery(number: i64) -> DeliveryId {
        DeliveryId::at(Timestamp::from_micros(number * 1_000_000))
    }

    #[tokio::test]
    async fn a_sender_hears_when_the_last_record_has_ended() {
        let waiting = Arc::new(Waiting::default());
        let (one, other) = (delivery(1), delivery(2));
        let mut place = waiting.enter("a", one, BTreeSet::from([0, 2])).expect("a place");
        let fetched = Fetched(vec![("order".to_owned(), Arc::new(Json::from(7)))]);
        waiting.tell([(one, 0), (other, 2)].into_iter(), &News::Ended(Some(fetched)), NOW);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), place.ended()).await.is_err(), "one is open");
        waiting.tell([(one, 2)].into_iter(), &News::Ended(None), NOW);
        let ended = place.ended().await.expect("ended");
        assert_eq!((ended.at, ended.fetched.map(|fetched| fetched.0.len())), (NOW, Some(1)));
    }

    #[tokio::test]
    async fn a_failure_and_the_end_of_the_program_are_heard_at_once() {
        let waiting = Arc::new(Waiting::default());
        let (one, other) = (delivery(1), delivery(2));
        let mut failing = waiting.enter("a", one, BTreeSet::from([0])).expect("a place");
        let mut released = waiting.enter("a", other, BTreeSet::from([0])).expect("a place");
        waiting.tell([(one, 0)].into_iter(), &News::Failed, NOW);
        assert!(failing.ended().await.is_none());
        waiting.close();
        assert!(released.ended().await.is_none());
        assert!(waiting.enter("a", delivery(3), BTreeSet::from([0])).is_none(), "it stops");
    }

    #[test]
    fn only_so_many_wait_for_a_source_and_a_place_is_free_again_when_it_is_dropped() {
        let waiting = Arc::new(Waiting::default());
        let enter = |source: &str, number: i64| waiting.enter(source, delivery(number), BTreeSet::from([0]));
        let most = i64::try_from(MOST).expect("small");
        let mut places: Vec<Place> = (0..most).map(|number| enter("a", number).expect("a place")).collect();
        assert!(enter("a", most).is_none());
        assert!(enter("b", most).is_some(), "another source has places of its own");
        places.pop();
        assert!(enter("a", most).is_some());
    }
}
