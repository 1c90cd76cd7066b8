//! The map `matrix`: its axes, and what names they may use.

use std::collections::BTreeMap;
use std::ops::Range;

use indexmap::IndexMap;

use super::axes::{self, Axis, Choice, PLAIN, Sets};
use super::entries::{entries, exclude, include};
use super::kernels::Surroundings;
use super::read::{Check, Table};
use super::types::{Matrix, RacepointSetting};
use super::words::{did_you_mean, quoted};
use super::yaml::{Node, Value};

/// What stands in a matrix beside the axes' own keys.
const OTHER_KEYS: [&str; 5] = ["workload", "params", "repeat", "exclude", "include"];
const REPEAT_MAX: u64 = 1000;
/// Most values of one axis.
const VALUES_MAX: usize = 10_000;

/// The names that a matrix and its expectations may use; `None` where an error hides them.
pub(super) struct Names<'a> {
    pub(super) kernel: Option<Vec<&'a str>>,
    pub(super) machine: Option<Vec<&'a str>>,
    pub(super) case: Option<Vec<&'a str>>,
    /// Racepoints, where known.
    pub(super) racepoints: Option<Vec<String>>,
    /// Racepoint settings that the file names.
    pub(super) settings: IndexMap<String, RacepointSetting>,
    /// What the matrix gives, axis by axis, as it is found.
    pub(super) given: BTreeMap<Axis, Values>,
}

/// The values that a matrix gives on one axis.
#[derive(Default)]
pub(super) struct Values {
    /// By name, with where each is written.
    pub(super) by_name: IndexMap<String, (Choice, Range<usize>)>,
    /// One of them has an error, so that its name is not known.
    pub(super) partly: bool,
}

impl Names<'_> {
    /// The names that an axis of blocks may use.
    pub(super) fn of(&self, axis: &Axis) -> Option<&[&str]> {
        if *axis == Axis::Kernel {
            self.kernel.as_deref()
        } else if *axis == Axis::Machine {
            self.machine.as_deref()
        } else {
            self.case.as_deref()
        }
    }

    /// Notes a value that the matrix gives; none for one that has an error.
    pub(super) fn note(&mut self, axis: &Axis, choice: Option<(&Choice, &Range<usize>)>) {
        let values = self.given.entry(axis.clone()).or_default();
        match choice {
            Some((choice, at)) => {
                values
                    .by_name
                    .entry(choice.name.clone())
                    .or_insert_with(|| (choice.clone(), at.clone()));
            }
            None => values.partly = true,
        }
    }
}

/// Reads the matrix; notes every value that it gives in `names`.
pub(super) fn read(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &mut Names<'_>,
    key: &Node,
    node: &Node,
) -> Option<Matrix> {
    let keys: Vec<&'static str> = PLAIN.iter().map(|(key, _)| *key).chain(OTHER_KEYS).collect();
    let table = check.table(node, &key.span, "`matrix`", &keys)?;
    let mut axes = BTreeMap::new();
    for (axis, value) in axis_entries(check, &table) {
        if let Some(choices) = values(check, around, names, &axis, value) {
            axes.insert(axis, choices);
        } else {
            names.note(&axis, None);
        }
    }
    workloads(check, &table, names, &mut axes);
    let repeat = table.slot("repeat", |n| repeat(check, n)).or(1);
    // Values of `include` first: `exclude` may only take away what the axes made, but its names are checked.
    let include = table
        .slot("include", |n| {
            entries(check, n, "include", |c, n| include(c, around, names, n))
        })
        .or(Vec::new());
    let exclude = table
        .slot("exclude", |n| {
            entries(check, n, "exclude", |c, n| exclude(c, around, names, n))
        })
        .or(Vec::new());
    missing_axes(check, &table, include.is_empty());
    Some(Matrix {
        axes: axes.into_iter().collect(),
        repeat,
        exclude,
        include,
        at: key.span.clone(),
    })
}

/// The axes that a map gives, parameters too, each with its value. What the map may not hold has been told.
pub(super) fn axis_entries<'n>(check: &mut Check, table: &Table<'n>) -> Vec<(Axis, &'n Node)> {
    let plain = PLAIN
        .iter()
        .filter_map(|(key, axis)| Some((axis.clone(), table.get(key)?)));
    let mut all: Vec<_> = plain.collect();
    let Some(params) = table.get("params") else {
        return all;
    };
    let known = axes::param_names();
    for (key, value) in check.map(params, "`params`").unwrap_or_default() {
        if known.contains(&key.spelled.as_str()) {
            all.push((Axis::Param(key.spelled.clone()), value));
        } else if key.spelled != "<<" {
            let hint = did_you_mean(&key.spelled, known.iter().copied());
            check.error(
                &key.span,
                format!("no workload has a parameter {}{hint}", quoted(&key.spelled)),
            );
        }
    }
    all
}

