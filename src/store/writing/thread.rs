//! The thread that writes: a runtime of its own, so that nothing else of the process holds a commit up.

use tokio::sync::watch;

/// How the thread ended, once it has: as it was told to, or because nothing may be written any more, and why. Closed without a word
/// when it died.
pub(crate) type End = watch::Receiver<Option<Result<(), String>>>;

/// Runs what `write` makes on a thread of its own.
pub(crate) fn start<F: Future<Output = Result<(), String>>>(write: impl FnOnce() -> F + Send + 'static) -> std::io::Result<End> {
    let (ended, end) = watch::channel(None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        let alarm = Alarm;
        let outcome = runtime.block_on(write());
        std::mem::forget(alarm);
        if let Err(reason) = &outcome {
            tracing::error!(reason, "the state cannot be written any more; nothing is accepted");
        }
        ended.send_replace(Some(outcome));
    };
    std::thread::Builder::new().name("state-writer".into()).spawn(body)?;
    Ok(end)
}

/// Says so when the thread dies; callers see their messages dropped and are refused from then on.
struct Alarm;

impl Drop for Alarm {
    fn drop(&mut self) {
        tracing::error!("the state writer has died; nothing is accepted any more");
    }
}
