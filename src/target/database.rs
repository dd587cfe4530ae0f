//! The named databases. Each has a few connections, made on first use and given up after anything that leaves them in doubt; a
//! database that cannot be reached is a failure of the unit that needs it, never of the start.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::{Clock, Timestamp};
use crate::failpoint::reach;
use crate::model::failure::{Failure, Step};

use super::connection::Connection;
use super::dialect::Dialect;
use super::failures::{self, Trouble};
use super::marks::is_marked;
use super::options::DatabaseOptions;
use super::write::{Applied, Unit, WriteError, write_unit};

/// How long a write waits for another program's lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a transaction that met another one is run again at once.
const COLLISIONS: u32 = 5;

/// All target databases by name. Cheap to clone.
#[derive(Clone)]
pub struct Targets(Arc<[Database]>);

impl Targets {
    /// Takes the databases as they are named; connects to none of them yet.
    pub fn open(databases: Vec<DatabaseOptions>, clock: Clock) -> Self {
        Self(databases.into_iter().map(|options| Database::new(options, clock.clone(), LOCK_TIMEOUT)).collect())
    }

    /// The database of that name.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.0.iter().find(|database| database.name() == name)
    }

    /// Their names in the order of the settings.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Database::name)
    }
}

/// One target database.
pub struct Database {
    options: DatabaseOptions,
    clock: Clock,
    lock_timeout: Duration,
    /// As many as there may be connections.
    seats: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// A connection out of its place: dropped half-way, it is closed, and what its transaction did is taken back.
struct Seated<'d> {
    connection: Connection,
    /// Whether it was made before this use of it, and may have been closed from the other side since.
    was_idle: bool,
    _seat: SemaphorePermit<'d>,
}

impl Database {
    pub(super) fn new(options: DatabaseOptions, clock: Clock, lock_timeout: Duration) -> Self {
        // SQLite has one writer, and a second connection of ours would only wait for the first
        let seats = if options.dialect() == Some(Dialect::Sqlite) { 1 } else { options.pool.max(1) as usize };
        Self { options, clock, lock_timeout, seats: Semaphore::new(seats), idle: Mutex::default() }
    }

    /// What `into:` calls it.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Its way of writing SQL.
    pub fn dialect(&self) -> Dialect {
        self.options.dialect().unwrap_or(Dialect::Sqlite)
    }

    /// The column that carries the tenant's name.
    pub fn tenant_column(&self) -> &str {
        &self.options.tenant_column
    }

    /// Whether it can be reached now; makes our tables when they are not there.
    pub async fn connect(&self) -> Result<(), Failure> {
        let seated = self.begin(Connection::begin_reading).await?;
        self.roll_back(seated).await;
        Ok(())
    }

    /// Applies a unit in one transaction, once. A transaction that met another one, or that relied on what a table was like before
    /// it was altered, is run again at once.
    pub async fn apply(&self, unit: Unit<'_>) -> Result<Applied, WriteError> {
        let mut collisions = 0;
        loop {
            let (error, again) = match self.try_apply(&unit).await {
                Ok(applied) => return Ok(applied),
                Err(refusal) => refusal,
            };
            match again {
                Again::No => return Err(error),
                Again::TablesForgotten => {}
                Again::Collided if collisions < COLLISIONS => {
                    collisions += 1;
                    // whoever it met gets the time to finish
                    tokio::time::sleep(Duration::from_millis(u64::from(collisions * collisions) * 2)).await;
                }
                Again::Collided => return Err(error),
            }
        }
    }

    async fn try_apply(&self, unit: &Unit<'_>) -> Result<Applied, (WriteError, Again)> {
        let started = self.clock.now();
        let applied = |already, changes| Applied { already, changes, took: self.clock.now().since(started) };
        let mut seated = self.begin(Connection::begin).await.map_err(|failure| (failure.into(), Again::No))?;
        let changes = match write_unit(&mut seated.connection, self.name(), unit, started).await {
            Ok(Some(changes)) => changes,
            Ok(None) => {
                self.roll_back(seated).await;
                return Ok(applied(true, Vec::new()));
            }
            Err(error) => {
                let again = if error == WriteError::LeaseLost { Again::No } else { again(&mut seated.connection) };
                self.roll_back(seated).await;
                return Err((error, again));
            }
        };
        reach("write.before-commit");
        match seated.connection.commit().await {
            Ok(()) => {
                reach("write.after-commit");
                self.put_back(seated);
            }
            Err(error) => {
                let collided = failures::trouble(&error) == Trouble::Collision;
                self.roll_back(seated).await;
                let again = if collided { Again::Collided } else { Again::No };
                self.settle(unit, &error).await.map_err(|failure| (failure.into(), again))?;
            }
        }
        Ok(applied(false, changes))
    }

