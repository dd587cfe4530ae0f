//! The hands of a worker: how many are free, who holds the others, and who may be given one more. A provider or a database that
//! answers nobody keeps each hand that waits for it; so nobody gets the last ones, and there are always some for others.

use std::collections::HashMap;

/// The hands of one process for one kind of work. One hand works on one lane.
#[derive(Clone, Debug)]
pub struct Hands {
    free: usize,
    /// Whether shares are kept to.
    is_shared: bool,
    of_sources: HashMap<String, usize>,
    of_pools: HashMap<i64, usize>,
}

/// How many times what stays free a source may hold; a pool may hold as many as stay free.
const SOURCE_SHARE: usize = 3;

impl Hands {
    /// Free hands that are shared: of 32, one source gets 24 at most and one of its pools 16, so that others find some.
    pub fn shared(count: usize) -> Self {
        Self { is_shared: true, ..Self::for_anyone(count) }
    }

    /// Free hands for whatever is due first.
    pub fn for_anyone(count: usize) -> Self {
        Self { free: count, is_shared: false, of_sources: HashMap::new(), of_pools: HashMap::new() }
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free
    }

    /// How many pools hold some.
    pub(crate) fn pools(&self) -> usize {
        self.of_pools.len()
    }

    /// Whether all are free.
    pub fn are_idle(&self) -> bool {
        self.of_sources.is_empty()
    }

    /// Whether a source may get another one.
    pub fn has_room_for(&self, source: &str) -> bool {
        let held = self.of_sources.get(source).copied().unwrap_or(0);
        self.free > 0 && (!self.is_shared || held == 0 || held < SOURCE_SHARE * (self.free - 1))
    }

    /// Whether a pool of a source may get another one.
    pub(crate) fn has_room_for_pool(&self, source: &str, pool_id: i64) -> bool {
        let held = self.of_pools.get(&pool_id).copied().unwrap_or(0);
        self.has_room_for(source) && (!self.is_shared || held == 0 || held < self.free - 1)
    }

    /// Whether anyone who holds some may get no more now, though there are free ones.
    pub fn is_anyone_at_the_limit(&self) -> bool {
        let at_limit = |source: &String| !self.has_room_for(source);
        self.is_shared && (self.of_sources.keys().any(at_limit) || self.of_pools.values().any(|held| *held + 1 >= self.free))
    }

    /// One works for a pool of a source from now on.
    pub fn take(&mut self, source: &str, pool_id: i64) {
        self.free = self.free.saturating_sub(1);
        *self.of_sources.entry(source.to_owned()).or_default() += 1;
        *self.of_pools.entry(pool_id).or_default() += 1;
    }

    /// One that was taken is free again.
    pub fn put_down(&mut self, source: &str, pool_id: i64) {
        self.free += 1;
        if let Some(held) = self.of_sources.get_mut(source) {
            *held -= 1;
        }
        if let Some(held) = self.of_pools.get_mut(&pool_id) {
            *held -= 1;
        }
        self.of_sources.retain(|_, held| *held > 0);
        self.of_pools.retain(|_, held| *held > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many each gets that asks for as many as it may have, one after the other.
    fn given(count: usize, asking: &[(&str, i64)]) -> Vec<usize> {
        let mut hands = Hands::shared(count);
        let mut all_of = |(source, pool): &(&str, i64)| {
            let mut given = 0;
            while hands.has_room_for_pool(source, *pool) {
                hands.take(source, *pool);
                given += 1;
            }
            given
        };
        asking.iter().map(&mut all_of).collect()
    }

    #[test]
    fn whoever_takes_all_it_may_leaves_some_to_others() {
        assert_eq!(given(32, &[("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5)]), [16, 8, 0, 4, 2]);
        assert_eq!(given(4, &[("a", 1), ("b", 2), ("c", 3), ("d", 4)]), [2, 1, 1, 0]);
    }

    #[test]
    fn the_only_hand_is_for_anyone() {
        assert_eq!(given(1, &[("a", 1), ("b", 2)]), [1, 0]);
    }

    #[test]
    fn a_hand_that_is_put_down_is_free_for_all() {
        let mut hands = Hands::shared(2);
        hands.take("a", 1);
        assert!(hands.is_anyone_at_the_limit() && !hands.has_room_for("a") && hands.has_room_for("b"));
        hands.put_down("a", 1);
        assert!(hands.are_idle() && hands.free() == 2 && !hands.is_anyone_at_the_limit());
    }
}
