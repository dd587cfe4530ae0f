//! A throwaway project: one source with its own state, its own tables, a clock that is moved by hand and recorded APIs, in a
//! temporary folder that vanishes with it. Intake, store, workers and targets are the real ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::civil::Date;

use super::blank::Blank;
use crate::auth::secret::SecretReader;
use crate::clock::{Clock, Timestamp};
use crate::expr::template::Engine;
use crate::http_client::budget::MemoryBudget;
use crate::http_client::client::{ClientOptions, HttpClient};
use crate::http_client::recorded::{Recorded, RecordedAnswer};
use crate::intake::address::Addresses;
use crate::intake::receive::Intake;
use crate::model::lane::Claim;
use crate::routes::folder::read_companion;
use crate::routes::registry::Surroundings;
use crate::steps::map::Destination;
use crate::store::hands::Hands;
use crate::store::lanes::ClaimRequest;
use crate::store::{OpenOptions, Store, lanes};
use crate::target::{DatabaseOptions, Targets};
use crate::worker::deliver::Tools;
use crate::worker::pool::{LEASE, run_pending};

/// The moment at which every test begins: 2026-01-01T12:00:00Z.
pub const START: Timestamp = Timestamp::from_micros(1_767_268_800_000_000);
/// How far the clock is moved at most; longer than any default back-off goes on.
const LONGEST: Duration = Duration::from_secs(4 * 86_400);
/// How often it is moved at most.
const MOST_MOVES: usize = 200;
/// The most lanes that are claimed at once.
const MOST_CLAIMS: usize = 64;
/// The number that the project's worker claims under; other processes have the next ones.
const OWNER: i64 = 1;

/// A throwaway project.
pub struct Project {
    /// What arrives comes in here.
    pub intake: Arc<Intake>,
    /// What the workers work with.
    pub tools: Tools,
    /// The provider's APIs.
    pub recorded: Arc<Recorded>,
    destinations: Vec<Destination>,
    clock: Clock,
    folder: tempfile::TempDir,
}

/// Secrets in tests: every declared one is `test-NAME`.
pub struct TestSecrets;

impl SecretReader for TestSecrets {
    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Option<String> {
        None
    }

    fn today(&self) -> Date {
        Date::constant(2026, 1, 1)
    }

    fn stand_in(&self, name: &str) -> Option<String> {
        Some(format!("test-{name}"))
    }
}

/// What route files are compiled with in tests.
pub fn surroundings(destinations: Vec<Destination>) -> Surroundings {
    Surroundings { destinations, secrets: Box::new(TestSecrets), files: Box::new(read_companion), engine: Engine::default() }
}

impl Project {
    /// A project of one source.
    pub async fn new(blank: &Blank, answers: Vec<RecordedAnswer>) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("there is no temporary folder: {error}"))?;
        blank.copy_into(folder.path()).map_err(|error| format!("a project cannot be made: {error}"))?;
        let clock = Clock::manual(START);
        let store = open_state(folder.path(), clock.clone()).await?;
        let registry = Arc::clone(&blank.registry);
        let recorded = Arc::new(Recorded::new(answers));
        let http = client(&recorded, &clock)?;
        let targets = open_tables(folder.path(), &blank.destinations, &clock);
        let intake = Intake::new(Arc::clone(&registry), store.clone(), Arc::clone(&http), Addresses::default());
        let tools = Tools { registry, store, targets, http };
        Ok(Self { intake, tools, recorded, destinations: blank.destinations.clone(), clock, folder })
    }

    /// What another process would work with: the same state and tables, with a client and connections of its own.
    pub fn other_process(&self) -> Result<Tools, String> {
        Ok(Tools {
            http: client(&self.recorded, &self.clock)?,
            targets: open_tables(self.folder.path(), &self.destinations, &self.clock),
            ..self.tools.clone()
        })
    }

    /// Works until nothing is open, moving the clock to whatever is due next, so that windows and retries run through at once.
    pub async fn settle(&self) -> Result<(), String> {
        self.settle_with(&[&self.tools]).await
    }

    /// The same with several processes side by side.
    pub async fn settle_with(&self, processes: &[&Tools]) -> Result<(), String> {
        let last = self.clock.now() + LONGEST;
        for _ in 0..MOST_MOVES {
            let working = (OWNER..).zip(processes).map(|(owner, tools)| run_pending(tools, owner));
            try_join_all(working).await.map_err(|error| error.to_string())?;
            if !self.move_to_next(last).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Claims what is due first, as a worker of this process, and leaves it to be worked on.
    pub async fn claim(&self) -> Result<Vec<Claim>, String> {
        let last = self.clock.now() + LONGEST;
        for _ in 0..MOST_MOVES {
            let versions = self.tools.registry.table().active_versions();
            let request = ClaimRequest { owner: OWNER, versions: &versions, hands: Hands::for_anyone(MOST_CLAIMS), lease: LEASE };
            let claims = lanes::claim(&self.tools.store, request).await.map_err(|error| error.to_string())?;
            if !claims.is_empty() || !self.move_to_next(last).await? {
                return Ok(claims);
            }
        }
        Ok(Vec::new())
    }

    /// Lets every lease end.
    pub fn outlast_leases(&self) {
        self.clock.move_to(self.clock.now() + LEASE + Duration::from_secs(1));
    }

    /// Moves the clock to what is due next, unless nothing is until `last`.
    async fn move_to_next(&self, last: Timestamp) -> Result<bool, String> {
        let versions = self.tools.registry.table().active_versions();
        let due = lanes::next_due(&self.tools.store, &versions).await.map_err(|error| error.to_string())?;
        let forward = lanes::next_due_forward(&self.tools.store, &versions).await.map_err(|error| error.to_string())?;
        let back = lanes::next_return(&self.tools.store).await.map_err(|error| error.to_string())?;
        let Some(due) = due.into_iter().chain(forward).chain(back).min().filter(|due| *due <= last) else { return Ok(false) };
        self.clock.move_to(due.max(self.clock.now() + Duration::from_micros(1)));
        Ok(true)
    }

    /// Closes the state before its folder vanishes.
    pub async fn close(self) {
        self.tools.store.clone().close().await;
    }
}

fn client(recorded: &Arc<Recorded>, clock: &Clock) -> Result<Arc<HttpClient>, String> {
    let http = HttpClient::new(ClientOptions {
        clock: clock.clone(),
        budget: Arc::new(MemoryBudget::new(clock.clone())),
        simulated: Vec::new(),
        recorded: Some(Arc::clone(recorded)),
        user_agent: "hooktable-test".to_owned(),
    });
    Ok(Arc::new(http.map_err(|error| error.to_string())?))
}

/// The state in a folder.
pub(super) async fn open_state(folder: &Path, clock: Clock) -> Result<Store, String> {
    let (path, key_file) = (folder.join("state.db"), folder.join("master.key"));
    let options = OpenOptions { place: path.into(), master_key: None, key_file, clock, max_bytes: None };
    Store::open(options).await.map_err(|error| error.to_string())
}

/// The databases in a folder.
pub(super) fn open_tables(folder: &Path, destinations: &[Destination], clock: &Clock) -> Targets {
    let database = |(number, destination): (usize, &Destination)| {
        let url = format!("sqlite://{}", tables_path(folder, number).display());
        DatabaseOptions::new(&destination.name, url, &destination.tenant_column)
    };
    Targets::open(destinations.iter().enumerate().map(database).collect(), clock.clone())
}

/// The file of a database: by number, since one may be named in a way that no file can be.
pub(super) fn tables_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("tables-{number}.db"))
}
