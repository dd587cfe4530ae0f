//! How long a target database may take, and for what.

use std::time::Duration;

/// The limits of one database. What the server is told to give up on by itself is shorter than what we wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For a connection to be made and prepared.
    pub(super) connect: Duration,
    /// For another program's lock.
    pub(super) lock: Duration,
    /// For one statement, after which a server that can ends it.
    pub(super) statement: Duration,
    /// For the answer to one statement, after which we give the connection up.
    pub(super) answer: Duration,
    /// For a transaction from its beginning to its end, however well each of its statements is answered.
    pub(super) transaction: Duration,
    /// Without any answer while somebody waits for one: those who wait for a connection wait no longer.
    pub(super) silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            lock: Duration::from_secs(5),
            statement: Duration::from_secs(30),
            answer: Duration::from_secs(35),
            transaction: Duration::from_secs(5 * 60),
            silence: Duration::from_secs(10),
        }
    }
}
