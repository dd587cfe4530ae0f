//! What the store says when it cannot do what it was asked. Cheap to clone, because one failed commit answers many callers.

use std::path::PathBuf;
use std::sync::Arc;

/// Why the store could not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the lock file.
    #[error(
        "the state file `{}` is in use by another process\nhint: stop the other hooktable first, or give this one its own `--data`",
        .path.display()
    )]
    InUse {
        /// The state file.
        path: PathBuf,
    },
    /// The file system or the settings of the database are not what durability needs.
    #[error("cannot open the state file `{}`: {reason}", .path.display())]
    CannotOpen {
        /// The state file, its lock file or the key file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A newer Hooktable wrote this file.
    #[error("the state file has schema {found}, this program knows up to {known}\nhint: use the newer program that wrote it")]
    NewerSchema {
        /// What `meta.schema` says.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The text given as master key is no key.
    #[error("the master key is not usable: {reason}\nhint: 64 hex digits, or base64 of 32 bytes")]
    BadMasterKey {
        /// What is wrong with it; never the key.
        reason: String,
    },
    /// The master key is another one than the one that sealed this state.
    #[error(
        "the master key does not fit this state: its sealed data was written under another one\nhint: restore the key that this state was made with, or that `hooktable secrets rotate-master-key` put in its place; nothing was changed"
    )]
    WrongMasterKey,
    /// There is sealed data but no key file.
    #[error("there is no master key: `{}` is missing and the state holds sealed data\nhint: restore the key file or set HOOKTABLE_MASTER_KEY; a new key would not open what is there", .key_file.display())]
    MissingMasterKey {
        /// Where it was looked for.
        key_file: PathBuf,
    },
    /// Sealed data does not open; it was changed, moved to another row, or its key is gone.
    #[error("{what} cannot be unsealed: it was changed, or belongs to another row or key")]
    Sealed {
        /// What was to be opened.
        what: String,
    },
    /// What is stored contradicts itself.
    #[error("the state is damaged: {0}")]
    Damaged(String),
    /// Nothing by that name or id.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for contradicts what is there, or is no valid name.
    #[error("{0}")]
    Refused(String),
    /// The store is closed, its writer has stopped, or the transaction that held the message was rolled back.
    #[error("the state store is closed or could not commit")]
    Closed,
    /// A read took longer than is allowed.
    #[error("the state store did not answer within {seconds} s")]
    TooSlow {
        /// The limit.
        seconds: u64,
    },
    /// The database refused.
    #[error("the state database failed: {0}")]
    Database(Arc<sqlx::Error>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            other => Self::Database(Arc::new(other)),
        }
    }
}

/// Why a delivery is not in the inbox. The sender has to be asked to try again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing was acknowledged; a later try may be.
    #[error("the inbox is unavailable: {reason}")]
    Unavailable {
        /// Why, for the log.
        reason: String,
    },
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable { reason: error.to_string() }
    }
}

/// Why a claim could not be ended or prolonged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FinishError {
    /// The lane was claimed by someone else since, or given back. Nothing was changed.
    #[error("the lease on the lane is lost")]
    LeaseLost,
    /// The store failed; nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
