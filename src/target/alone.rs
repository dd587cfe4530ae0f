//! A unit in a transaction of its own: run again at once where that may help, and looked for by its mark where nobody said how it ended.

use std::time::Duration;

use tokio::sync::SemaphorePermit;

use crate::failpoint::reach;
use crate::model::failure::Failure;

use super::connection::Connection;
use super::database::Database;
use super::failures::{self, Trouble};
use super::marks::is_marked;
use super::write::{Applied, Unit, WriteError, write_unit};

/// How often a transaction that met another one is run again at once.
const COLLISIONS: u32 = 5;

impl Database {
    /// Applies a unit in one transaction of its own, once; `seat` is a place that is held for it already. A transaction that met
    /// another one, or that relied on what a table was like before it was altered, is run again at once.
    pub(super) async fn apply_alone(
        &self,
        unit: &Unit<'_>,
        mut seat: Option<SemaphorePermit<'_>>,
    ) -> Result<Applied, WriteError> {
        let mut collisions = 0;
        loop {
            let (error, again) = match self.try_apply(unit, seat.take()).await {
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

    async fn try_apply(&self, unit: &Unit<'_>, seat: Option<SemaphorePermit<'_>>) -> Result<Applied, (WriteError, Again)> {
        let started = self.now();
        let applied = |already, changes| Applied { already, changes, took: self.now().since(started) };
        let begun = match seat {
            Some(seat) => self.begin_on(seat, Connection::begin).await,
            None => self.begin_for_unit(Connection::begin).await,
        };
        let mut seated = begun.map_err(|failure| (failure.into(), Again::No))?;
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

    /// Whether the unit is there after all, though nobody said so; if not, why not.
    async fn settle(&self, unit: &Unit<'_>, error: &sqlx::Error) -> Result<(), Failure> {
        let mut seated = self.begin_for_unit(Connection::begin_reading).await?;
        let marked = is_marked(&mut seated.connection, unit.mark).await.map_err(|error| self.failure(&error))?;
        self.roll_back(seated).await;
        if marked { Ok(()) } else { Err(self.failure(error)) }
    }
}

/// Whether and why a transaction that failed is run again at once.
pub(super) enum Again {
    /// It would go the same way.
    No,
    /// It met another one.
    Collided,
    /// It relied on what a table was like before.
    TablesForgotten,
}

/// What follows from the statement that failed.
pub(super) fn again(connection: &mut Connection) -> Again {
    let relied = connection.look_again();
    match connection.trouble() {
        Some(Trouble::Collision) => Again::Collided,
        // someone else may have made the very row that was looked for in vain
        Some(Trouble::Duplicate) if connection.may_be_late() => Again::Collided,
        Some(Trouble::Disconnected) => Again::No,
        _ if relied => Again::TablesForgotten,
        _ => Again::No,
    }
}
