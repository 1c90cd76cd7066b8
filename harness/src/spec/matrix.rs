//! The map `matrix`: axes, racepoint settings, `exclude` and `include`.

use std::ops::Range;

use guest_tests::protocol::Arm;
use indexmap::IndexMap;

use super::read::{Check, NAME_CHARS_MAX, Slot, Table, name_error};
use super::types::{Exclude, Filter, Include, Matrix, RacepointSetting};
use super::units;
use super::words::{did_you_mean, listed, quoted};
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
/// Longest delay of a racepoint.
const DELAY_US_MAX: u64 = 100_000;
/// Most racepoints armed at once.
const ARMS_MAX: usize = 8;
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
    let racepoint = table.slot("racepoint", |n| settings(check, names, n));
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

fn settings(check: &mut Check, names: &mut Names<'_>, node: &Node) -> Option<Vec<RacepointSetting>> {
    let items = check.list(node, "racepoint")?;
    if items.is_empty() {
        check
            .error(
                &node.span,
                "`racepoint` is empty: the matrix would select no cell",
            )
            .help = Some("leave it out, or write `[off]`".to_owned());
        return None;
    }
    let mut found: Vec<RacepointSetting> = Vec::new();
    for item in items {
        let Some(setting) = setting(check, names, item) else {
            names.settings_known = false;
            continue;
        };
        if let Some((_, first)) = names.settings.get(&setting.name) {
            let message = format!("two settings are called {}", quoted(&setting.name));
            let problem = check.error(&item.span, message);
            problem.also = Some((first.clone(), "the first one".to_owned()));
            if setting.name != "off" {
                problem.help = Some("give one of them a name of its own: `name: …`".to_owned());
            }
            continue;
        }
        names
            .settings
            .insert(setting.name.clone(), (setting.clone(), item.span.clone()));
        found.push(setting);
    }
    Some(found)
}

/// Reads `off`, or a map of racepoints with an optional `name`.
fn setting(check: &mut Check, names: &Names<'_>, node: &Node) -> Option<RacepointSetting> {
    match &node.value {
        Value::Text(word) if word == "off" => Some(RacepointSetting::off()),
        Value::Map(entries) if !entries.is_empty() => armed(check, names, node, entries),
        Value::Text(word) if name_error(word).is_none() => {
            check
                .error(
                    &node.span,
                    format!("the racepoint {} needs its delay", quoted(word)),
                )
                .help = Some(format!("write `{{ {word}: {{ delay: 100us..300us }} }}`"));
            None
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => {
            let what = "`off` or a map such as `{ zswap_writeback: { delay: 100us..300us } }`";
            check.error(
                &node.span,
                format!("a racepoint setting must be {what}, not {}", node.describe()),
            );
            None
        }
    }
}

fn armed(
    check: &mut Check,
    names: &Names<'_>,
    node: &Node,
    entries: &[(Node, Node)],
) -> Option<RacepointSetting> {
    let mut name = None;
    let mut arms: Vec<Arm> = Vec::new();
    let mut good = true;
    for (key, value) in entries {
        if key.spelled == "name" {
            name = check.name(value, "a racepoint setting").map(str::to_owned);
            good &= name.is_some();
            if name.as_deref() == Some("off") {
                check.error(&value.span, "a setting that arms something can't be called `off`");
                good = false;
            }
            continue;
        }
        match arm(check, names, key, value) {
            Some(arm) => arms.push(arm),
            None => good = false,
        }
    }
    if !good {
        return None;
    }
    if arms.is_empty() || arms.len() > ARMS_MAX {
        check.error(
            &node.span,
            format!(
                "a setting arms from 1 to {ARMS_MAX} racepoints, not {}",
                arms.len()
            ),
        );
        return None;
    }
    let made = || arms.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join("-");
    let name = name.unwrap_or_else(made);
    if name.len() > NAME_CHARS_MAX {
        check
            .error(
                &node.span,
                "the name made of these racepoints is longer than 64 characters",
            )
            .help = Some("give the setting a `name:`".to_owned());
        return None;
    }
    Some(RacepointSetting { name, arms })
}

fn arm(check: &mut Check, names: &Names<'_>, key: &Node, value: &Node) -> Option<Arm> {
    let name = check.name(key, "a racepoint");
    let known = names.racepoints.as_ref();
    let known = name.filter(|name| match known {
        Some(known) if !known.iter().any(|k| k == name) => {
            let hint = did_you_mean(name, known.iter().map(String::as_str));
            let help = hint
                .is_empty()
                .then(|| format!("there are {}", listed(known.iter().map(String::as_str))));
            check
                .error(&key.span, format!("there is no racepoint {}{hint}", quoted(name)))
                .help = help;
            false
        }
        Some(_) | None => true,
    });
    let what = format!("racepoint {}", quoted(&key.spelled));
    let table = check.table(value, &key.span, &what, &["delay"])?;
    let Some(node) = table.get("delay") else {
        if !table.lacks("delay") {
            return None;
        }
        check.missing(&key.span, &what, "delay").help = Some("for example `delay: 100us..300us`".to_owned());
        return None;
    };
    let (delay_us_min, delay_us_max) = delay(check, node)?;
    Some(Arm {
        name: known?.to_owned(),
        delay_us_min,
        delay_us_max,
    })
}

fn delay(check: &mut Check, node: &Node) -> Option<(u32, u32)> {
    let problem = match units::delay(check.word(node, "delay", "a delay such as 100us..300us")?) {
        Ok((_, 0)) => "must not be zero: a racepoint without delay is `off`".to_owned(),
        Ok((_, most)) if most > DELAY_US_MAX => {
            format!("must be at most 100ms, not {}", quoted(&node.spelled))
        }
        Ok((least, most)) => return Some((u32::try_from(least).ok()?, u32::try_from(most).ok()?)),
        Err(why) => why,
    };
    check.error(&node.span, format!("`delay` {problem}"));
    None
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
    let racepoint = table.slot("racepoint", |n| included_setting(check, names, n));
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

/// Reads a setting of an `include` entry: the name of one that is written above, or one of its own.
fn included_setting(check: &mut Check, names: &mut Names<'_>, node: &Node) -> Option<RacepointSetting> {
    if let Value::Text(name) = &node.value
        && let Some((setting, _)) = names.settings.get(name)
    {
        return Some(setting.clone());
    }
    let setting = setting(check, names, node);
    names.settings_known &= setting.is_some();
    let setting = setting?;
    match names.settings.get(&setting.name) {
        Some((first, at)) if *first != setting => {
            let message = format!("two different settings are called {}", quoted(&setting.name));
            let problem = check.error(&node.span, message);
            problem.also = Some((at.clone(), "the first one".to_owned()));
            problem.help = Some("give one of them a name of its own: `name: …`".to_owned());
            None
        }
        Some(_) => Some(setting),
        None => {
            names
                .settings
                .insert(setting.name.clone(), (setting.clone(), node.span.clone()));
            Some(setting)
        }
    }
}
