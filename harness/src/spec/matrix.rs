//! The map `matrix`: axes, racepoint settings, `exclude` and `include`.

use std::ops::Range;

use indexmap::IndexMap;

use super::racepoints;
use super::read::{Check, Slot, Table};
use super::types::{Exclude, Filter, Include, Matrix, RacepointSetting};
use super::words::quoted;
use super::yaml::{Node, Value};

const KEYS: &[&str] = &[
    "kernel",
    "machine",
    "case",
    "racepoint",
    "repeat",
    "exclude",
    "include",
];
const FILTER_KEYS: &[&str] = &["kernel", "machine", "case", "racepoint"];
const INCLUDE_KEYS: &[&str] = &["kernel", "machine", "case", "racepoint", "repeat"];
const REPEAT_MAX: u64 = 1000;
/// Most entries of `exclude`, `include` or `expect`: each is compared with every cell.
const ENTRIES_MAX: usize = 1000;

/// The names that a matrix and its expectations may use; `None` where an error hides them.
pub(super) struct Names<'a> {
    pub(super) kernel: Option<Vec<&'a str>>,
    pub(super) machine: Option<Vec<&'a str>>,
    pub(super) case: Option<Vec<&'a str>>,
    /// Racepoints, where known.
    pub(super) racepoints: Option<Vec<String>>,
    /// No setting has an error, so that all their names are known.
    pub(super) settings_known: bool,
    /// Settings by name, as they are found: the arms, and where they are written.
    pub(super) settings: IndexMap<String, (RacepointSetting, Range<usize>)>,
}

impl Names<'_> {
    fn of(&self, axis: &str) -> Option<&[&str]> {
        match axis {
            "kernel" => self.kernel.as_deref(),
            "machine" => self.machine.as_deref(),
            _ => self.case.as_deref(),
        }
    }
}

/// Reads the matrix; notes every racepoint setting in `names`.
pub(super) fn read(check: &mut Check, names: &mut Names<'_>, key: &Node, node: &Node) -> Option<Matrix> {
    let table = check.table(node, &key.span, "`matrix`", KEYS)?;
    let racepoint = table.slot("racepoint", |n| racepoints::axis(check, names, n));
    let repeat = table.slot("repeat", |n| repeat(check, n)).or(1);
    let mut axes =
        ["kernel", "machine", "case"].map(|axis| table.slot(axis, |n| axis_names(check, names, n, axis)));
    // Settings of `include` first: `exclude` may only take away what the axes made, but its names are checked.
    let include = table
        .slot("include", |n| {
            entries(check, n, "include", |c, n| include(c, names, n))
        })
        .or(Vec::new());
    let exclude = table
        .slot("exclude", |n| {
            entries(check, n, "exclude", |c, n| exclude(c, names, n))
        })
        .or(Vec::new());
    missing_axes(check, &table, &axes, include.is_empty());
    let mut take = |at: usize| std::mem::replace(&mut axes[at], Slot::Absent).or(Vec::new());
    Some(Matrix {
        kernel: take(0),
        machine: take(1),
        case: take(2),
        racepoint: racepoint.got(),
        repeat,
        exclude,
        include,
        at: key.span.clone(),
    })
}

/// All three axes are needed, unless there is none and `include` lists every cell.
fn missing_axes(check: &mut Check, table: &Table<'_>, axes: &[Slot<Vec<String>>; 3], no_include: bool) {
    let absent = |slot: &Slot<_>| matches!(slot, Slot::Absent);
    let listed_only =
        axes.iter().all(absent) && table.get("racepoint").is_none() && table.get("include").is_some();
    if listed_only {
        if no_include && !check.problems.iter().any(|p| p.at.is_some()) {
            check.error(&table.at, "the matrix selects no cell");
        }
        return;
    }
    for (axis, slot) in ["kernel", "machine", "case"].into_iter().zip(axes) {
        if absent(slot) {
            check.missing(&table.at, "`matrix`", axis);
        }
    }
}

fn repeat(check: &mut Check, node: &Node) -> Option<u32> {
    check
        .count(node, "repeat", 1..=REPEAT_MAX)
        .and_then(|n| u32::try_from(n).ok())
}

