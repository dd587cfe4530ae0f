//! Opening a state on a server: that the server can hold one and that the schema is ours. Whoever opens first makes both.

use std::sync::Arc;

use tokio::sync::Notify;
use uuid::Uuid;

use super::connect::Address;
use super::writer::{WriterParts, start};
use super::{days, schema};
use crate::clock::Clock;
use crate::secret::Secret;
use crate::store::engine::{Opened, Started};
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Readers};
use crate::store::writing::message::channel;

/// Where the state is, opened for reading; nobody else opens it meanwhile.
pub(crate) struct Opening {
    address: Address,
}

/// Connects, checks and migrates.
pub(crate) async fn open(url: &Secret<String>, clock: &Clock) -> Result<(Opened, Opening), StoreError> {
    let address = Address::parse(url)?;
    let mut connection = address.connect().await?;
    address.check(&mut connection).await?;
    schema::lock(&mut connection).await?;
    schema::migrate(&mut connection).await?;
    days::make(&mut connection, clock.now()).await?;
    let readers = Readers::Postgres(address.readers());
    Ok((Opened { connection: connection.into(), readers }, Opening { address }))
}

impl Opening {
    /// Starts the writer, which makes its own connection, and lets others open the state.
    pub(crate) async fn begin(
        self,
        connection: Connection,
        state_id: Uuid,
        clock: Clock,
        max_bytes: Option<u64>,
    ) -> Result<Started, StoreError> {
        if let Connection::Postgres(mut connection) = connection {
            schema::unlock(&mut connection.inner).await?;
            let _ = sqlx::Connection::close(connection.inner).await;
        }
        let (writer, mailbox) = channel();
        let work_arrived = Arc::new(Notify::new());
        let parts =
            WriterParts { address: self.address, state_id, mailbox, max_bytes, clock, work_arrived: Arc::clone(&work_arrived) };
        Ok(Started { writer, work_arrived, end: start(parts)? })
    }
}
