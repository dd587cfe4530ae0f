//! What a sender is answered in the words of the route file. What cannot be made of it is no fault of the sender's: it is told the
//! delivery's id, as without a reply.

use crate::model::answered::Answered;
use crate::model::delivery::DeliveryId;
use crate::model::event::EventDocument;
use crate::secret::Mask;
use crate::steps::admission::Item;
use crate::steps::reply::Reply;

/// What is known of a delivery when its reply is made.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) source: &'a str,
    pub(super) delivery: DeliveryId,
    pub(super) mask: &'a Mask,
}

/// The reply to a delivery: that of its first record.
pub(super) fn of(items: &[Item<'_>], about: About<'_>) -> Option<Answered> {
    let first = items.first()?;
    rendered(first.reply.as_ref()?, &first.document, about)
}

fn rendered(reply: &Reply, document: &EventDocument, About { source, delivery, mask }: About<'_>) -> Option<Answered> {
    let rendered = reply.render(document);
    rendered
        .inspect_err(|error| {
            let reason = mask.text(&error.0);
            tracing::warn!(source, delivery.id = %delivery, reason, "the reply cannot be made, so the sender is told the delivery's id");
        })
        .ok()
}
