//! What cells and kernels are likely to take: from earlier runs where there are any, else from what
//! they ask for. Pure; where the figures of earlier runs come from is the caller's business.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Cell, Plan};
use crate::spec::SourceSpec;

/// What a cell takes beside its budget where no earlier run tells: boot, teardown, verdict.
const BESIDE_BUDGET_MS: u64 = 5_000;
/// What a kernel takes where no earlier run tells: a series on a base that is built.
const BUILD_MS: u64 = 60_000;
/// The version of the file format.
const VERSION: u32 = 1;

/// Seconds that cells and kernels took in earlier runs. As a file, what a split of a matrix can be made the
/// same with on several hosts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Durations {
    /// Version of this record.
    pub v: u32,
    /// From the machine's start to the verdict, by the cells' group.
    pub cells: BTreeMap<String, f64>,
    /// Of kernels that were built, by their name in the matrix.
    pub builds: BTreeMap<String, f64>,
}

impl Durations {
    /// The durations of cells by group, and of kernels by name, in seconds.
    #[must_use]
    pub fn new(cells: BTreeMap<String, f64>, builds: BTreeMap<String, f64>) -> Self {
        Self {
            v: VERSION,
            cells,
            builds,
        }
    }

    /// Whether this version of patchproof can read it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.v == VERSION
    }

    /// What a cell is likely to take, in milliseconds, at least one.
    #[must_use]
    pub fn cell_ms(&self, cell: &Cell) -> u64 {
        let budget = u64::try_from(cell.case.spec.budget.as_millis()).unwrap_or(u64::MAX);
        let known = self.cells.get(&cell.group).and_then(|s| whole_ms(*s));
        known.unwrap_or(budget.saturating_add(BESIDE_BUDGET_MS)).max(1)
    }

    /// What making a kernel of the plan is likely to take, in milliseconds.
    #[must_use]
    pub fn build_ms(&self, plan: &Plan, kernel: &str) -> u64 {
        if let Some(known) = self.builds.get(kernel).and_then(|s| whole_ms(*s)) {
            return known;
        }
        match plan.kernels.get(kernel).map(|kernel| &kernel.source) {
            None | Some(SourceSpec::Image { .. }) => 0,
            Some(_) => BUILD_MS,
        }
    }
}

/// Seconds as whole milliseconds, so that sums are the same on every host.
fn whole_ms(seconds: f64) -> Option<u64> {
    let ms = (seconds * 1e3).round();
    // Beyond that a recorded duration is a broken clock.
    (0.0..1e12).contains(&ms).then_some(ms as u64)
}
