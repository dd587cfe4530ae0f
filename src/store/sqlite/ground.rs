//! What the writer stands on: whether there is room for more, and whether the file is still the one that was opened.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::connect::log_path;
use crate::store::ballast::Ballast;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, query};

/// What is looked at before each round.
pub(super) struct Ground {
    path: PathBuf,
    log: PathBuf,
    max_bytes: Option<u64>,
    ballast: Ballast,
    /// Device and number of the file and of its log, as they were opened.
    opened: [Option<(u64, u64)>; 2],
    is_displaced: bool,
}

impl Ground {
    pub(super) fn new(path: &Path, max_bytes: Option<u64>) -> Self {
        let log = log_path(path);
        let opened = [identity(path), identity(&log)];
        let ballast = Ballast::of(path);
        Self { path: path.to_owned(), log, max_bytes, ballast, opened, is_displaced: false }
    }

    /// Fails while the file that was opened is not at its place: what is written into it would be gone after the next start.
    pub(super) fn check_place(&mut self) -> Result<(), StoreError> {
        let is_displaced = [identity(&self.path), identity(&self.log)] != self.opened;
        if is_displaced != self.is_displaced {
            self.is_displaced = is_displaced;
            if is_displaced {
                tracing::error!(path = %self.path.display(), "the state file was moved, removed or replaced; nothing is accepted until it is back");
            } else {
                tracing::info!("the state file is back");
            }
        }
        if is_displaced { Err(StoreError::Displaced { path: self.path.clone() }) } else { Ok(()) }
    }

    /// Why nothing more may be appended: the disk is full, or the state has reached 95 % of its bound. Free pages of the file are room.
    pub(super) async fn fullness(&mut self, connection: &mut Connection) -> Option<String> {
        if self.ballast.is_given_up() {
            return Some("the disk is full".to_owned());
        }
        let bound = self.max_bytes?;
        let most = bound / 100 * 95;
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut used = length(&self.path) + length(&self.log);
        if used >= most {
            used = used.saturating_sub(free_bytes(connection).await.unwrap_or(0));
        }
        (used >= most).then(|| format!("the state holds {used} of at most {bound} bytes"))
    }

    /// Makes room on a disk that is full.
    pub(super) fn make_room(&mut self) {
        self.ballast.give_up();
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

async fn free_bytes(connection: &mut Connection) -> Result<u64, StoreError> {
    let sql = "select freelist_count * page_size as bytes from pragma_freelist_count, pragma_page_size";
    let bytes: i64 = query(sql).fetch_one(connection).await?.get("bytes")?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