    /// Runs `work` in a transaction of its own, without mark or fence. What it wrote stays when it succeeds.
    pub(super) async fn writing<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut seated = self.begin(Connection::begin).await?;
        let result = work(&mut seated.connection).await;
        if result.is_err() {
            seated.connection.look_again();
            self.roll_back(seated).await;
            return result;
        }
        match seated.connection.commit().await {
            Ok(()) => self.put_back(seated),
            Err(error) => {
                self.roll_back(seated).await;
                return Err(self.failure(&error));
            }
        }
        result
    }

    /// Runs `work` on one state of the database without keeping writers out.
    pub(super) async fn reading<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut seated = self.begin(Connection::begin_reading).await?;
        // what a person asks for is told as it is now
        seated.connection.look_again();
        let result = work(&mut seated.connection).await;
        self.roll_back(seated).await;
        result
    }

    /// Runs a script of SQL statements as it is: the schema of a throwaway database, or what `tables --create` prints.
    pub async fn run_script(&self, script: &str) -> Result<(), Failure> {
        let mut seated = self.take().await?;
        seated.connection.run_script(script).await.map_err(|error| self.failure(&error))?;
        seated.connection.look_again();
        seated.connection.begin().await.map_err(|error| self.failure(&error))?;
        self.roll_back(seated).await;
        Ok(())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A statement's error as a failure of this database.
    pub(super) fn failure(&self, error: &sqlx::Error) -> Failure {
        failures::of(error, self.name(), None)
    }

    async fn take(&self) -> Result<Seated<'_>, Failure> {
        let unreachable =
            |reason: String| Failure::passing(Step::Write, format!("database `{}` cannot be opened: {reason}", self.name()));
        let seat = self.seats.acquire().await.map_err(|error| unreachable(error.to_string()))?;
        if let Some(connection) = self.idle().pop() {
            return Ok(Seated { connection, was_idle: true, _seat: seat });
        }
        let opening = Connection::open(self.options.url.expose(), self.lock_timeout);
        let opened = match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("it did not answer within {} seconds", CONNECT_TIMEOUT.as_secs())),
        };
        Ok(Seated { connection: opened.map_err(unreachable)?, was_idle: false, _seat: seat })
    }

    /// A connection in a transaction. One that was closed from the other side while it was idle is replaced, with all others like it.
    async fn begin(&self, begin: impl AsyncFn(&mut Connection) -> sqlx::Result<()>) -> Result<Seated<'_>, Failure> {
        loop {
            let mut seated = self.take().await?;
            seated.connection.believe_until(self.clock.now());
            match begin(&mut seated.connection).await {
                Ok(()) => return Ok(seated),
                Err(error) if seated.was_idle && failures::trouble(&error) == Trouble::Disconnected => self.idle().clear(),
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    /// Whether the unit is there after all, though nobody said so; if not, why not.
    async fn settle(&self, unit: &Unit<'_>, error: &sqlx::Error) -> Result<(), Failure> {
        let mut seated = self.begin(Connection::begin_reading).await?;
        let marked = is_marked(&mut seated.connection, unit.mark).await.map_err(|error| self.failure(&error))?;
        self.roll_back(seated).await;
        if marked { Ok(()) } else { Err(self.failure(error)) }
    }

    /// Takes back what a transaction did. A connection that cannot even do that is given up, which does it too.
    async fn roll_back(&self, mut seated: Seated<'_>) {
        if seated.connection.rollback().await.is_ok() {
            self.put_back(seated);
        }
    }

    fn put_back(&self, seated: Seated<'_>) {
        self.idle().push(seated.connection);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether and why a transaction that failed is run again at once.
enum Again {
    No,
    Collided,
    TablesForgotten,
}

fn again(connection: &mut Connection) -> Again {
    let relied = connection.look_again();
    match connection.trouble() {
        Some(Trouble::Collision) => Again::Collided,
        // someone else may have made the very row that was looked for in vain
        Some(Trouble::Duplicate) if !connection.dialect().names_conflict() => Again::Collided,
        Some(Trouble::Disconnected) => Again::No,
        _ if relied => Again::TablesForgotten,
        _ => Again::No,
    }
}
