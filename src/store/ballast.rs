//! A file that takes up room beside the state, to be given up when the disk is full: then what was accepted can still be finished.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How much room it keeps.
const BYTES: usize = 32 << 20;
/// How often it is tried to have the room back.
const EVERY: Duration = Duration::from_secs(5);

/// Makes it beside the state file `state`, unless it is there.
pub fn make(state: &Path) -> std::io::Result<()> {
    let path = path_beside(state);
    if std::fs::metadata(&path).is_ok_and(|found| found.len() == BYTES as u64) {
        return Ok(());
    }
    let filled = fill(&path);
    if filled.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    filled
}

/// What cannot be compressed, so that the room is really taken.
fn fill(path: &Path) -> std::io::Result<()> {
    let mut block = vec![0; 256 << 10];
    getrandom::fill(&mut block)?;
    let mut file = std::fs::File::create(path)?;
    for _ in 0..BYTES / block.len() {
        file.write_all(&block)?;
    }
    Ok(())
}

fn path_beside(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".ballast");
    name.into()
}

/// The ballast as the writer knows it.
pub(crate) struct Ballast {
    state: PathBuf,
    /// When it was tried last to have it back, since it was given up.
    missed: Option<Instant>,
}

impl Ballast {
    /// That of a state file.
    pub(crate) fn of(state: &Path) -> Self {
        Self { state: state.to_owned(), missed: None }
    }

    /// Makes room, if it is there.
    pub(crate) fn give_up(&mut self) {
        if std::fs::remove_file(path_beside(&self.state)).is_ok() {
            tracing::error!(
                "the disk is full: the ballast was given up so that what was accepted can be finished; deliveries are refused until there is room again"
            );
            self.missed = Some(Instant::now());
        }
    }

    /// Whether it is given up; from time to time it is tried to have it back.
    pub(crate) fn is_given_up(&mut self) -> bool {
        if self.missed.is_some_and(|tried| tried.elapsed() >= EVERY) {
            self.missed = match make(&self.state) {
                Ok(()) => {
                    tracing::info!("there is room on the disk again; deliveries are taken again");
                    None
                }
                Err(_) => Some(Instant::now()),
            };
        }
        self.missed.is_some()
    }
}
