//! A matrix → cells: what is booted, with which seeds, and what is expected of it. Pure.
//!
//! [`expand`] crosses the axes; [`Plan::select`] keeps some of the cells. A cell's id is
//! `KERNEL.MACHINE@BACKEND.CASE.RACEPOINT`, as in `fixed.small@qemu.pressure.off`. What other axes change
//! follows the block that it changes (`fixed+v6-1`, `small+2cpu`, `pressure+arena-4MiB`), the axis `seed`
//! adds `#seed7`, and with `repeat` above 1 each repeat is a cell of its own and `#1`, `#2` … follow. The
//! id without seed and repeat is the cell's group.
//!
//! # Exclude and include
//! They mean what they mean in a GitHub Actions matrix, where it makes sense here:
//! 1. The axes are crossed in the order of [`Axis`](crate::spec::Axis), the first one varying slowest.
//! 2. `exclude` takes every combination out that has all the values an entry gives; keys it does not
//!    give match anything.
//! 3. `include`, entry by entry and after that: its values are added to each of the *original*
//!    combinations, unless one of them would overwrite a value of an axis; an entry that fits none
//!    becomes a new combination, after the others. What one entry added, a later one may overwrite;
//!    what an entry created, no later one is added to. So `{ kernel: defect, repeat: 5 }` repeats the
//!    defect's cells, and an entry with kernel, machine and case is one more cell.
//!
//! Stricter than there, since every slip is a test that never runs: an entry of `exclude`, `include` or
//! `expect` without any effect is an error, and so are two cells with the same id.

mod combine;
mod derive;
mod estimate;
mod expand;
mod select;
mod shard;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;
use miette::{Diagnostic, SourceCode};

pub use crate::spec::RacepointSetting;
use crate::spec::{CaseSpec, Expectation, KernelSpec, MachineSpec, SpecError};
pub use estimate::Durations;
pub use expand::expand;
pub use select::selects;
pub use shard::{SHARDS_MAX, Shard, ShardOf, Split};

/// Most cells of one plan, repeats counted.
pub const CELLS_MAX: usize = 100_000;

/// All cells of a matrix, in a fixed order.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The matrix file, as it was named.
    pub path: PathBuf,
    /// The kernels that the cells use, in the order of the file.
    pub kernels: IndexMap<String, KernelSpec>,
    /// Never empty.
    pub cells: Vec<Cell>,
}

/// Something of the matrix file, with its name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T> {
    /// Its name.
    pub name: String,
    /// What it is.
    pub spec: Arc<T>,
}

/// One point of a matrix: one VM, one verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// `KERNEL.MACHINE@BACKEND.CASE.RACEPOINT`, with `#N` where cells are repeated; unique in the plan.
    pub id: String,
    /// The id without its repeat: `#seedN` is a part of it.
    pub stem: String,
    /// The id without seed and repeat: cells of one group differ in nothing else.
    pub group: String,
    /// Name of the kernel: a key of [`Plan::kernels`].
    pub kernel: String,
    /// The VM.
    pub machine: Named<MachineSpec>,
    /// The workload; its seed is the case's, not the cell's.
    pub case: Named<CaseSpec>,
    /// What is armed.
    pub racepoint: RacepointSetting,
    /// Which repeat, from 1.
    pub repeat: u32,
    /// The case's seed in the first repeat; a value derived from seed and repeat in the others.
    pub seed: u64,
    /// The seed of the first repeat.
    pub first_seed: u64,
    /// What is expected; without it, a pass.
    pub expect: Option<Arc<Expectation>>,
}

impl Cell {
    /// The same once more, with a seed of its own: the repeat of that number.
    #[must_use]
    pub fn again(&self, repeat: u32) -> Self {
        Self {
            id: format!("{}#{repeat}", self.stem),
            repeat,
            seed: seed(self.first_seed, repeat),
            ..self.clone()
        }
    }
}

/// The seed of a repeat: the cell's own first, then values that are far apart and always the same.
#[must_use]
pub fn seed(first: u64, repeat: u32) -> u64 {
    if repeat <= 1 {
        return first;
    }
    // An odd step visits every value; the multiplications are one-to-one, so repeats never share a seed.
    let mut z = first.wrapping_add(u64::from(repeat).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Why there is no plan.
#[derive(Debug, Clone)]
pub enum PlanError {
    /// The matrix file asks for what can't be.
    Spec(SpecError),
    /// A pattern given on the command line selects no cell.
    NoCell {
        /// The pattern.
        pattern: String,
        /// Ids that look like it, the likeliest first; a few of all ids where none does.
        closest: Vec<String>,
    },
    /// A shard has no cell.
    EmptyShard {
        /// Which one, from 1.
        index: u32,
        /// How many there are.
        count: u32,
        /// How many cells were split.
        cells: usize,
    },
}

impl PlanError {
    /// Renders the error as stable plain text; ends with a newline.
    #[must_use]
    pub fn render_plain(&self) -> String {
        match self {
            Self::Spec(e) => e.render_plain(),
            Self::NoCell { .. } | Self::EmptyShard { .. } => {
                format!("error: {self}\n  help: {}\n", self.advice().unwrap_or_default())
            }
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Spec(_) => None,
            Self::EmptyShard { .. } => Some("ask for at most as many shards as there are cells".to_owned()),
            Self::NoCell { closest, .. } => Some(format!(
                "a pattern is a part of a cell's id, or a glob with `*` and `?`; ids near it: {}",
                closest.join(", ")
            )),
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(e) => e.fmt(f),
            Self::NoCell { pattern, .. } if pattern.is_empty() => {
                write!(f, "an empty pattern selects no cell")
            }
            Self::NoCell { pattern, .. } => write!(f, "no cell is selected by `{pattern}`"),
            Self::EmptyShard { index, count, cells } => {
                write!(f, "shard {index}/{count} has no cell: there are {cells} in all")
            }
        }
    }
}

impl std::error::Error for PlanError {}

impl Diagnostic for PlanError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.advice().map(|a| Box::new(a) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        match self {
            Self::Spec(e) => e.source_code(),
            Self::NoCell { .. } | Self::EmptyShard { .. } => None,
        }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self {
            Self::Spec(e) => e.related(),
            Self::NoCell { .. } | Self::EmptyShard { .. } => None,
        }
    }
}

impl From<SpecError> for PlanError {
    fn from(e: SpecError) -> Self {
        Self::Spec(e)
    }
}
