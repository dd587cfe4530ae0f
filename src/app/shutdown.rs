//! When the program is asked to stop: by SIGTERM, by ctrl-c. The first time it ends what is under way, the second time it does not.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the program to stop.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on they no longer end the program by themselves.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one; says which it was.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "an interrupt",
        }
    }
}