fn axis_names(check: &mut Check, names: &Names<'_>, node: &Node, axis: &str) -> Option<Vec<String>> {
    let items = check.list(node, axis)?;
    if items.is_empty() {
        check.error(
            &node.span,
            format!("`{axis}` is empty: the matrix would select no cell"),
        );
        return None;
    }
    let mut found = Vec::new();
    for item in items {
        match check.defined(item, axis, axis, names.of(axis)) {
            Some(name) if found.contains(&name) => {
                check.error(
                    &item.span,
                    format!("the {axis} {} is listed twice", quoted(&name)),
                );
            }
            Some(name) => found.push(name),
            None => {}
        }
    }
    Some(found)
}

pub(super) fn entries<T>(
    check: &mut Check,
    node: &Node,
    key: &str,
    mut read: impl FnMut(&mut Check, &Node) -> Option<T>,
) -> Option<Vec<T>> {
    let items = check.list(node, key)?;
    if items.len() > ENTRIES_MAX {
        check.error(
            &node.span,
            format!("`{key}` must have at most {ENTRIES_MAX} entries"),
        );
        return None;
    }
    Some(items.iter().filter_map(|n| read(check, n)).collect())
}

fn exclude(check: &mut Check, names: &Names<'_>, node: &Node) -> Option<Exclude> {
    let table = check.table(node, &node.span, "an entry of `exclude`", FILTER_KEYS)?;
    let filter = filter(check, names, &table)?;
    if filter == Filter::default() {
        check.error(&node.span, "an empty entry would exclude every cell");
        return None;
    }
    Some(Exclude {
        filter,
        at: node.span.clone(),
    })
}

/// Reads the four keys that say which cells are meant; each is a name or a list of names.
pub(super) fn filter(check: &mut Check, names: &Names<'_>, table: &Table<'_>) -> Option<Filter> {
    let off = (!names.settings.contains_key("off")).then_some("off");
    let settings: Vec<&str> = names.settings.keys().map(String::as_str).chain(off).collect();
    let settings = names.settings_known.then_some(settings.as_slice());
    let mut read =
        |key: &str, known: Option<&[&str]>| match table.slot(key, |n| some_of(check, n, key, known)) {
            Slot::Absent => Some(Vec::new()),
            Slot::Bad => None,
            Slot::Got(names) => Some(names),
        };
    // All four are read before any error ends it.
    let kernel = read("kernel", names.of("kernel"));
    let machine = read("machine", names.of("machine"));
    let case = read("case", names.of("case"));
    let racepoint = read("racepoint", settings);
    Some(Filter {
        kernel: kernel?,
        machine: machine?,
        case: case?,
        racepoint: racepoint?,
    })
}

fn some_of(check: &mut Check, node: &Node, key: &str, known: Option<&[&str]>) -> Option<Vec<String>> {
    let what = if key == "racepoint" {
        "racepoint setting"
    } else {
        key
    };
    let Value::List(items) = &node.value else {
        return check.defined(node, key, what, known).map(|name| vec![name]);
    };
    if items.is_empty() {
        check.error(
            &node.span,
            format!("`{key}` is empty: the entry would match no cell"),
        );
        return None;
    }
    let found: Vec<_> = items.iter().map(|i| check.defined(i, key, what, known)).collect();
    found.into_iter().collect()
}

fn include(check: &mut Check, names: &mut Names<'_>, node: &Node) -> Option<Include> {
    let table = check.table(node, &node.span, "an entry of `include`", INCLUDE_KEYS)?;
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        check.error(&node.span, "an empty entry includes nothing");
        return None;
    }
    let mut axis = |axis: &str| table.slot(axis, |n| check.defined(n, axis, axis, names.of(axis)));
    let (kernel, machine, case) = (axis("kernel"), axis("machine"), axis("case"));
    let racepoint = table.slot("racepoint", |n| racepoints::included(check, names, n));
    let repeat = table.slot("repeat", |n| repeat(check, n));
    let bad = [&kernel, &machine, &case]
        .into_iter()
        .any(|s| matches!(s, Slot::Bad));
    if bad || matches!(racepoint, Slot::Bad) || matches!(repeat, Slot::Bad) {
        return None;
    }
    Some(Include {
        kernel: kernel.got(),
        machine: machine.got(),
        case: case.got(),
        racepoint: racepoint.got(),
        repeat: repeat.got(),
        at: node.span.clone(),
    })
}
