//! The thread that writes: a runtime of its own, so that nothing else of the process holds a commit up.

use tokio::sync::oneshot;

/// Runs what `write` makes on a thread of its own. What it returns is resolved when that has ended.
pub(crate) fn start<F: Future<Output = ()>>(
    write: impl FnOnce() -> F + Send + 'static,
) -> std::io::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        let alarm = Alarm;
        runtime.block_on(write());
        std::mem::forget(alarm);
        let _ = ended.send(());
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
