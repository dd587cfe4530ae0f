//! The named databases. Each has a few connections, made on first use and given up after anything that leaves them in doubt; a
//! database that cannot be reached is a failure of the unit that needs it, never of the start.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::clock::{Clock, Timestamp};
use crate::config::units::format_duration;
use crate::model::failure::{Failure, Step};

use super::connection::Connection;
use super::dialect::Dialect;
use super::failures::{self, Trouble};
use super::gathering::Gathering;
use super::health::Health;
use super::limits::Limits;
use super::marks::highest_fence;
use super::options::DatabaseOptions;
use super::patience::Patience;

/// All target databases by name. Cheap to clone.
#[derive(Clone)]
pub struct Targets(Arc<[Database]>);

impl Targets {
    /// Takes the databases as they are named; connects to none of them yet.
    pub fn open(databases: Vec<DatabaseOptions>, clock: Clock) -> Self {
        Self(databases.into_iter().map(|options| Database::new(options, clock.clone(), Limits::default())).collect())
    }

    /// The database of that name.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.0.iter().find(|database| database.name() == name)
    }

    /// Their names in the order of the settings.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Database::name)
    }

    /// Their names, with whether each answers as far as anybody knows.
    pub fn health(&self) -> Vec<(&str, bool)> {
        self.0.iter().map(|database| (database.name(), database.health.is_up())).collect()
    }
}

/// One target database.
pub struct Database {
    options: DatabaseOptions,
    clock: Clock,
    limits: Limits,
    pub(super) health: Arc<Health>,
    /// As many as there may be connections.
    pub(super) seats: Semaphore,
    idle: Mutex<Vec<Connection>>,
    /// Who waits for a connection to write a unit.
    pub(super) gathering: Gathering,
}

/// A connection out of its place: dropped half-way, it is closed, and what its transaction did is taken back.
pub(super) struct Seated<'d> {
    /// In a transaction.
    pub(super) connection: Connection,
    _seat: SemaphorePermit<'d>,
}

impl Database {
    pub(super) fn new(options: DatabaseOptions, clock: Clock, limits: Limits) -> Self {
        // SQLite has one writer, and a second connection of ours would only wait for the first
        let seats = if options.dialect() == Some(Dialect::Sqlite) { 1 } else { options.pool.max(1) as usize };
        let health = Arc::new(Health::new(&options.name, limits.silence));
        let (seats, idle, gathering) = (Semaphore::new(seats), Mutex::default(), Gathering::new());
        Self { options, clock, limits, health, seats, idle, gathering }
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

    /// The highest fence that any lane has here; 0 when there is none.
    pub async fn highest_fence(&self) -> Result<i64, Failure> {
        self.reading(async |connection| highest_fence(connection).await.map_err(|error| self.failure(&error))).await
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
        let seat = self.seat().await?;
        let mut seated = Seated { connection: self.connection().await?.0, _seat: seat };
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

    async fn seat(&self) -> Result<SemaphorePermit<'_>, Failure> {
        self.seats.acquire().await.map_err(|error| self.unreachable(&error.to_string()))
    }

    fn unreachable(&self, reason: &str) -> Failure {
        Failure::passing(Step::Write, format!("database `{}` cannot be opened: {reason}", self.name()))
    }

    /// An idle connection, or a new one. An idle one may have been closed from the other side since.
    async fn connection(&self) -> Result<(Connection, bool), Failure> {
        let idle = self.idle().pop();
        if let Some(connection) = idle {
            return Ok((connection, true));
        }
        let (limit, began) = (self.limits.connect, Instant::now());
        let opening = Connection::open(self.options.url.expose(), Patience::new(self.limits, self.health.clone()));
        let opened = match timeout(limit, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("it did not answer within {}", format_duration(limit))),
        };
        let connection = opened.map_err(|reason| {
            let failure = self.unreachable(&reason);
            self.health.unreachable(began, Instant::now(), &failure.reason);
            failure
        })?;
        Ok((connection, false))
    }

    /// Lets connections go that nobody uses.
    pub(super) fn forget_idle(&self) {
        self.idle().clear();
    }

    /// As [`Database::begin`], for a unit, which does not wait for a database that is away.
    pub(super) async fn begin_for_unit(
        &self,
        begin: impl AsyncFn(&mut Connection) -> sqlx::Result<()>,
    ) -> Result<Seated<'_>, Failure> {
        let seat = tokio::select! {
            biased;
            failure = self.health.goes_away() => return Err(failure),
            seat = self.seat() => seat?,
        };
        self.begin_on(seat, begin).await
    }

    /// A connection in a transaction, when there is a place for one.
    pub(super) async fn begin(&self, begin: impl AsyncFn(&mut Connection) -> sqlx::Result<()>) -> Result<Seated<'_>, Failure> {
        self.begin_on(self.seat().await?, begin).await
    }

    /// A connection in a transaction. One that was closed from the other side while it was idle is replaced, with all others like it.
    pub(super) async fn begin_on<'d>(
        &'d self,
        seat: SemaphorePermit<'d>,
        begin: impl AsyncFn(&mut Connection) -> sqlx::Result<()>,
    ) -> Result<Seated<'d>, Failure> {
        loop {
            let (mut connection, was_idle) = self.connection().await?;
            connection.believe_until(self.clock.now());
            match begin(&mut connection).await {
                Ok(()) => return Ok(Seated { connection, _seat: seat }),
                Err(error) if was_idle && failures::trouble(&error) == Trouble::Disconnected => self.forget_idle(),
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    /// Takes back what a transaction did. A connection that cannot even do that is given up, which does it too.
    pub(super) async fn roll_back(&self, mut seated: Seated<'_>) {
        if seated.connection.rollback().await.is_ok() {
            self.put_back(seated);
        }
    }

    /// Leaves a connection for the next one.
    pub(super) fn put_back(&self, seated: Seated<'_>) {
        self.idle().push(seated.connection);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
