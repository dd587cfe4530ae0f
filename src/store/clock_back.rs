//! A clock that goes back: whatever was to happen later is moved to the same distance from it as before, or all of it would wait that
//! much longer. Where several processes share the state, one of them does that for all, once.

use std::time::{Duration, Instant};

use super::error::StoreError;
use super::sql::{Begun, Connection, query};
use crate::clock::{Clock, Timestamp};

/// A clock that goes back by less is not noticed.
const SLIGHT: Duration = Duration::from_secs(2);

/// How far the clock had come when it was read last, and by which stopwatch of this process.
#[derive(Default)]
pub(crate) struct Pace {
    last: Option<(Begun, Instant)>,
}

impl Pace {
    /// By how much the clock has gone back since it was read last, less what was moved with it since. `asked` is when it was asked,
    /// so that an answer that was long on its way is not taken for one of a clock that went back.
    pub(crate) fn lag(&self, read: Begun, asked: Instant) -> Option<Duration> {
        let (last, at) = self.last.as_ref()?;
        let moved = u64::try_from(read.moved - last.moved).unwrap_or(0);
        let expected = last.now + asked.saturating_duration_since(*at);
        let back = expected.since(read.now).saturating_sub(Duration::from_micros(moved));
        // one that is moved by hand stands still as long as somebody likes
        (back > SLIGHT && !read.by_hand).then_some(back)
    }

    /// Remembers what was read just now.
    pub(crate) fn note(&mut self, read: Begun) {
        self.last = Some((read, Instant::now()));
    }
}

/// Moves what waits with the clock, unless another process has done so by now. Nobody else writes meanwhile.
pub(crate) async fn follow(connection: &mut Connection, clock: &Clock, pace: &mut Pace) -> Result<(), StoreError> {
    let asked = Instant::now();
    let followed = match connection.begin_alone(clock).await {
        Ok(read) => follow_from(connection, read, pace.lag(read, asked)).await,
        Err(error) => Err(error),
    };
    match followed {
        Ok(read) => pace.note(read),
        Err(error) => {
            tracing::error!(%error, "what waits for a moment could not be moved with the clock");
            if !error.is_cut_off() {
                let _ = connection.rollback().await;
            }
            return Err(error);
        }
    }
    Ok(())
}

async fn follow_from(connection: &mut Connection, read: Begun, back: Option<Duration>) -> Result<Begun, StoreError> {
    let Some(back) = back else {
        connection.commit().await?;
        return Ok(read);
    };
    let micros = i64::try_from(back.as_micros()).unwrap_or(i64::MAX);
    move_back(connection, read.now, micros).await?;
    if connection.is_shared() {
        tell_others(connection, read.now, micros).await?;
    }
    connection.commit().await?;
    tracing::warn!(seconds = back.as_secs(), "the clock has gone back; what waits for a moment was moved with it");
    Ok(Begun { moved: read.moved.saturating_add(micros), ..read })
}

/// Brings everything that is later than `now` nearer by `back` microseconds, and nothing before `now`.
pub(super) async fn move_back(connection: &mut Connection, now: Timestamp, back: i64) -> Result<(), StoreError> {
    let lanes = "update lane set due_at = case when due_at > $1 then max($1, due_at - $2) else due_at end,
        retry_at = case when retry_at > $1 then max($1, retry_at - $2) else retry_at end,
        quiet_until = case when quiet_until > $1 then max($1, quiet_until - $2) else quiet_until end,
        first_at = min(first_at, $1) where due_at > $1 or retry_at > $1 or quiet_until > $1 or first_at > $1";
    let aside = "update record set aside_until = max($1, aside_until - $2) where aside_until > $1";
    let pools = "update pool set paused_until = max($1, paused_until - $2) where paused_until > $1";
    let budgets =
        "update budget set tat = max(0, tat - $2), paused_until = max($1, paused_until - $2) where tat > $1 or paused_until > $1";
    for sql in [lanes, aside, pools, budgets] {
        query(sql).bind(now).bind(back).execute(connection).await?;
    }
    Ok(())
}

/// How far everything was moved back so far, by which the others know; and whoever took a turn at upkeep, did so now at the latest.
async fn tell_others(connection: &mut Connection, now: Timestamp, back: i64) -> Result<(), StoreError> {
    let moved = "insert into control (topic, version) values ('clock', $1)
        on conflict (topic) do update set version = control.version + excluded.version";
    query(moved).bind(back).execute(connection).await?;
    let turns = "update control set version = $1 where topic in ('retention', 'sweep', 'targets') and version > $1";
    query(turns).bind(now).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Timestamp = Timestamp::from_micros(1_795_248_131_000_000);

    fn read(now: Timestamp, moved: Duration) -> Begun {
        Begun { now, moved: i64::try_from(moved.as_micros()).expect("small"), by_hand: false }
    }

    fn pace() -> (Pace, Instant) {
        let mut pace = Pace::default();
        pace.note(read(NOW, Duration::ZERO));
        (pace, Instant::now())
    }

    #[test]
    fn a_clock_that_went_back_is_noticed_by_how_much() {
        let (pace, asked) = pace();
        let back = pace.lag(read(NOW - HOUR, Duration::ZERO), asked + HOUR).expect("it is noticed");
        assert!(back.abs_diff(HOUR * 2) < Duration::from_secs(1), "{back:?}");
        assert_eq!(pace.lag(read(NOW + HOUR, Duration::ZERO), asked + HOUR), None);
        assert_eq!(pace.lag(read(NOW + HOUR * 9, Duration::ZERO), asked + HOUR), None);
        assert_eq!(Pace::default().lag(read(NOW, Duration::ZERO), asked), None);
    }

    #[test]
    fn what_another_process_moved_is_not_moved_again() {
        let (pace, asked) = pace();
        assert_eq!(pace.lag(read(NOW - HOUR, HOUR), asked), None);
        let back = pace.lag(read(NOW - HOUR * 3, HOUR), asked).expect("it went back once more");
        assert!(back.abs_diff(HOUR * 2) < Duration::from_secs(1), "{back:?}");
    }

    #[test]
    fn a_clock_that_is_moved_by_hand_may_stand_still() {
        let (pace, asked) = pace();
        assert_eq!(pace.lag(Begun { by_hand: true, ..read(NOW, Duration::ZERO) }, asked + HOUR), None);
    }
}
