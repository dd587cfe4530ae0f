//! The sources as the program sees them: the registry, what the last look at the folder said, and what of that is news.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use super::settings::Settings;
use crate::auth::secret::SecretReader;
use crate::clock::Clock;
use crate::config::diagnostic::{Diagnostics, Severity};
use crate::config::render;
use crate::config::source::{Sources as Texts, Span};
use crate::expr::template::Engine;
use crate::model::bundle::Bundle;
use crate::routes::folder::read_companion;
use crate::routes::load::{self, Loaded};
use crate::routes::registry::{Registry, Reloaded, SourceStatus, Status, Surroundings};
use crate::steps::map::Destination;
use crate::store::{Store, StoreError, bundles, lanes};

/// The sources of a program that runs.
pub struct Sources {
    registry: Arc<Registry>,
    stored: Mutex<BTreeMap<String, Bundle>>,
    latest: Mutex<Latest>,
}

/// What the last look at the folder said.
#[derive(Default)]
struct Latest {
    /// Name, path and problem of files that have no source.
    broken: Vec<SourceStatus>,
    /// All problems, as text.
    problems: String,
    /// The problems by file, each with the text they are about.
    told: BTreeMap<String, (String, String)>,
}

/// What compiling needs of the settings.
pub fn surroundings(settings: &Settings, secrets: Box<dyn SecretReader + Send + Sync>) -> Surroundings {
    let destination = |database: &crate::target::DatabaseOptions| Destination {
        name: database.name.clone(),
        tenant_column: database.tenant_column.clone(),
    };
    Surroundings {
        destinations: settings.databases.iter().map(destination).collect(),
        secrets,
        files: Box::new(read_companion),
        engine: Engine::default(),
    }
}

impl Sources {
    /// Loads the folder; versions that ran before stand in for files that have no good version.
    pub async fn open(
        settings: &Settings,
        store: &Store,
        clock: Clock,
        secrets: Box<dyn SecretReader + Send + Sync>,
    ) -> anyhow::Result<(Arc<Self>, Reloaded)> {
        let registry = Arc::new(Registry::new(surroundings(settings, secrets), clock));
        let stored = stored_bundles(store).await?;
        let sources = Arc::new(Self { registry, stored: Mutex::new(stored), latest: Mutex::default() });
        let folder = settings.folder();
        let texts = tokio::task::spawn_blocking(move || folder.read()).await?.with_context(|| {
            format!(
                "cannot read the folder of route files `{}`\nhint: make it, or say where it is with `--routes`",
                settings.routes.display()
            )
        })?;
        let reloaded = sources.take_over(texts).await?;
        Ok((sources, reloaded))
    }

    /// The registry.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Takes over what the folder holds now. Compiling does not hold up anything else.
    pub async fn take_over(self: &Arc<Self>, texts: load::Texts) -> anyhow::Result<Reloaded> {
        let this = Arc::clone(self);
        let reloaded = tokio::task::spawn_blocking(move || {
            let stored = this.stored.lock().unwrap_or_else(PoisonError::into_inner).clone();
            this.registry.reload(&texts, &stored)
        })
        .await?;
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        for source in &reloaded.activated {
            stored.insert(source.name.clone(), source.bundle.clone());
        }
        drop(stored);
        Ok(reloaded)
    }

