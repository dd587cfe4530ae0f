//! The sources that run: what a reload changes and what it must not. A file that does not compile leaves its last good version
//! running; one that vanished runs on for a while; nothing ever fails open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;

use super::compile::World;
use super::load::{Loaded, LoadedFile, Texts, load};
use super::source::Source;
use super::table::{Entry, RouteTable};
use crate::auth::secret::SecretReader;
use crate::clock::{Clock, Timestamp};
use crate::expr::template::Engine;
use crate::model::bundle::Bundle;
use crate::steps::map::Destination;

/// How long a source whose file vanished goes on.
const VANISHED_FOR: Duration = Duration::from_secs(300);

/// Reads a file that belongs to a route file by its path, or says why it cannot.
pub type FileReader = dyn Fn(&str) -> Result<String, String> + Send + Sync;

/// What compiling needs, owned.
pub struct Surroundings {
    /// The databases that writes can go to.
    pub destinations: Vec<Destination>,
    /// Where secrets are asked for.
    pub secrets: Box<dyn SecretReader + Send + Sync>,
    /// Reads samples and tests.
    pub files: Box<FileReader>,
    /// The environments that templates run in.
    pub engine: Engine,
}

impl Surroundings {
    /// The same, borrowed.
    pub fn world(&self) -> World<'_> {
        World {
            destinations: &self.destinations,
            secrets: self.secrets.as_ref(),
            engine: &self.engine,
            files: self.files.as_ref(),
        }
    }
}

/// The running sources.
pub struct Registry {
    surroundings: Surroundings,
    clock: Clock,
    table: ArcSwap<RouteTable>,
    running: Mutex<BTreeMap<String, Running>>,
}

struct Running {
    source: Arc<Source>,
    vanished: Option<Vanished>,
    status: Status,
}

/// That a source has no file any more.
struct Vanished {
    at: Timestamp,
    /// What became of the file, as a clause.
    how: String,
}

impl Running {
    fn new(source: &Arc<Source>, status: Status) -> Self {
        Self { source: Arc::clone(source), vanished: None, status }
    }
}

/// How a source is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// The file as it is on disk runs.
    Active,
    /// The file has a problem; the last good version runs.
    LastGood {
        /// What is wrong with the file.
        reason: String,
    },
    /// It takes no requests.
    NotReady {
        /// Why not.
        reason: String,
    },
}

/// A source and how it is doing.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// The path of its file.
    pub path: String,
    /// Whether it runs.
    #[serde(flatten)]
    pub status: Status,
}

/// What a reload changed.
pub struct Reloaded {
    /// The texts and their problems, for drawing them.
    pub loaded: Loaded,
    /// The versions that run now and did not before, with their hashes, to be kept in the state.
    pub activated: Vec<Arc<Source>>,
    /// The sources that have other files or other secrets than before: what waited for credentials need not wait any more.
    pub renewed: Vec<String>,
    /// The sources whose files are gone since this reload.
    pub vanished: Vec<String>,
}

impl Registry {
    /// A registry with nothing running.
    pub fn new(surroundings: Surroundings, clock: Clock) -> Self {
        Self { surroundings, clock, table: ArcSwap::default(), running: Mutex::default() }
    }

    /// The table as it is now. A request takes it once.
    pub fn table(&self) -> Arc<RouteTable> {
        self.table.load_full()
    }

    /// What compiling needs, for those that compile on the side.
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// Takes over what a folder holds. `stored` are versions that ran before the program started, by name: they stand in where a
    /// file has no good version yet, and tell of files that vanished while nobody looked.
    pub fn reload(&self, texts: &Texts, stored: &BTreeMap<String, Bundle>) -> Reloaded {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let with_file = running.values().filter(|known| known.vanished.is_none());
        let standing: Vec<Arc<Source>> = with_file.map(|known| Arc::clone(&known.source)).collect();
        let loaded = load(texts, self.surroundings.world(), &standing);
        let (mut activated, mut renewed) = (Vec::new(), Vec::new());
        for file in &loaded.files {
            match &file.source {
                Some(source) if !file.unset => {
                    let known = running.insert(file.name.clone(), Running::new(source, Status::Active));
                    if known.as_ref().is_none_or(|known| known.source.bundle_hash != source.bundle_hash) {
                        activated.push(Arc::clone(source));
                    }
                    if known.is_none_or(|known| is_renewed(&known.source, source)) {
                        renewed.push(source.name.clone());
                    }
                }
                source => self.keep_last_good(file, source.as_ref(), stored, &mut running),
            }
        }
        self.adopt_vanished(&loaded, stored, &mut running);
        let vanished = self.note_vanished(&loaded, &mut running);
        self.publish(&running);
        Reloaded { loaded, activated, renewed, vanished }
    }

    /// Looks again at how long vanished files have been gone.
    pub fn refresh(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        self.expire_vanished(&mut running);
        self.publish(&running);
    }

