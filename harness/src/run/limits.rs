//! What bounds a run: how much runs at once, how long, and what ends it early.

use std::time::Duration;

use crate::plan::{Durations, ShardOf};

/// Bounds of a run. The default bounds nothing but what the host is.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Virtual CPUs that may run at once for each CPU that may be used; 1 is never more than there are.
    pub overcommit: u32,
    /// Memory that machines may have together, in bytes.
    pub memory: u64,
    /// After so long nothing is started any more, and what runs is ended.
    pub time_budget: Option<Duration>,
    /// The first cell that fails, or misses its defect, ends the run.
    pub fail_fast: bool,
    /// How often the cells are run, each time with other seeds, until one has a finding; 1 is just once.
    pub rounds_max: u32,
    /// What cells took in earlier runs: the longest goes first.
    pub durations: Durations,
    /// Which part of a split matrix this run is.
    pub shard: Option<ShardOf>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            overcommit: 1,
            memory: u64::MAX,
            time_budget: None,
            fail_fast: false,
            rounds_max: 1,
            durations: Durations::default(),
            shard: None,
        }
    }
}

impl Limits {
    /// What a reader of the run must know of them.
    pub(super) fn notes(&self, cores: u32) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(shard) = &self.shard {
            notes.push(format!(
                "shard {}/{} of a matrix of {} cells (split {}, about {} s)",
                shard.index,
                shard.count,
                shard.all.len(),
                shard.digest,
                shard.ms / 1000
            ));
        }
        if self.overcommit > 1 {
            notes.push(format!(
                "up to {} virtual CPUs at once on {cores} CPUs: what a guest proves that has to wait is less",
                cores.saturating_mul(self.overcommit)
            ));
        }
        if let Some(budget) = self.time_budget {
            notes.push(format!("it ends after {} s, whatever is left", budget.as_secs()));
        }
        if self.rounds_max > 1 {
            notes.push(format!(
                "its cells are run until one has a finding, at most {} times, each time with other seeds",
                self.rounds_max
            ));
        }
        notes
    }
}
