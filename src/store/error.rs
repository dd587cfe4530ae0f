//! What the store says when it cannot do what it was asked. Cheap to clone, because one failed commit answers many callers.

use std::path::PathBuf;
use std::sync::Arc;

use super::sql::READ_LIMIT;

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
    #[error("the state has schema {found}, this program knows up to {known}\nhint: use the newer program that wrote it")]
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
    /// The state file is not where it was opened.
    #[error("the state file `{}` was moved, removed or replaced while it was open\nhint: put it back, or start again to use what is there", .path.display())]
    Displaced {
        /// Where it was opened.
        path: PathBuf,
    },
    /// What waits for a moment has to be moved with the clock before anything else is done.
    #[error("the clock has gone back")]
    ClockWentBack,
    /// The database server cannot be reached, or the connection to it broke. Whether what was under way is stored is not known.
    #[error("the state database is not there: {reason}")]
    CutOff {
        /// What happened.
        reason: String,
    },
    /// The database server is there, but cannot hold a state.
    #[error("cannot keep the state in `{place}`: {reason}")]
    Unsuitable {
        /// The URL, masked.
        place: String,
        /// What is wrong, with a hint.
        reason: String,
    },
}

impl StoreError {
    /// Whether another instance was in the way, so that the same done again may succeed.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self.sqlstate().as_deref(), Some("40001" | "40P01"))
    }

    /// Whether a lock was not had within the time that a statement may wait for one.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.sqlstate().as_deref() == Some("55P03")
    }

    /// Whether the connection is of no more use.
    pub(crate) fn is_cut_off(&self) -> bool {
        matches!(self, Self::CutOff { .. })
    }

    /// Whether there is no room on the disk: by SQLite's codes a write that found none, or a log index that could not grow.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.code_of_sqlite().as_deref(), Some("13" | "4874"))
    }

    /// Whether what was written before may not be on the disk though it looks so: a failed fsync, by SQLite's codes.
    pub(crate) fn lost_sync(&self) -> bool {
        matches!(self.code_of_sqlite().as_deref(), Some("1034" | "1290"))
    }

    /// Whether a statement was ended because it took too long, by SQLite's code.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.code_of_sqlite().as_deref() == Some("9")
    }

    fn code_of_sqlite(&self) -> Option<String> {
        let Self::Database(error) = self else { return None };
        let error = error.as_database_error()?.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
        sqlx::error::DatabaseError::code(error).map(|code| code.into_owned())
    }

    fn sqlstate(&self) -> Option<String> {
        let Self::Database(error) = self else { return None };
        error.as_database_error()?.code().map(|code| code.into_owned())
    }
}

/// What a server says when it ends the connection: it shuts down, crashed, starts, or was told to end this one.
fn is_farewell(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("57P") || code.starts_with("08") || code == "25P03")
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::Io(error) => Self::CutOff { reason: error.to_string() },
            sqlx::Error::Tls(error) => Self::CutOff { reason: error.to_string() },
            sqlx::Error::Protocol(reason) => Self::CutOff { reason },
            sqlx::Error::PoolTimedOut => Self::TooSlow { seconds: READ_LIMIT.as_secs() },
            error if is_farewell(&error) => Self::CutOff { reason: error.to_string() },
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
