//! The frontier of write-back: which of a worker's pages zswap is about to write back.
//!
//! zswap writes back in the order of storing, more or less (referenced entries go round once more). A
//! page that is read just while its compressed copy is being written back is what the race is about, so
//! workers come back to their pages after the right number of stores. That number depends on the pool's
//! limit, on sizes and on the other workers; it is learnt: a page found in the swap cache had been
//! written back already, one that was not is still in the pool (or was dropped from the cache).

use std::collections::VecDeque;

/// Units of a lag: 1/16 of a store.
const UNIT: u32 = 16;
/// The shortest and the longest lag.
const LAG_MIN: u32 = 2 * UNIT;
const LAG_MAX: u32 = 512 * UNIT;
/// How the lag changes on a page that came too late, and on one that did not: at rest one in five is late.
const TOO_LATE: u32 = UNIT;
const IN_TIME: u32 = UNIT / 4;

/// What a worker knows of it.
#[derive(Debug)]
pub struct Frontier {
    /// Pages in the order in which zswap took them.
    stored: VecDeque<usize>,
    /// How many stores ago a page must be to be at the frontier.
    lag: u32,
}

impl Default for Frontier {
    fn default() -> Self {
        let room = (LAG_MAX / UNIT) as usize * 2;
        Self {
            stored: VecDeque::with_capacity(room + 1),
            lag: 8 * UNIT,
        }
    }
}

impl Frontier {
    /// Notes that zswap took a page.
    pub fn stored(&mut self, page: usize) {
        self.stored.push_back(page);
        // Twice the lag is as far as `take` reaches.
        while self.stored.len() > (self.lag / UNIT) as usize * 2 {
            self.stored.pop_front();
        }
    }

    /// Takes a page at the frontier; `random` spreads the choice by a quarter to either side.
    pub fn take(&mut self, random: u32) -> Option<usize> {
        let spread = self.lag / 2;
        let lag = self.lag - self.lag / 4 + random % spread.max(1);
        let at = self.stored.len().checked_sub((lag / UNIT).max(1) as usize)?;
        self.stored.remove(at)
    }

    /// Learns from a page that was taken: whether it had been written back already.
    pub fn learn(&mut self, written_back: bool) {
        let lag = if written_back {
            self.lag.saturating_sub(TOO_LATE)
        } else {
            self.lag + IN_TIME
        };
        self.lag = lag.clamp(LAG_MIN, LAG_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs against a pool that writes a page back `depth` stores after it was stored; returns the lag.
    fn learnt(depth: usize) -> usize {
        let mut frontier = Frontier::default();
        let mut stored_at = vec![0usize; 4096];
        for store in 0..20_000usize {
            let page = match frontier.take(store as u32 * 7919) {
                Some(page) => {
                    frontier.learn(store - stored_at[page] > depth);
                    page
                }
                None => store % 4096,
            };
            stored_at[page] = store;
            frontier.stored(page);
        }
        (frontier.lag / UNIT) as usize
    }

    #[test]
    fn the_lag_finds_the_depth_of_the_pool() {
        for depth in [8, 30, 100, 300] {
            let lag = learnt(depth);
            assert!(
                (depth * 2 / 3..=depth * 3 / 2).contains(&lag),
                "depth {depth}, lag {lag}"
            );
        }
    }

    #[test]
    fn nothing_is_taken_before_enough_was_stored() {
        let mut frontier = Frontier::default();
        assert_eq!(frontier.take(0), None);
        (0..16).for_each(|page| frontier.stored(page));
        assert!(frontier.take(0).is_some_and(|page| (6..=10).contains(&page)));
    }
}
