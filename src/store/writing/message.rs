//! What is sent to the writer, and the sending side: bounded in count and bytes, so that a slow disk shows as a refusal and
//! not as memory.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Timestamp;
use crate::model::delivery::Appended;
use crate::model::lane::Claim;
use crate::store::error::{AppendError, FinishError, StoreError};
use crate::store::intake_form::PreparedDelivery;
use crate::store::queue::claim::Wanted;
use crate::store::queue::closing::Closing;
use crate::store::sql::Connection;

/// The most deliveries and bytes that may wait for the writer.
const QUEUED_APPENDS: usize = 8192;
const QUEUED_BYTES: usize = 64 << 20;
const QUEUED_WORK: usize = 1024;

/// A delivery for the inbox.
pub(crate) struct AppendMessage {
    pub(crate) delivery: PreparedDelivery,
    pub(crate) weight: usize,
    pub(crate) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// Everything else that writes.
pub(crate) enum Work {
    /// The end of a claim.
    Close(Box<Closing>, oneshot::Sender<Result<(), FinishError>>),
    /// Lanes to work on.
    Claim(Wanted, oneshot::Sender<Result<Vec<Claim>, StoreError>>),
    /// Statements of one noun.
    Job(Job),
    /// No more messages; what was sent before is still done.
    Stop,
}

/// The value of a job, its type known to the one who sent it.
pub(crate) type Product = Box<dyn Any + Send>;
type JobFunction = Box<dyn for<'a> Fn(&'a mut Connection, Timestamp) -> BoxFuture<'a, Result<Product, StoreError>> + Send>;

/// Statements of one noun, run inside the round's transaction; again when another instance was in its way.
pub(crate) struct Job {
    pub(crate) run: JobFunction,
    /// Whether workers should look for work after it.
    pub(crate) wakes: bool,
    pub(crate) answer: oneshot::Sender<Result<Product, StoreError>>,
}

/// The sending side.
#[derive(Clone)]
pub(crate) struct Writer {
    appends: mpsc::Sender<AppendMessage>,
    work: mpsc::Sender<Work>,
    queued_bytes: Arc<AtomicUsize>,
}

/// The receiving side.
pub(crate) struct Mailbox {
    pub(crate) appends: mpsc::Receiver<AppendMessage>,
    pub(crate) work: mpsc::Receiver<Work>,
    pub(crate) queued_bytes: Arc<AtomicUsize>,
}

/// Both sides.
pub(crate) fn channel() -> (Writer, Mailbox) {
    let (append_sender, appends) = mpsc::channel(QUEUED_APPENDS);
    let (work_sender, work) = mpsc::channel(QUEUED_WORK);
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let writer = Writer { appends: append_sender, work: work_sender, queued_bytes: Arc::clone(&queued_bytes) };
    (writer, Mailbox { appends, work, queued_bytes })
}

impl Writer {
    /// Appends a delivery; answered after the commit, or refused. When this is dropped before its batch begins, so is the delivery.
    pub(crate) async fn append(&self, delivery: PreparedDelivery) -> Result<Appended, AppendError> {
        let weight = delivery.weight();
        let queued = self.queued_bytes.fetch_add(weight, Ordering::Relaxed);
        if queued > 0 && queued + weight > QUEUED_BYTES {
            self.queued_bytes.fetch_sub(weight, Ordering::Relaxed);
            return Err(unavailable(format!("{queued} bytes wait to be written already")));
        }
        let (answer, committed) = oneshot::channel();
        if let Err(error) = self.appends.try_send(AppendMessage { delivery, weight, answer }) {
            self.queued_bytes.fetch_sub(weight, Ordering::Relaxed);
            return Err(match error {
                mpsc::error::TrySendError::Full(_) => {
                    unavailable(format!("{QUEUED_APPENDS} deliveries wait to be written already"))
                }
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed.into(),
            });
        }
        committed.await.map_err(|_| StoreError::Closed)?
    }

    /// Ends a claim.
    pub(crate) async fn close(&self, closing: Closing) -> Result<(), FinishError> {
        let (answer, closed) = oneshot::channel();
        self.send(Work::Close(Box::new(closing), answer)).await?;
        closed.await.map_err(|_| StoreError::Closed)?
    }

    /// Claims lanes.
    pub(crate) async fn claim(&self, wanted: Wanted) -> Result<Vec<Claim>, StoreError> {
        let (answer, claimed) = oneshot::channel();
        self.send(Work::Claim(wanted, answer)).await?;
        claimed.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs statements of one noun.
    pub(crate) async fn run<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Connection, Timestamp) -> BoxFuture<'a, Result<T, StoreError>> + Clone + Send + 'static,
    {
        self.submit(job, false).await
    }

    /// Runs statements of one noun that make work due.
    pub(crate) async fn run_and_wake<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Connection, Timestamp) -> BoxFuture<'a, Result<T, StoreError>> + Clone + Send + 'static,
    {
        self.submit(job, true).await
    }

    /// Leaves statements for the next round without waiting for them; false when there is no room.
    pub(crate) fn leave<F>(&self, job: F) -> bool
    where
        F: for<'a> FnOnce(&'a mut Connection, Timestamp) -> BoxFuture<'a, Result<(), StoreError>> + Clone + Send + 'static,
    {
        let (answer, _) = oneshot::channel();
        self.work.try_send(Work::Job(Job { run: boxed(job), wakes: false, answer })).is_ok()
    }

    /// Tells the writer to finish what it has and end.
    pub(crate) async fn stop(&self) {
        let _ = self.work.send(Work::Stop).await;
    }

    async fn submit<T, F>(&self, job: F, wakes: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Connection, Timestamp) -> BoxFuture<'a, Result<T, StoreError>> + Clone + Send + 'static,
    {
        let (answer, done) = oneshot::channel();
        self.send(Work::Job(Job { run: boxed(job), wakes, answer })).await?;
        let product = done.await.map_err(|_| StoreError::Closed)??;
        Ok(*product.downcast::<T>().expect("`boxed` put a `T` into it"))
    }

    async fn send(&self, work: Work) -> Result<(), StoreError> {
        self.work.send(work).await.map_err(|_| StoreError::Closed)
    }
}

fn boxed<T, F>(job: F) -> JobFunction
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Connection, Timestamp) -> BoxFuture<'a, Result<T, StoreError>> + Clone + Send + 'static,
{
    Box::new(move |connection, now| {
        let running = job.clone()(connection, now);
        Box::pin(async move { running.await.map(|value| Box::new(value) as Product) })
    })
}

fn unavailable(reason: String) -> AppendError {
    AppendError::Unavailable { reason }
}
