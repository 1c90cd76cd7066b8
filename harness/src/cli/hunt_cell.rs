//! The cell that each trial of a search runs: one of a matrix, or a workload with its defaults.

use super::args::Selection;
use super::hunt_args::Trial;
use super::run::{Read, read, read_text};
use super::show::Failure;
use crate::hunt::bug::Wanted;
use crate::plan::Cell;
use crate::spec::CaseSpec;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A matrix with the one cell that is meant.
pub(super) struct Chosen {
    pub(super) read: Read,
    pub(super) cell: Cell,
    pub(super) wanted: Wanted,
}

/// Reads the matrix and picks the cell. `kernels`: cells of the first of these only.
pub(super) fn choose(what: &Trial, kernels: &[String]) -> Result<Chosen, Failure> {
    let read = match (&what.matrix, &what.workload) {
        (Some(matrix), _) => read(&Selection {
            matrix: matrix.clone(),
            filter: what.cell.iter().cloned().collect(),
            root: what.root.clone(),
        })?,
        (None, Some(workload)) => by_default(what, workload)?,
        (None, None) => {
            return Err(Failure::NoTarget(
                "nothing says what a trial runs: name a --matrix with --cell or --case, or a --workload"
                    .to_owned(),
            ));
        }
    };
    let mut cell = pick(&read, what, kernels)?;
    if let Some(budget) = what.budget {
        cell.case.spec = Arc::new(CaseSpec {
            budget,
            ..CaseSpec::clone(&cell.case.spec)
        });
    }
    Ok(Chosen {
        read,
        cell,
        wanted: wanted(what),
    })
}

fn wanted(what: &Trial) -> Wanted {
    match (what.any, what.finding.as_slice()) {
        (true, _) => Wanted::Any,
        (false, []) => Wanted::LikeBad,
        (false, words) => Wanted::Named(words.to_vec()),
    }
}

/// The one cell that is meant; its repeats are one.
fn pick(read: &Read, what: &Trial, kernels: &[String]) -> Result<Cell, Failure> {
    let cells = read.plan.cells.iter();
    let fits = |cell: &&Cell| {
        what.case.as_ref().is_none_or(|case| cell.case.name == *case)
            && (kernels.is_empty() || kernels.contains(&cell.kernel))
    };
    let mut cells: Vec<&Cell> = cells.filter(fits).filter(|cell| cell.repeat == 1).collect();
    if let Some(first) = kernels.first() {
        // Kernels are what is searched: which of them a cell has makes no difference.
        cells.retain(|cell| cell.kernel == *first);
    }
    match cells.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::NoTarget(
            "no cell of the matrix is meant by --cell, --case and --kernels".to_owned(),
        )),
        several => {
            let ids: Vec<&str> = several.iter().take(8).map(|cell| cell.id.as_str()).collect();
            Err(Failure::NoTarget(format!(
                "a trial is one cell, but {} are meant: {}; say which with --cell",
                several.len(),
                ids.join(", ")
            )))
        }
    }
}

/// Where a matrix that nobody wrote would lie.
const UNWRITTEN: &str = "workload.yaml";

/// A matrix of one cell: a workload with its defaults.
fn by_default(what: &Trial, workload: &str) -> Result<Read, Failure> {
    let plain = |text: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-+.%".contains(c);
        if !text.is_empty() && text.chars().all(allowed) {
            Ok(text.to_owned())
        } else {
            Err(Failure::NoTarget(format!("{text:?} is no name, number or size")))
        }
    };
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Ok::<_, Failure>((plain(name)?, plain(value)?))
    };
    let params: Vec<String> = what
        .param
        .iter()
        .map(|param| pair(param).map(|(name, value)| format!("{name}: {value}")))
        .collect::<Result<_, _>>()?;
    let delays: Vec<String> = what
        .delay
        .iter()
        .map(|delay| pair(delay).map(|(name, range)| format!("{name}: {{ delay: {range} }}")))
        .collect::<Result<_, _>>()?;
    let racepoint = if delays.is_empty() {
        "off".to_owned()
    } else {
        format!("{{ {} }}", delays.join(", "))
    };
    let text = format!(
        "version: 1\n\
         kernels: {{ k: {{ source: {{ debian: linux-source-6.12 }}, kconfigs: [base, mm, virtme, racepoints], series: [racepoints] }} }}\n\
         machines: {{ small: {{ backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: 16MiB, data: 64MiB }} }}\n\
         cases: {{ c: {{ workload: {}, seed: 1, budget: 30s, params: {{ {} }} }} }}\n\
         matrix: {{ kernel: [k], machine: [small], case: [c], racepoint: [{racepoint}] }}\n",
        plain(workload)?,
        params.join(", ")
    );
    let root = match &what.root {
        Some(root) => root.clone(),
        None => root_here()?,
    };
    read_text(&root.join(UNWRITTEN), text.as_bytes(), root)
}

/// The nearest folder at or above this one that has kconfigs/ and patches/.
fn root_here() -> Result<PathBuf, Failure> {
    let here = std::path::absolute(".").map_err(|e| Failure::Own(e.to_string()))?;
    let has = |dir: &&Path| dir.join("kconfigs").is_dir() && dir.join("patches").is_dir();
    let found = here.ancestors().find(has).map(Path::to_owned);
    found.ok_or(Failure::NoRoot(here))
}
