//! From a matrix to its cells.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::combine::{self, Combination, Included};
use super::derive::{Made, Maker};
use super::{CELLS_MAX, Cell, Plan, PlanError};
use crate::spec::{Axis, Choice, Expectation, Filter, Problem, Spec};

/// The keys that combinations have values of, and the values there are.
struct Space<'s> {
    spec: &'s Spec,
    /// Axes that are given, and those that `include` alone gives, in the order of crossing.
    keys: Vec<&'s Axis>,
    /// By key: whether the matrix has it as an axis.
    is_axis: Vec<bool>,
    /// By key: the values, of which combinations hold the places.
    choices: Vec<Vec<&'s Choice>>,
    /// How often: values of the last key.
    repeats: Vec<u32>,
}

impl<'s> Space<'s> {
    fn new(spec: &'s Spec) -> Self {
        let m = &spec.matrix;
        let included = m.include.iter().flat_map(|entry| &entry.sets);
        let mut keys: Vec<&Axis> = m.axes.iter().map(|(axis, _)| axis).collect();
        keys.extend(included.clone().map(|(axis, _)| axis));
        keys.sort();
        keys.dedup();
        let mut choices: Vec<Vec<&Choice>> = vec![Vec::new(); keys.len()];
        let given = m
            .axes
            .iter()
            .flat_map(|(axis, all)| all.iter().map(move |c| (axis, c)));
        let mut known: Vec<HashSet<&str>> = vec![HashSet::new(); keys.len()];
        for (axis, choice) in given.chain(included.map(|(axis, choice)| (axis, choice))) {
            if let Ok(key) = keys.binary_search(&axis)
                && known[key].insert(&choice.name)
            {
                choices[key].push(choice);
            }
        }
        let mut is_axis: Vec<bool> = keys.iter().map(|key| m.axis(key).is_some()).collect();
        is_axis.push(false);
        let mut repeats = vec![m.repeat];
        repeats.extend(m.include.iter().filter_map(|entry| entry.repeat));
        repeats.sort_unstable();
        repeats.dedup();
        Self {
            spec,
            keys,
            is_axis,
            choices,
            repeats,
        }
    }

    fn key(&self, axis: &Axis) -> Option<usize> {
        self.keys.binary_search(&axis).ok()
    }

    fn place(&self, key: usize, name: &str) -> usize {
        let found = self.choices[key].iter().position(|c| c.name == name);
        found.unwrap_or(usize::MAX)
    }

    fn cross(&self) -> Vec<Combination<usize>> {
        let axes: Vec<(usize, Vec<usize>)> = self
            .spec
            .matrix
            .axes
            .iter()
            .filter_map(|(axis, all)| Some((self.key(axis)?, (0..all.len()).collect())))
            .collect();
        combine::cross(self.keys.len() + 1, &axes)
    }

    /// The entries of `include` as keys and values; the last key is `repeat`.
    fn entries(&self) -> Vec<Vec<(usize, usize)>> {
        let entry = |entry: &crate::spec::Include| {
            let sets = entry.sets.iter();
            let mut all: Vec<(usize, usize)> = sets
                .filter_map(|(axis, choice)| {
                    let key = self.key(axis)?;
                    Some((key, self.place(key, &choice.name)))
                })
                .collect();
            if let Some(repeat) = entry.repeat {
                let place = self.repeats.iter().position(|r| *r == repeat).unwrap_or(0);
                all.push((self.keys.len(), place));
            }
            all
        };
        self.spec.matrix.include.iter().map(entry).collect()
    }

    fn repeat(&self, c: &Combination<usize>) -> u32 {
        let place = c.values.get(self.keys.len()).copied().flatten();
        place
            .and_then(|place| self.repeats.get(place).copied())
            .unwrap_or(self.spec.matrix.repeat)
    }

