//! Crossing the axes of a matrix.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::{CELLS_MAX, Cell, Named, Plan, PlanError};
use crate::spec::{CaseSpec, Expectation, Include, MachineSpec, Problem, RacepointSetting, Spec};

/// A combination of the axes' values, before it is repeated.
#[derive(Debug, Clone)]
struct Combination {
    kernel: String,
    machine: Named<MachineSpec>,
    case: Named<CaseSpec>,
    racepoint: RacepointSetting,
    repeat: u32,
    /// Of an `include` entry that made it, where that stands.
    made_at: Option<Range<usize>>,
}

impl Combination {
    fn group(&self) -> String {
        let backend = self.machine.spec.backend.word();
        format!(
            "{}.{}@{backend}.{}.{}",
            self.kernel, self.machine.name, self.case.name, self.racepoint.name
        )
    }
}

/// Makes the cells of a matrix.
///
/// # Errors
/// [`PlanError::Spec`] with everything that is wrong: entries without effect, the same cell twice, no
/// cell at all, more than [`CELLS_MAX`].
pub fn expand(spec: &Spec) -> Result<Plan, PlanError> {
    let mut problems = Vec::new();
    let fail = |problems: Vec<Problem>| Err(PlanError::from(spec.error(problems)));
    if let Some(problem) = too_many(spec) {
        return fail(vec![problem]);
    }
    let mut combinations = cross(spec);
    exclude(spec, &mut combinations, &mut problems);
    include(spec, &mut combinations, &mut problems);
    let total: usize = combinations.iter().map(|c| c.repeat as usize).sum();
    if total > CELLS_MAX {
        return fail(vec![bound(spec, total as u128)]);
    }
    if combinations.is_empty() && problems.is_empty() {
        problems.push(Problem::new(spec.matrix.at.clone(), "the matrix selects no cell"));
    }
    duplicates(&combinations, &mut problems);
    let expectations = expect(spec, &combinations, &mut problems);
    if !problems.is_empty() {
        return fail(problems);
    }
    let cells: Vec<Cell> = combinations
        .iter()
        .zip(expectations)
        .flat_map(|(c, e)| cells(c, e.as_ref()))
        .collect();
    Ok(Plan {
        path: spec.path.clone(),
        kernels: spec.kernels.clone(),
        cells,
    }
    .with_used_kernels())
}

/// Tells that the product is too large before any of it is made.
fn too_many(spec: &Spec) -> Option<Problem> {
    let m = &spec.matrix;
    let racepoints = m.racepoint.as_ref().map_or(1, Vec::len);
    let product = [
        m.kernel.len(),
        m.machine.len(),
        m.case.len(),
        racepoints,
        m.repeat as usize,
    ];
    let product: u128 = product.into_iter().map(|n| n as u128).product();
    (product > CELLS_MAX as u128).then(|| bound(spec, product))
}

fn bound(spec: &Spec, cells: u128) -> Problem {
    Problem::new(
        spec.matrix.at.clone(),
        format!("the matrix has {cells} cells; at most {CELLS_MAX} are allowed"),
    )
    .help("split it into several files, or lower `repeat`")
}

fn machine(spec: &Spec, name: &str) -> Option<Named<MachineSpec>> {
    spec.machines.get(name).map(|m| Named {
        name: name.to_owned(),
        spec: Arc::clone(m),
    })
}

fn case(spec: &Spec, name: &str) -> Option<Named<CaseSpec>> {
    spec.cases.get(name).map(|c| Named {
        name: name.to_owned(),
        spec: Arc::clone(c),
    })
}

fn cross(spec: &Spec) -> Vec<Combination> {
    let m = &spec.matrix;
    let off = [RacepointSetting::off()];
    let racepoints = m.racepoint.as_deref().unwrap_or(&off);
    let mut all = Vec::new();
    for kernel in &m.kernel {
        for machine in m.machine.iter().filter_map(|n| machine(spec, n)) {
            for case in m.case.iter().filter_map(|n| case(spec, n)) {
                all.extend(racepoints.iter().map(|racepoint| Combination {
                    kernel: kernel.clone(),
                    machine: machine.clone(),
                    case: case.clone(),
                    racepoint: racepoint.clone(),
                    repeat: m.repeat,
                    made_at: None,
                }));
            }
        }
    }
    all
}

fn exclude(spec: &Spec, combinations: &mut Vec<Combination>, problems: &mut Vec<Problem>) {
    let matches = |filter: &crate::spec::Filter, c: &Combination| {
        filter.matches(&c.kernel, &c.machine.name, &c.case.name, &c.racepoint.name)
    };
    for entry in &spec.matrix.exclude {
        // Against all of them: two entries may take out the same one.
        if !combinations.iter().any(|c| matches(&entry.filter, c)) {
            problems.push(
                Problem::new(entry.at.clone(), "this entry excludes nothing")
                    .help("cells of `include` are added later: leave them out there"),
            );
        }
    }
    combinations.retain(|c| !spec.matrix.exclude.iter().any(|entry| matches(&entry.filter, c)));
}