    /// Reads again what all servers that share the state activated: it stands in where this one has no good version of its own. What
    /// was retired is forgotten where it has no file.
    pub async fn hear_of_others(&self, store: &Store) -> anyhow::Result<()> {
        let now = stored_bundles(store).await?;
        let before = std::mem::replace(&mut *self.stored.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        for name in before.keys().filter(|name| !now.contains_key(*name)) {
            self.registry.retire(name);
        }
        Ok(())
    }

    /// Keeps what a load said, for those who ask later; returns the problems that were not told before.
    pub fn note(&self, loaded: &Loaded) -> Diagnostics {
        let all = all_problems(loaded);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = Diagnostics::default();
        let mut told = BTreeMap::new();
        for (path, problems) in by_file(&all, &loaded.texts) {
            let text = text_of(loaded, &path);
            let rendered = render::text(&problems, &loaded.texts, false);
            if latest.told.get(&path) != Some(&(text.clone(), rendered.clone())) {
                news.append(problems);
            }
            told.insert(path, (text, rendered));
        }
        *latest = Latest { broken: broken_files(loaded), problems: render::text(&all, &loaded.texts, false), told };
        news
    }

    /// Forgets a source that has no file: it stands in no more, now or after a restart.
    pub(super) fn forget(&self, source: &str) {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
        self.registry.retire(source);
    }

    /// How every source is doing, files that never had a good version included, by name.
    pub fn statuses(&self) -> Vec<SourceStatus> {
        let mut statuses = self.registry.statuses();
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        for broken in &latest.broken {
            match statuses.iter_mut().find(|known| known.path == broken.path || known.name == broken.name) {
                Some(known) => tell_reason(known, broken),
                None => statuses.push(broken.clone()),
            }
        }
        statuses.sort_by(|one, other| one.name.cmp(&other.name));
        statuses
    }

    /// All problems of the route files as text, with excerpts.
    pub fn problems(&self) -> String {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).problems.clone()
    }
}

/// Everything that is wrong: problems, and secrets that are not set.
pub fn all_problems(loaded: &Loaded) -> Diagnostics {
    let mut all = loaded.diagnostics.clone();
    all.append(loaded.unset.clone());
    all
}

/// Keeps the versions that run now, so that they can stand in after a restart.
pub async fn save(store: &Store, reloaded: &Reloaded) {
    for source in &reloaded.activated {
        if let Err(error) = bundles::save(store, &source.bundle, source.bundle_hash, source.admit_hash).await {
            tracing::error!(source = source.name, %error, "the version that runs now cannot be kept for the next start");
        }
    }
}

/// Lets go on what waited for other credentials, where a source has others now.
pub async fn resume(store: &Store, reloaded: &Reloaded) {
    let resumed = async {
        for source in &reloaded.renewed {
            lanes::resume_refused(store, source).await?;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = resumed.await {
        tracing::error!(%error, "what waited for other credentials cannot go on yet");
    }
}

async fn stored_bundles(store: &Store) -> anyhow::Result<BTreeMap<String, Bundle>> {
    let mut stored = BTreeMap::new();
    for name in bundles::sources(store).await? {
        if let Some((_, bundle)) = bundles::latest(store, &name).await? {
            stored.insert(name, bundle);
        }
    }
    Ok(stored)
}

/// Which secret is not set, say, where the registry only knows that one is not.
fn tell_reason(known: &mut SourceStatus, broken: &SourceStatus) {
    let Status::NotReady { reason: exact } = &broken.status else { return };
    match &mut known.status {
        Status::LastGood { reason } | Status::NotReady { reason } => exact.clone_into(reason),
        Status::Active => {}
    }
}

fn broken_files(loaded: &Loaded) -> Vec<SourceStatus> {
    let without = loaded.files.iter().filter(|file| file.source.is_none() || file.unset);
    let status = |file: &load::LoadedFile| {
        let mut errors = file.diagnostics.all().iter().filter(|one| one.severity == Severity::Error);
        let is_here = |span: Span| loaded.texts.file(span.file).path == file.path;
        let unset = || loaded.unset.all().iter().find(|one| one.span.is_some_and(is_here));
        let problem = errors.next().or_else(unset);
        let reason = problem.map_or_else(|| "a secret is not set".to_owned(), |problem| problem.message.clone());
        SourceStatus { name: file.name.clone(), path: file.path.clone(), status: Status::NotReady { reason } }
    };
    without.map(status).collect()
}

/// Problems of no place in a text are those of the file with no name.
fn by_file(all: &Diagnostics, texts: &Texts) -> BTreeMap<String, Diagnostics> {
    let mut files: BTreeMap<String, Diagnostics> = BTreeMap::new();
    for problem in all.all() {
        let path = problem.span.map_or_else(String::new, |span| texts.file(span.file).path.clone());
        files.entry(path).or_default().report(problem.clone());
    }
    files
}

fn text_of(loaded: &Loaded, path: &str) -> String {
    let problems = all_problems(loaded);
    let mut files = problems.all().iter().filter_map(|problem| problem.span).map(|span| loaded.texts.file(span.file));
    files.find(|file| file.path == path).map_or_else(String::new, |file| file.text.clone())
}
