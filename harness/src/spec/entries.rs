//! Entries of `exclude`, `include` and `expect`: what tells cells apart, and what is added to them.

use super::axes::{self, Axis, Choice, PLAIN, Sets};
use super::kernels::Surroundings;
use super::matrix::{Names, axis_entries, repeat};
use super::read::{Check, Table};
use super::types::{Exclude, Filter, Include};
use super::words::{listed, quoted};
use super::yaml::{Node, Value};

/// Most entries of `exclude`, `include` or `expect`: each is compared with every cell.
const ENTRIES_MAX: usize = 1000;

/// The keys of an entry that tells cells apart, with those of `more`.
pub(super) fn entry_keys(more: &[&'static str]) -> Vec<&'static str> {
    let plain = PLAIN.iter().map(|(key, _)| *key);
    plain.chain(["params"]).chain(more.iter().copied()).collect()
}

/// Reads a list of entries.
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

/// Reads an entry of `exclude`.
pub(super) fn exclude(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &Names<'_>,
    node: &Node,
) -> Option<Exclude> {
    let table = check.table(node, &node.span, "an entry of `exclude`", &entry_keys(&[]))?;
    let filter = filter(check, around, names, &table)?;
    if filter == Filter::default() {
        check.error(&node.span, "an empty entry would exclude every cell");
        return None;
    }
    Some(Exclude {
        filter,
        at: node.span.clone(),
    })
}

/// Reads the keys that say which cells are meant; each is a value or a list of values.
pub(super) fn filter(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &Names<'_>,
    table: &Table<'_>,
) -> Option<Filter> {
    // All are read before any error ends it.
    let mut good = ["params"]
        .into_iter()
        .chain(PLAIN.iter().map(|(key, _)| *key))
        .all(|key| table.get(key).is_some() || table.lacks(key));
    let told = check.problems.len();
    let entries = axis_entries(check, table);
    good &= check.problems.len() == told;
    let mut wants = Vec::new();
    for (axis, node) in entries {
        match some_of(check, around, names, &axis, node) {
            Some(values) => wants.push((axis, values)),
            None => good = false,
        }
    }
    good.then_some(Filter { wants })
}

fn some_of(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &Names<'_>,
    axis: &Axis,
    node: &Node,
) -> Option<Vec<String>> {
    let always = matches!(axis, Axis::Kernel | Axis::Machine | Axis::Case | Axis::Racepoint);
    if !always && !names.given.contains_key(axis) {
        check
            .error(&node.span, format!("this matrix does not vary `{axis}`"))
            .help = Some(format!(
            "cells are told apart by what is an axis, or what `include` gives; name the block that has this `{axis}`"
        ));
        return None;
    }
    let Value::List(items) = &node.value else {
        return one_of(check, around, names, axis, node).map(|name| vec![name]);
    };
    if items.is_empty() {
        check.error(
            &node.span,
            format!("`{axis}` is empty: the entry would match no cell"),
        );
        return None;
    }
    let found: Vec<_> = items
        .iter()
        .map(|i| one_of(check, around, names, axis, i))
        .collect();
    found.into_iter().collect()
}

/// The name of a value that the matrix gives.
fn one_of(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &Names<'_>,
    axis: &Axis,
    node: &Node,
) -> Option<String> {
    let given = names.given.get(axis);
    let partly = given.is_some_and(|values| values.partly);
    let found = given.map(|values| values.by_name.keys().map(String::as_str));
    let found: Option<Vec<&str>> = found.filter(|_| !partly).map(Iterator::collect);
    let known: Option<Vec<&str>> = if matches!(axis, Axis::Kernel | Axis::Machine | Axis::Case) {
        names.of(axis).map(<[_]>::to_vec)
    } else if *axis == Axis::Racepoint && !partly {
        let mut named = found.unwrap_or_default();
        if !named.contains(&"off") {
            named.push("off");
        }
        Some(named)
    } else {
        found
    };
    let key = axis.to_string();
    let has_a_unit = matches!(
        axis,
        Axis::Backend | Axis::Accel | Axis::Cpus | Axis::Memory | Axis::Swap | Axis::Budget | Axis::Seed
    );
    if !has_a_unit {
        return check.defined(node, &key, axis.what(), known.as_deref());
    }
    // `1024MiB` means what `1GiB` means.
    let name = axes::value(check, around, names, axis, node)?.name;
    match known {
        Some(known) if !known.contains(&name.as_str()) => {
            check
                .error(
                    &node.span,
                    format!("no cell has the {} {}", axis.what(), quoted(&name)),
                )
                .help = Some(format!("the matrix gives {}", listed(known)));
            None
        }
        Some(_) | None => Some(name),
    }
}

/// Reads an entry of `include`.
pub(super) fn include(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &mut Names<'_>,
    node: &Node,
) -> Option<Include> {
    let table = check.table(
        node,
        &node.span,
        "an entry of `include`",
        &entry_keys(&["repeat"]),
    )?;
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        check.error(&node.span, "an empty entry includes nothing");
        return None;
    }
    let told = check.problems.len();
    let mut sets = Vec::new();
    for (axis, value) in axis_entries(check, &table) {
        match included(check, around, names, &axis, value) {
            Some(choice) => sets.push((axis, choice)),
            None => names.note(&axis, None),
        }
    }
    let repeat = table.slot("repeat", |n| repeat(check, n));
    let misspelt = entry_keys(&["repeat"])
        .iter()
        .any(|key| table.get(key).is_none() && !table.lacks(key));
    (check.problems.len() == told && !misspelt).then(|| Include {
        sets,
        repeat: repeat.got(),
        at: node.span.clone(),
    })
}

/// Reads a value of an `include` entry: the name of one that is written above, or one of its own.
fn included(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &mut Names<'_>,
    axis: &Axis,
    node: &Node,
) -> Option<Choice> {
    let above = |name: &str| names.given.get(axis).and_then(|values| values.by_name.get(name));
    if let Value::Text(name) = &node.value
        && let Some((choice, _)) = above(name)
    {
        return Some(choice.clone());
    }
    let choice = axes::value(check, around, names, axis, node)?;
    let above = names
        .given
        .get(axis)
        .and_then(|values| values.by_name.get(&choice.name));
    // A parameter is the same where it is spelled the same; its place does not matter.
    let differs = |first: &Choice| match (&first.sets, &choice.sets) {
        (Sets::Param(_), Sets::Param(_)) => false,
        (first, own) => first != own,
    };
    if let Some((first, at)) = above
        && differs(first)
    {
        let what = if *axis == Axis::Racepoint {
            "settings"
        } else {
            "values"
        };
        let message = format!("two different {what} are called {}", quoted(&choice.name));
        let problem = check.error(&node.span, message);
        problem.also = Some((at.clone(), "the first one".to_owned()));
        problem.help = Some("give one of them a name of its own: `name: …`".to_owned());
        return None;
    }
    names.note(axis, Some((&choice, &node.span)));
    Some(choice)
}
