//! What both engines hand over when a state is opened, and where it can be.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use super::sql::{Connection, Readers};
use super::writing::message::Writer;
use super::writing::thread::End;
use crate::secret::{MASK, Secret};

/// Where the state is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a file of SQLite, which one process has open; a lock file and the write-ahead log stand beside it.
    File(PathBuf),
    /// In a database of PostgreSQL, which several processes may share: `postgres://USER@HOST/DATABASE`.
    Server(Secret<String>),
}

impl Place {
    /// What may be seen of it: of a URL neither user nor password nor options.
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Server(url) => masked_url(url.expose()),
        }
    }

    /// Whether several processes may share it.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

/// A URL without what may be secret: everything behind a path of SQLite, everything but scheme, host and database of others. Where it
/// is not certain what is the password, nothing but the scheme.
pub fn masked_url(text: &str) -> String {
    if let Some((scheme, address)) = text.split_once("://")
        && scheme != "sqlite"
        && address.split_once('?').is_some_and(|(_, behind)| behind.contains('@'))
    {
        return format!("{scheme}://{MASK}");
    }
    let (shown, rest) = text.split_once('?').map_or((text, ""), |(shown, _)| (shown, MASK));
    let rest = if rest.is_empty() { String::new() } else { format!("?{rest}") };
    match shown.split_once("://") {
        Some((scheme, address)) if scheme != "sqlite" => {
            let address = address.rsplit_once('@').map_or(address.to_owned(), |(_, host)| format!("{MASK}@{host}"));
            format!("{scheme}://{address}{rest}")
        }
        _ => format!("{shown}{rest}"),
    }
}

/// A state with the newest schema.
pub(crate) struct Opened {
    /// What is read and written with until the writer runs.
    pub(crate) connection: Connection,
    pub(crate) readers: Readers,
}

/// A writer that runs.
pub(crate) struct Started {
    pub(crate) writer: Writer,
    pub(crate) work_arrived: Arc<Notify>,
    pub(crate) end: End,
}

#[cfg(test)]
mod tests {
    use super::masked_url;

    #[test]
    fn no_part_of_a_password_is_shown_whatever_is_in_it() {
        for (url, shown) in [
            ("postgres://me:pass@host/db", "postgres://•••@host/db"),
            ("postgres://me:p@ss@host/db?sslmode=require", "postgres://•••@host/db?•••"),
            ("postgres://host/db?password=pass", "postgres://host/db?•••"),
            ("postgres://me:pa?ss@host/db", "postgres://•••"),
            ("postgres://host/db?user=me&password=pa@ss", "postgres://•••"),
            ("sqlite://data/a@b.db?mode=ro", "sqlite://data/a@b.db?•••"),
            ("data/a@b.db", "data/a@b.db"),
        ] {
            assert_eq!(masked_url(url), shown);
        }
    }
}
