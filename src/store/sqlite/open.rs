//! Opening a state file: that we are alone, that the schema is ours, and that no lease of a former life stands.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Notify;

use super::schema::migrate;
use super::writer::{WriterParts, start};
use super::{connect, place};
use crate::clock::{Clock, Timestamp};
use crate::store::engine::{Opened, Started};
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Readers, query};
use crate::store::writing::message::channel;

/// A state file with the newest schema, which nobody else has open.
pub(crate) async fn open(path: &Path) -> Result<(Opened, File), StoreError> {
    place::check(path)?;
    let lock = lock(path)?;
    let mut connection = connect::writer(path).await?;
    migrate(&mut connection).await?;
    let connection = Connection::Sqlite(connection);
    Ok((Opened { connection, readers: Readers::Sqlite(connect::readers(path).await?) }, lock))
}

/// Ends what a former life held and starts the writer.
pub(crate) async fn begin(
    mut connection: Connection,
    lock: File,
    path: &Path,
    clock: Clock,
    max_bytes: Option<u64>,
) -> Result<Started, StoreError> {
    clear_owners(&mut connection, clock.now()).await?;
    let (writer, mailbox) = channel();
    let work_arrived = Arc::new(Notify::new());
    let Connection::Sqlite(connection) = connection else { return Err(StoreError::Closed) };
    let parts = WriterParts {
        connection,
        mailbox,
        path: path.to_owned(),
        max_bytes,
        clock,
        work_arrived: Arc::clone(&work_arrived),
        lock,
    };
    Ok(Started { writer, work_arrived, end: start(parts)? })
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let cannot_open = |error: std::io::Error| StoreError::CannotOpen { path: lock_path.clone(), reason: error.to_string() };
    let file = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(cannot_open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(cannot_open(error)),
    }
}

/// We are alone, so whoever held a lane is gone: their leases end now.
async fn clear_owners(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "update lane set owner = null, due_at = case when waiting > 0 then $1 end where owner is not null";
    query(sql).bind(now).execute(connection).await?;
    Ok(())
}