    /// How each source is doing, by name.
    pub fn statuses(&self) -> Vec<SourceStatus> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |(name, running): (&String, &Running)| SourceStatus {
            name: name.clone(),
            path: running.source.path.clone(),
            status: running.status.clone(),
        };
        running.iter().map(status).collect()
    }

    /// Whether a source runs, or did until it was too long ago, without a file.
    pub fn has_vanished(&self, name: &str) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(name).is_some_and(|known| known.vanished.is_some())
    }

    /// Forgets a source whose file has vanished: its requests are nobody's again.
    pub fn retire(&self, name: &str) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let known = running.get(name).is_some_and(|known| known.vanished.is_some()) && running.remove(name).is_some();
        self.publish(&running);
        known
    }

    fn keep_last_good(
        &self,
        file: &LoadedFile,
        source: Option<&Arc<Source>>,
        stored: &BTreeMap<String, Bundle>,
        running: &mut BTreeMap<String, Running>,
    ) {
        let reason = reason_of(file);
        let name = name_of(file, stored, running);
        if let Some(known) = running.get_mut(&name).filter(|known| !matches!(known.status, Status::NotReady { .. })) {
            known.status = Status::LastGood { reason };
            known.vanished = None;
            return;
        }
        let last_good = stored.get(&name).and_then(|bundle| self.compile_stored(bundle)).filter(|(_, unset)| !unset);
        if let Some((source, _)) = last_good {
            running.insert(name, Running::new(&source, Status::LastGood { reason }));
        } else if let Some(source) = source {
            running.insert(name, Running::new(source, Status::NotReady { reason }));
        }
    }

    /// A version that ran before, when it still compiles, and whether one of its secrets has no value.
    fn compile_stored(&self, bundle: &Bundle) -> Option<(Arc<Source>, bool)> {
        let loaded = load(&Texts::of_bundle(bundle), self.surroundings.world(), &[]);
        let file = loaded.files.into_iter().find(|file| file.path == bundle.main)?;
        file.source.map(|source| (source, file.unset))
    }

    /// Sources that ran before the program started and have no file any more: their senders must not be told that there is nothing.
    fn adopt_vanished(&self, loaded: &Loaded, stored: &BTreeMap<String, Bundle>, running: &mut BTreeMap<String, Running>) {
        for (name, bundle) in stored {
            let has_file = loaded.files.iter().any(|file| file.describes(name, &bundle.main));
            if has_file || running.contains_key(name) {
                continue;
            }
            if let Some((source, unset)) = self.compile_stored(bundle) {
                let reason = || "a secret is not set".to_owned();
                let status = if unset { Status::NotReady { reason: reason() } } else { Status::Active };
                running.insert(name.clone(), Running::new(&source, status));
            }
        }
    }

    fn note_vanished(&self, loaded: &Loaded, running: &mut BTreeMap<String, Running>) -> Vec<String> {
        let now = self.clock.now();
        let mut vanished = Vec::new();
        for (name, known) in running.iter_mut() {
            let path = &known.source.path;
            if loaded.files.iter().any(|file| file.describes(name, path)) {
                known.vanished = None;
            } else if known.vanished.is_none() {
                let how = how_it_vanished(loaded, path);
                if known.status == Status::Active || matches!(known.status, Status::LastGood { .. }) {
                    known.status = Status::LastGood { reason: format!("{how}; it goes on for five minutes") };
                }
                known.vanished = Some(Vanished { at: now, how });
                vanished.push(name.clone());
            }
        }
        self.expire_vanished(running);
        vanished
    }

    fn expire_vanished(&self, running: &mut BTreeMap<String, Running>) {
        let now = self.clock.now();
        for known in running.values_mut() {
            if let Some(Vanished { at, how }) = &known.vanished
                && now.since(*at) >= VANISHED_FOR
            {
                known.status = Status::NotReady { reason: how.clone() };
            }
        }
    }

    fn publish(&self, running: &BTreeMap<String, Running>) {
        let entry = |known: &Running| Entry {
            source: Arc::clone(&known.source),
            not_ready: match &known.status {
                Status::NotReady { reason } => Some(reason.clone()),
                Status::Active | Status::LastGood { .. } => None,
            },
        };
        // one whose file is gone gives way to a file that receives the same requests
        let (gone, there): (Vec<&Running>, Vec<&Running>) = running.values().partition(|known| known.vanished.is_some());
        self.table.store(Arc::new(RouteTable::new(there.into_iter().chain(gone).map(entry).collect())));
    }
}

/// The name of a file that has no version of its own: what it says, or else what it was known by.
fn name_of(file: &LoadedFile, stored: &BTreeMap<String, Bundle>, running: &BTreeMap<String, Running>) -> String {
    if file.is_named {
        return file.name.clone();
    }
    let runs = running.iter().find(|(_, known)| known.source.path == file.path).map(|(name, _)| name);
    let ran = || stored.iter().find(|(_, bundle)| bundle.main == file.path).map(|(name, _)| name);
    runs.or_else(ran).unwrap_or(&file.name).clone()
}

fn how_it_vanished(loaded: &Loaded, path: &str) -> String {
    match loaded.texts.files().any(|file| file.path == path) {
        true => format!("its file `{path}` no longer describes it"),
        false => format!("its file `{path}` has vanished"),
    }
}

fn reason_of(file: &LoadedFile) -> String {
    let first =
        file.diagnostics.all().iter().find(|diagnostic| diagnostic.severity == crate::config::diagnostic::Severity::Error);
    match first {
        Some(diagnostic) => diagnostic.message.clone(),
        None => "a secret is not set".to_owned(),
    }
}

/// Whether a source may have other credentials than before.
pub fn is_renewed(known: &Source, source: &Source) -> bool {
    let secrets = |source: &Source| -> Vec<(String, Vec<_>)> {
        let values = |values: &crate::auth::secret::Values| values.iter().map(|value| value.secret().clone()).collect();
        source.secrets.iter().map(|(name, all)| (name.clone(), values(all))).collect()
    };
    known.bundle_hash != source.bundle_hash || secrets(known) != secrets(source)
}
