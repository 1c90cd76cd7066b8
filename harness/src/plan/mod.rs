//! A matrix → cells: what is booted, with which seeds, and what is expected of it. Pure.
//!
//! [`expand`] crosses the axes; [`Plan::select`] keeps some of the cells. A cell's id is
//! `KERNEL.MACHINE@BACKEND.CASE.RACEPOINT`, as in `fixed.small@qemu.pressure.off`; with `repeat` above
//! 1 each repeat is a cell of its own and `#1`, `#2` … follow. The id without it is the cell's group.
//!
//! # Exclude and include
//! They mean what they mean in a GitHub Actions matrix, where it makes sense here:
//! 1. The axes `kernel`, `machine`, `case` and `racepoint` are crossed, the first one varying slowest.
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

mod expand;
mod select;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;
use miette::{Diagnostic, SourceCode};

pub use crate::spec::RacepointSetting;
use crate::spec::{CaseSpec, Expectation, KernelSpec, MachineSpec, SpecError};
pub use expand::{expand, seed};
pub use select::selects;

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
    /// The id without `#N`.
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
    /// What is expected; without it, a pass.
    pub expect: Option<Arc<Expectation>>,
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
}

impl PlanError {
    /// Renders the error as stable plain text; ends with a newline.
    #[must_use]
    pub fn render_plain(&self) -> String {
        match self {
            Self::Spec(e) => e.render_plain(),
            Self::NoCell { .. } => format!("error: {self}\n  help: {}\n", self.advice().unwrap_or_default()),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Spec(_) => None,
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
            Self::NoCell { .. } => None,
        }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self {
            Self::Spec(e) => e.related(),
            Self::NoCell { .. } => None,
        }
    }
}

impl From<SpecError> for PlanError {
    fn from(e: SpecError) -> Self {
        Self::Spec(e)
    }
}