    fn values(&self, c: &Combination<usize>) -> Vec<(&'s Axis, &'s Choice)> {
        let value = |(key, axis): (usize, &&'s Axis)| {
            let place = c.values[key]?;
            Some((*axis, *self.choices[key].get(place)?))
        };
        self.keys.iter().enumerate().filter_map(value).collect()
    }

    fn matches(&self, filter: &Filter, c: &Combination<usize>) -> bool {
        filter.matches(|axis| {
            let choice = self
                .key(axis)
                .and_then(|key| self.choices[key].get(c.values[key]?).copied());
            // Nothing armed is a setting too, where no axis says so.
            let off = (*axis == Axis::Racepoint).then_some("off");
            choice.map(|c| c.name.as_str()).or(off)
        })
    }

    /// Where what made a combination is written.
    fn at(&self, c: &Combination<usize>) -> Range<usize> {
        let m = &self.spec.matrix;
        let entry = c.made_by.and_then(|place| m.include.get(place));
        entry.map_or_else(|| m.at.clone(), |entry| entry.at.clone())
    }
}

/// Makes the cells of a matrix.
///
/// # Errors
/// [`PlanError::Spec`] with everything that is wrong: entries without effect, the same cell twice, no
/// cell at all, more than [`CELLS_MAX`], values that do not go with what they change.
pub fn expand(spec: &Spec) -> Result<Plan, PlanError> {
    let mut problems = Vec::new();
    let fail = |problems: Vec<Problem>| Err(PlanError::from(spec.error(problems)));
    if let Some(problem) = too_many(spec) {
        return fail(vec![problem]);
    }
    let space = Space::new(spec);
    let mut all = space.cross();
    exclude(&space, &mut all, &mut problems);
    include(&space, &mut all, &mut problems);
    let total: usize = all.iter().map(|c| space.repeat(c) as usize).sum();
    if total > CELLS_MAX {
        return fail(vec![bound(spec, total as u128)]);
    }
    if all.is_empty() && problems.is_empty() {
        problems.push(Problem::new(spec.matrix.at.clone(), "the matrix selects no cell"));
    }
    let mut maker = Maker::new(spec);
    let made: Vec<Option<Made>> = all
        .iter()
        .map(|c| maker.make(&space.values(c), &space.at(c)))
        .collect();
    problems.append(&mut maker.problems);
    duplicates(&space, &all, &made, &mut problems);
    let expectations = expect(&space, &all, &mut problems);
    if !problems.is_empty() {
        return fail(problems);
    }
    let cells: Vec<Cell> = all
        .iter()
        .zip(made.iter().zip(expectations))
        .filter_map(|(c, (made, e))| Some((c, made.as_ref()?, e)))
        .flat_map(|(c, made, e)| cells(made, space.repeat(c), e.as_ref()))
        .collect();
    // In the order of the file, each kernel followed by what axes make of it.
    let mut kernels = maker.kernels;
    let block = |name: &str| spec.kernels.get_index_of(name.split('+').next().unwrap_or(name));
    kernels.sort_by(|a, _, b, _| block(a).cmp(&block(b)));
    Ok(Plan {
        path: spec.path.clone(),
        kernels,
        cells,
    })
}

/// Tells that the product is too large before any of it is made.
fn too_many(spec: &Spec) -> Option<Problem> {
    let m = &spec.matrix;
    let axes = m.axes.iter().map(|(_, values)| values.len() as u128);
    let product = axes.chain([u128::from(m.repeat)]).fold(1, u128::saturating_mul);
    (!m.axes.is_empty() && product > CELLS_MAX as u128).then(|| bound(spec, product))
}

fn bound(spec: &Spec, cells: u128) -> Problem {
    Problem::new(
        spec.matrix.at.clone(),
        format!("the matrix has {cells} cells; at most {CELLS_MAX} are allowed"),
    )
    .help("split it into several files, or lower `repeat`")
}