/// The key `workload`: the axis `case`, by names of workloads that take their defaults.
fn workloads(
    check: &mut Check,
    table: &Table<'_>,
    names: &mut Names<'_>,
    axes: &mut BTreeMap<Axis, Vec<Choice>>,
) {
    let Some((key, node)) = table.entry("workload") else {
        return;
    };
    if table.get("case").is_some() {
        check
            .error(&key.span, "`workload` stands in place of `case`, not beside it")
            .help = Some("put the workload into `cases` and name that".to_owned());
        return;
    }
    let known: Vec<String> = guest_tests::catalogue::Workload::all()
        .iter()
        .map(|w| w.name.to_owned())
        .collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let Some(items) = nonempty(check, node, "workload", None) else {
        return;
    };
    let mut found: Vec<Choice> = Vec::new();
    for item in items {
        let Some(name) = check.defined(item, "workload", "workload", Some(&known)) else {
            names.note(&Axis::Case, None);
            continue;
        };
        let choice = Choice {
            name,
            sets: Sets::Block,
        };
        if found.contains(&choice) {
            let message = format!("the workload {} is listed twice", quoted(&choice.name));
            check.error(&item.span, message);
        } else {
            names.note(&Axis::Case, Some((&choice, &item.span)));
            found.push(choice);
        }
    }
    axes.insert(Axis::Case, found);
}

/// The three axes of blocks are needed, unless no axis is there and `include` lists every cell.
fn missing_axes(check: &mut Check, table: &Table<'_>, no_include: bool) {
    let given = |key: &str| !table.lacks(key);
    let no_axis = PLAIN.iter().all(|(key, _)| !given(key)) && !given("params") && !given("workload");
    if no_axis && table.get("include").is_some() {
        if no_include && !check.problems.iter().any(|p| p.at.is_some()) {
            check.error(&table.at, "the matrix selects no cell");
        }
        return;
    }
    for axis in ["kernel", "machine", "case"] {
        let stood_for = axis == "case" && given("workload");
        if !given(axis) && !stood_for {
            check.missing(&table.at, "`matrix`", axis);
        }
    }
}

pub(super) fn repeat(check: &mut Check, node: &Node) -> Option<u32> {
    check
        .count(node, "repeat", 1..=REPEAT_MAX)
        .and_then(|n| u32::try_from(n).ok())
}

/// A list that has something in it.
fn nonempty<'n>(check: &mut Check, node: &'n Node, key: &str, help: Option<&str>) -> Option<&'n [Node]> {
    let items = check.list(node, key)?;
    if items.is_empty() {
        check
            .error(
                &node.span,
                format!("`{key}` is empty: the matrix would select no cell"),
            )
            .help = help.map(str::to_owned);
        return None;
    }
    Some(items)
}

/// Reads all values of an axis.
fn values(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &mut Names<'_>,
    axis: &Axis,
    node: &Node,
) -> Option<Vec<Choice>> {
    let help = (*axis == Axis::Racepoint).then_some("leave it out, or write `[off]`");
    let mut found: Vec<Choice> = Vec::new();
    // A parameter stands in a map of its own.
    let key = if let Axis::Param(name) = axis {
        name.clone()
    } else {
        axis.to_string()
    };
    for item in nonempty(check, node, &key, help)? {
        let choices = match (axis, &item.value) {
            (Axis::Seed, Value::Text(text)) if text.contains("..") => seeds(check, item, text),
            _ => axes::value(check, around, names, axis, item).map(|choice| vec![choice]),
        };
        let Some(choices) = choices else {
            names.note(axis, None);
            continue;
        };
        for choice in choices {
            let first = names.given.get(axis).and_then(|v| v.by_name.get(&choice.name));
            if let Some((same, at)) = first {
                twice(check, axis, &choice, item, same, at);
                continue;
            }
            names.note(axis, Some((&choice, &item.span)));
            found.push(choice);
        }
        if found.len() > VALUES_MAX {
            check.error(
                &node.span,
                format!("`{axis}` must have at most {VALUES_MAX} values"),
            );
            return None;
        }
    }
    Some(found)
}

/// Tells that a name stands on an axis a second time.
fn twice(check: &mut Check, axis: &Axis, second: &Choice, item: &Node, first: &Choice, at: &Range<usize>) {
    let name = quoted(&second.name);
    if *axis == Axis::Racepoint {
        let problem = check.error(&item.span, format!("two settings are called {name}"));
        problem.also = Some((at.clone(), "the first one".to_owned()));
        if second.name != "off" {
            problem.help = Some("give one of them a name of its own: `name: …`".to_owned());
        }
    } else if first == second {
        check.error(&item.span, format!("the {} {name} is listed twice", axis.what()));
    } else {
        let problem = check.error(&item.span, format!("two values of `{axis}` are called {name}"));
        problem.also = Some((at.clone(), "the first one".to_owned()));
        problem.help = Some("give one of them a name of its own: `name: …`".to_owned());
    }
}

/// Reads a range of seeds: `1..20`, both ends included.
fn seeds(check: &mut Check, node: &Node, text: &str) -> Option<Vec<Choice>> {
    let ends = text
        .split_once("..")
        .and_then(|(from, to)| Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?)));
    let wrong = match ends {
        None => format!("a range of seeds is written as 1..20, not {}", quoted(text)),
        Some((from, to)) if from > to => {
            format!("a range must not end before it starts; did you mean `{to}..{from}`?")
        }
        Some((from, to)) if to - from >= VALUES_MAX as u64 => {
            format!("a range has at most {VALUES_MAX} seeds")
        }
        Some((from, to)) => {
            let choice = |seed: u64| Choice {
                name: seed.to_string(),
                sets: Sets::Seed(seed),
            };
            return Some((from..=to).map(choice).collect());
        }
    };
    check.error(&node.span, wrong);
    None
}