fn include(spec: &Spec, combinations: &mut Vec<Combination>, problems: &mut Vec<Problem>) {
    let originals = combinations.len();
    for entry in &spec.matrix.include {
        let mut fits = false;
        for c in combinations
            .iter_mut()
            .take(originals)
            .filter(|c| may_be_added(spec, entry, c))
        {
            fits = true;
            c.repeat = entry.repeat.unwrap_or(c.repeat);
            if let (Some(racepoint), None) = (&entry.racepoint, &spec.matrix.racepoint) {
                c.racepoint.clone_from(racepoint);
            }
        }
        let adds = entry.repeat.is_some() || (entry.racepoint.is_some() && spec.matrix.racepoint.is_none());
        if fits && !adds {
            problems.push(
                Problem::new(
                    entry.at.clone(),
                    "this entry adds nothing: the matrix has these cells already",
                )
                .help("an entry adds `repeat` to cells, or is a new cell"),
            );
        } else if !fits {
            match created(spec, entry) {
                Ok(new) => combinations.push(new),
                Err(problem) => problems.push(problem),
            }
        }
    }
}

/// Whether no value of an entry would overwrite one that an axis gave.
fn may_be_added(spec: &Spec, entry: &Include, c: &Combination) -> bool {
    let same = |given: Option<&String>, value: &str| given.is_none_or(|g| g == value);
    same(entry.kernel.as_ref(), &c.kernel)
        && same(entry.machine.as_ref(), &c.machine.name)
        && same(entry.case.as_ref(), &c.case.name)
        && (spec.matrix.racepoint.is_none()
            || same(entry.racepoint.as_ref().map(|r| &r.name), &c.racepoint.name))
}

fn created(spec: &Spec, entry: &Include) -> Result<Combination, Problem> {
    let needs = |axis: &str| {
        Problem::new(
            entry.at.clone(),
            format!("this entry fits no cell, and for a new one it lacks `{axis}`"),
        )
    };
    Ok(Combination {
        kernel: entry.kernel.clone().ok_or_else(|| needs("kernel"))?,
        machine: entry
            .machine
            .as_ref()
            .and_then(|n| machine(spec, n))
            .ok_or_else(|| needs("machine"))?,
        case: entry
            .case
            .as_ref()
            .and_then(|n| case(spec, n))
            .ok_or_else(|| needs("case"))?,
        racepoint: entry.racepoint.clone().unwrap_or_else(RacepointSetting::off),
        repeat: entry.repeat.unwrap_or(spec.matrix.repeat),
        made_at: Some(entry.at.clone()),
    })
}

fn duplicates(combinations: &[Combination], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<String, Option<Range<usize>>> = HashMap::new();
    for c in combinations {
        let group = c.group();
        let message = format!("this makes the cell {group} a second time");
        if let (Some(first), Some(at)) = (seen.get(&group), &c.made_at) {
            let problem = Problem::new(at.clone(), message);
            problems.push(match first {
                Some(first) => problem.also(first.clone(), "the first one is made here"),
                None => problem,
            });
        } else {
            seen.insert(group, c.made_at.clone());
        }
    }
}

/// Finds each combination's expectation: the last that matches. One that decides nothing is an error.
fn expect(
    spec: &Spec,
    combinations: &[Combination],
    problems: &mut Vec<Problem>,
) -> Vec<Option<Arc<Expectation>>> {
    let shared: Vec<Arc<Expectation>> = spec.expect.iter().cloned().map(Arc::new).collect();
    let matches = |e: &Expectation, c: &Combination| {
        e.filter
            .matches(&c.kernel, &c.machine.name, &c.case.name, &c.racepoint.name)
    };
    let decided: Vec<Option<usize>> = combinations
        .iter()
        .map(|c| shared.iter().rposition(|e| matches(e, c)))
        .collect();
    let used: HashSet<usize> = decided.iter().flatten().copied().collect();
    for (at, e) in shared.iter().enumerate().filter(|(at, _)| !used.contains(at)) {
        let over = combinations
            .iter()
            .zip(&decided)
            .find(|(c, _)| matches(e, c))
            .and_then(|(_, d)| *d);
        problems.push(match over.and_then(|by| shared.get(by)) {
            None => Problem::new(e.at.clone(), "this expectation matches no cell"),
            Some(by) => Problem::new(
                shared[at].at.clone(),
                "this expectation decides no cell: later ones match them all",
            )
            .also(by.at.clone(), "of several that match, the last one counts")
            .help("put the general ones first, the special ones after them"),
        });
    }
    decided
        .into_iter()
        .map(|d| d.and_then(|at| shared.get(at).cloned()))
        .collect()
}

fn cells(c: &Combination, expect: Option<&Arc<Expectation>>) -> Vec<Cell> {
    let group = c.group();
    (1..=c.repeat)
        .map(|repeat| Cell {
            id: if c.repeat == 1 {
                group.clone()
            } else {
                format!("{group}#{repeat}")
            },
            group: group.clone(),
            kernel: c.kernel.clone(),
            machine: c.machine.clone(),
            case: c.case.clone(),
            racepoint: c.racepoint.clone(),
            repeat,
            seed: seed(c.case.spec.seed, repeat),
            expect: expect.cloned(),
        })
        .collect()
}

/// The seed of a repeat: the case's own first, then values that are far apart and always the same.
#[must_use]
pub fn seed(case: u64, repeat: u32) -> u64 {
    if repeat <= 1 {
        return case;
    }
    // An odd step visits every value; the multiplications are one-to-one, so repeats never share a seed.
    let mut z = case.wrapping_add(u64::from(repeat).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
