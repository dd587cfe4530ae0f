//! When the program is asked to stop: by SIGTERM, by ctrl-c.

use tokio::signal::unix::{SignalKind, signal};

/// Waits until the program is asked to stop; says by what.
pub async fn asked_to_stop() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "an interrupt",
    })
}
