//! The named databases. Each has one connection, made on first use and given up after anything that leaves it in doubt; a
//! database that cannot be reached is a failure of the unit that needs it, never of the start.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::model::failure::{Failure, Step};

use super::connection::Connection;
use super::options::DatabaseOptions;
use super::write::{Applied, Unit, WriteError, is_marked, write_unit};
use super::{failures, sqlite};

/// How long a write waits for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// All target databases by name. Cheap to clone.
#[derive(Clone)]
pub struct Targets(Arc<[Database]>);

impl Targets {
    /// Takes the databases as they are named; connects to none of them yet.
    pub fn open(databases: Vec<DatabaseOptions>, clock: Clock) -> Self {
        Self(databases.into_iter().map(|options| Database::new(options, clock.clone(), BUSY_TIMEOUT)).collect())
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
    busy_timeout: Duration,
    idle: Mutex<Option<Connection>>,
}

impl Database {
    pub(super) fn new(options: DatabaseOptions, clock: Clock, busy_timeout: Duration) -> Self {
        Self { options, clock, busy_timeout, idle: Mutex::new(None) }
    }

    /// What `into:` calls it.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The column that carries the tenant's name.
    pub fn tenant_column(&self) -> &str {
        &self.options.tenant_column
    }

    /// Whether it can be reached now; makes our tables when they are not there.
    pub async fn connect(&self) -> Result<(), Failure> {
        let mut idle = self.idle.lock().await;
        let connection = self.take(&mut idle).await?;
        *idle = Some(connection);
        Ok(())
    }

    /// Applies a unit in one transaction, once. A commit whose outcome is unknown is settled by reading the mark.
    pub async fn apply(&self, unit: Unit<'_>) -> Result<Applied, WriteError> {
        let started = self.clock.now();
        let applied = |already, changes| Applied { already, changes, took: self.clock.now().since(started) };
        let mut idle = self.idle.lock().await;
        let mut connection = self.take(&mut idle).await?;
        self.begin(&mut connection).await?;
        let changes = match write_unit(&mut connection, self.name(), &unit, started).await {
            Ok(Some(changes)) => changes,
            Ok(None) => {
                roll_back(connection, &mut idle).await;
                return Ok(applied(true, Vec::new()));
            }
            Err(error) => {
                roll_back(connection, &mut idle).await;
                return Err(error);
            }
        };
        match connection.commit().await {
            Ok(()) => *idle = Some(connection),
            Err(error) => {
                roll_back(connection, &mut idle).await;
                self.settle(&mut idle, &unit, &error).await?;
            }
        }
        Ok(applied(false, changes))
    }

    /// Runs `work` in a transaction of its own, without mark or fence. What it wrote stays when it succeeds.
    pub(super) async fn writing<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut idle = self.idle.lock().await;
        let mut connection = self.take(&mut idle).await?;
        self.begin(&mut connection).await?;
        let result = work(&mut connection).await;
        if result.is_err() {
            roll_back(connection, &mut idle).await;
            return result;
        }
        match connection.commit().await {
            Ok(()) => *idle = Some(connection),
            Err(error) => {
                roll_back(connection, &mut idle).await;
                return Err(self.failure(&error));
            }
        }
        result
    }

    /// Runs `work` on one state of the database without keeping writers out.
    pub(super) async fn reading<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut idle = self.idle.lock().await;
        let mut connection = self.take(&mut idle).await?;
        connection.begin_reading().await.map_err(|error| self.failure(&error))?;
        let result = work(&mut connection).await;
        roll_back(connection, &mut idle).await;
        result
    }

    /// Runs a script of SQL statements as it is: the schema of a throwaway database, or what `tables --create` prints.
    pub async fn run_script(&self, script: &str) -> Result<(), Failure> {
        let mut idle = self.idle.lock().await;
        let mut connection = self.take(&mut idle).await?;
        connection.run_script(script).await.map_err(|error| self.failure(&error))?;
        self.begin(&mut connection).await?;
        roll_back(connection, &mut idle).await;
        Ok(())
    }

    /// A statement's error as a failure of this database.
    pub(super) fn failure(&self, error: &sqlx::Error) -> Failure {
        failures::of(error, self.name(), None)
    }

    /// The connection, out of its place: whoever drops it half-way, or does not put it back, gives it up.
    async fn take(&self, idle: &mut Option<Connection>) -> Result<Connection, Failure> {
        if let Some(connection) = idle.take() {
            return Ok(connection);
        }
        let url = self.options.url.expose();
        let connected = match url.split(':').next() {
            Some("sqlite") => sqlite::connect(url, self.busy_timeout).await,
            _ => Err("its URL must begin with `sqlite:`, the one engine that this version knows".to_owned()),
        };
        let failure = |reason| Failure::passing(Step::Write, format!("database `{}` cannot be opened: {reason}", self.name()));
        connected.map(Connection::new).map_err(failure)
    }

    async fn begin(&self, connection: &mut Connection) -> Result<(), Failure> {
        connection.begin().await.map_err(|error| self.failure(&error))
    }

    /// Whether the unit is there after all; if not, why not.
    async fn settle(&self, idle: &mut Option<Connection>, unit: &Unit<'_>, error: &sqlx::Error) -> Result<(), Failure> {
        let mut connection = self.take(idle).await?;
        let marked = is_marked(&mut connection, unit.mark).await.map_err(|error| self.failure(&error))?;
        *idle = Some(connection);
        if marked { Ok(()) } else { Err(self.failure(error)) }
    }
}

/// Takes back what a transaction did. A connection that cannot even do that is given up, which does it too.
async fn roll_back(mut connection: Connection, idle: &mut Option<Connection>) {
    if connection.rollback().await.is_ok() {
        *idle = Some(connection);
    }
}
