//! What a sender is answered in the words of the route file, at once or when its records have ended. What cannot be made of it is no
//! fault of the sender's: it is told the delivery's id, as without a reply.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::clock::Timestamp;
use crate::model::answered::Answered;
use crate::model::delivery::DeliveryId;
use crate::model::event::EventDocument;
use crate::secret::Mask;
use crate::steps::admission::{Item, NotChosen};
use crate::steps::reply::Reply;
use crate::store::records::Standing;
use crate::store::waiting::{Ended, Place};
use crate::store::{Store, records};

/// How often it is looked whether another process has done it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same for a clock that is moved by hand.
const TICK: Duration = Duration::from_millis(5);

/// What is known of a delivery when its reply is made.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) source: &'a str,
    pub(super) delivery: DeliveryId,
    pub(super) received_at: Timestamp,
    pub(super) mask: &'a Mask,
}

/// What is answered once a delivery is stored.
pub(super) enum Answer {
    /// The delivery's id.
    Ordinary,
    /// 202 and the delivery's id.
    Accepted,
    /// What the route file says.
    Reply(Answered),
    /// The same, once all records have ended.
    Later(Box<Later>),
}

/// A reply that waits.
pub(super) struct Later {
    reply: Arc<Reply>,
    /// What it looks at, as far as it is known.
    document: EventDocument,
    place: Place,
    until: Timestamp,
    /// Whether some of its records may be stored as ended, because they came before.
    may_have_come_before: bool,
    source: String,
    delivery: DeliveryId,
    mask: Mask,
}

/// The reply to a delivery: that of its first record.
pub(super) fn of(items: &[Item<'_>], store: &Store, about: About<'_>) -> Answer {
    let Some((first, reply)) = items.first().and_then(|first| Some((first, first.reply.as_ref()?))) else {
        return Answer::Ordinary;
    };
    let Some(wait) = reply.wait else { return rendered(reply, &first.document, about) };
    if items.iter().any(|item| matches!(item.chosen, Err(NotChosen::Failed(_)))) {
        return Answer::Accepted;
    }
    let open: BTreeSet<u32> = items.iter().filter(|item| item.chosen.is_ok()).map(|item| item.number).collect();
    let several = open.len() > 1;
    if open.is_empty() {
        return rendered(reply, &first.document, about);
    }
    let Some(place) = store.waiting().enter(about.source, about.delivery, open) else { return Answer::Accepted };
    let later = Later {
        reply: Arc::clone(reply),
        document: first.document.only(&reply.reads().first_names()),
        place,
        until: about.received_at + wait,
        may_have_come_before: several,
        source: about.source.to_owned(),
        delivery: about.delivery,
        mask: about.mask.clone(),
    };
    Answer::Later(Box::new(later))
}

fn rendered(reply: &Reply, document: &EventDocument, About { source, delivery, mask, .. }: About<'_>) -> Answer {
    match reply.render(document) {
        Ok(answered) => Answer::Reply(answered),
        Err(error) => {
            let reason = mask.text(&error.0);
            tracing::warn!(source, delivery.id = %delivery, reason, "the reply cannot be made, so the sender is told the delivery's id");
            Answer::Ordinary
        }
    }
}

impl Later {
    /// Waits for the records of a delivery that is stored by now.
    pub(super) async fn answer(mut self, store: &Store) -> Answer {
        let looks = store.is_shared() || self.may_have_come_before;
        let ended = tokio::select! {
            biased;
            ended = self.place.ended() => ended,
            ended = done_elsewhere(store, self.delivery), if looks => ended,
            () = passed(store, self.until) => None,
        };
        let Some(ended) = ended.filter(|ended| ended.at <= self.until) else { return Answer::Accepted };
        match self.complete(ended) {
            Some(document) => {
                let about = About { source: &self.source, delivery: self.delivery, received_at: self.until, mask: &self.mask };
                rendered(&self.reply, &document, about)
            }
            None => Answer::Accepted,
        }
    }

    /// The document with what was fetched; none where the reply looks at that and another process has it.
    fn complete(&self, ended: Ended) -> Option<EventDocument> {
        let mut document = self.document.clone();
        match ended.fetched {
            Some(fetched) => fetched.0.into_iter().for_each(|(name, value)| document.set(&name, value)),
            None if self.reply.reads_later => return None,
            None => {}
        }
        Some(document)
    }
}

/// Looks from time to time whether all records have ended; nothing once one has failed.
async fn done_elsewhere(store: &Store, delivery: DeliveryId) -> Option<Ended> {
    loop {
        sleep(LOOK_EVERY).await;
        match records::standing(store, delivery).await {
            Ok(Standing::Ended(at)) => return Some(Ended { at, fetched: None }),
            Ok(Standing::Failed) => return None,
            Ok(Standing::Open) | Err(_) => {}
        }
    }
}

/// Until the store's clock says so.
async fn passed(store: &Store, until: Timestamp) {
    loop {
        let left = until.since(store.clock().now());
        if left.is_zero() {
            return;
        }
        sleep(if store.clock().is_moved_by_hand() { TICK } else { left }).await;
    }
}