fn exclude(space: &Space<'_>, all: &mut Vec<Combination<usize>>, problems: &mut Vec<Problem>) {
    let entries = &space.spec.matrix.exclude;
    let used = combine::exclude(all, entries, |entry, c| space.matches(&entry.filter, c));
    for (entry, _) in entries.iter().zip(used).filter(|(_, used)| !used) {
        problems.push(
            Problem::new(entry.at.clone(), "this entry excludes nothing")
                .help("cells of `include` are added later: leave them out there"),
        );
    }
}

fn include(space: &Space<'_>, all: &mut Vec<Combination<usize>>, problems: &mut Vec<Problem>) {
    let results = combine::include(all, &space.is_axis, &space.entries());
    for (entry, result) in space.spec.matrix.include.iter().zip(results) {
        if result == Included::Nothing {
            problems.push(
                Problem::new(
                    entry.at.clone(),
                    "this entry adds nothing: the matrix has these cells already",
                )
                .help("an entry adds values that no axis has to cells, or is a new cell"),
            );
        }
    }
}

/// A cell's id without its seed and its repeat.
fn group(made: &Made) -> String {
    let backend = made.machine.spec.backend.word();
    format!(
        "{}.{}@{backend}.{}.{}",
        made.kernel, made.machine.name, made.case.name, made.racepoint.name
    )
}

/// A cell's id without its repeat.
fn stem(made: &Made) -> String {
    let group = group(made);
    match made.seed {
        Some(seed) => format!("{group}#seed{seed}"),
        None => group,
    }
}

fn duplicates(
    space: &Space<'_>,
    all: &[Combination<usize>],
    made: &[Option<Made>],
    problems: &mut Vec<Problem>,
) {
    let mut seen: HashMap<String, Option<Range<usize>>> = HashMap::new();
    for (c, made) in all.iter().zip(made) {
        let Some(made) = made else { continue };
        let stem = stem(made);
        let at = c.made_by.map(|_| space.at(c));
        let Some(first) = seen.get(&stem) else {
            seen.insert(stem, at);
            continue;
        };
        let place = at.unwrap_or_else(|| space.spec.matrix.at.clone());
        let problem = Problem::new(place, format!("this makes the cell {stem} a second time"));
        problems.push(match first {
            Some(first) => problem.also(first.clone(), "the first one is made here"),
            None => problem,
        });
    }
}

/// Finds each combination's expectation: the last that matches. One that decides nothing is an error.
fn expect(
    space: &Space<'_>,
    all: &[Combination<usize>],
    problems: &mut Vec<Problem>,
) -> Vec<Option<Arc<Expectation>>> {
    let shared: Vec<Arc<Expectation>> = space.spec.expect.iter().cloned().map(Arc::new).collect();
    let matches = |e: &Expectation, c: &Combination<usize>| space.matches(&e.filter, c);
    let decided: Vec<Option<usize>> = all
        .iter()
        .map(|c| shared.iter().rposition(|e| matches(e, c)))
        .collect();
    let used: HashSet<usize> = decided.iter().flatten().copied().collect();
    for (at, e) in shared.iter().enumerate().filter(|(at, _)| !used.contains(at)) {
        let over = all
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

/// The cells of one combination: one, or as many as it is repeated.
fn cells(made: &Made, repeats: u32, expect: Option<&Arc<Expectation>>) -> Vec<Cell> {
    let first_seed = made.seed.unwrap_or(made.case.spec.seed);
    let stem = stem(made);
    let first = Cell {
        id: stem.clone(),
        stem,
        group: group(made),
        kernel: made.kernel.clone(),
        machine: made.machine.clone(),
        case: made.case.clone(),
        racepoint: made.racepoint.clone(),
        repeat: 1,
        seed: first_seed,
        first_seed,
        expect: expect.cloned(),
    };
    if repeats == 1 {
        return vec![first];
    }
    (1..=repeats).map(|repeat| first.again(repeat)).collect()
}
