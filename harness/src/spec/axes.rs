//! The axes of a matrix: which there are, and how one value of each is read.
//!
//! An axis names blocks of the file (`kernel`, `machine`, `case`), or changes one thing of them
//! (`source`, `cpus`, `budget`, a parameter …). Here: single values. What a matrix does with them is
//! read in [`super::matrix`] and done in [`crate::plan`].

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use guest_tests::catalogue::Workload;

use super::cases;
use super::kernels::{KCONFIGS, Referred, SERIES, Surroundings, references};
use super::machines;
use super::matrix::Names;
use super::racepoints;
use super::read::{Check, name_error};
use super::sources;
use super::types::{Accel, Backend, RacepointSetting, Reference, SourceSpec};
use super::units;
use super::words::quoted;
use super::yaml::{Node, Value};

/// What a matrix may vary, in the order in which it is crossed: the first one varies slowest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// Names of kernels.
    Kernel,
    /// In place of the kernel's source.
    Source,
    /// Series that go on after the kernel's own.
    Series,
    /// Fragments that are merged after the kernel's own.
    Kconfigs,
    /// Names of machines.
    Machine,
    /// In place of the machine's.
    Backend,
    /// In place of the machine's.
    Accel,
    /// In place of the machine's.
    Cpus,
    /// In place of the machine's.
    Memory,
    /// In place of the machine's.
    Swap,
    /// Words added to the machine's own.
    BootArgs,
    /// Names of cases (or of workloads, with the key `workload`).
    Case,
    /// A parameter of the case's workload, by name.
    Param(String),
    /// In place of the case's.
    Budget,
    /// Racepoint settings.
    Racepoint,
    /// In place of the case's; cells that differ in nothing else are of one group, as repeats are.
    Seed,
}

/// The keys of axes, in their order; parameters stand in a map of their own.
pub(super) const PLAIN: &[(&str, Axis)] = &[
    ("kernel", Axis::Kernel),
    ("source", Axis::Source),
    ("series", Axis::Series),
    ("kconfigs", Axis::Kconfigs),
    ("machine", Axis::Machine),
    ("backend", Axis::Backend),
    ("accel", Axis::Accel),
    ("cpus", Axis::Cpus),
    ("memory", Axis::Memory),
    ("swap", Axis::Swap),
    ("boot_args", Axis::BootArgs),
    ("case", Axis::Case),
    ("budget", Axis::Budget),
    ("racepoint", Axis::Racepoint),
    ("seed", Axis::Seed),
];

impl fmt::Display for Axis {
    /// As it is written in a matrix: `cpus`, `params.arena`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Param(name) = self {
            return write!(f, "params.{name}");
        }
        let key = PLAIN.iter().find(|(_, axis)| axis == self);
        f.write_str(key.map_or("", |(key, _)| key))
    }
}

impl Axis {
    /// What one of its values is called in errors.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Source => "source",
            Self::Series => "series",
            Self::Kconfigs => "kconfig fragment",
            Self::Machine => "machine",
            Self::Backend => "backend",
            Self::Accel => "accelerator",
            Self::Cpus => "number of CPUs",
            Self::Memory => "size of memory",
            Self::Swap => "size of swap",
            Self::BootArgs => "boot argument",
            Self::Case => "case",
            Self::Param(_) => "value",
            Self::Budget => "budget",
            Self::Racepoint => "racepoint setting",
            Self::Seed => "seed",
        }
    }
}

/// One value of an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What it is called in ids, in `exclude` and in `expect`.
    pub name: String,
    /// What it does to a cell.
    pub sets: Sets,
}

/// What a value of an axis does to a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Sets {
    /// It is the block of that name: a kernel, a machine or a case.
    Block,
    /// The kernel's source.
    Source(SourceSpec),
    /// More series.
    Series(Vec<Reference>),
    /// More fragments.
    Kconfigs(Vec<Reference>),
    /// The machine's backend.
    Backend(Backend),
    /// The machine's accelerator.
    Accel(Accel),
    /// The machine's CPUs.
    Cpus(u32),
    /// The machine's memory in bytes.
    Memory(u64),
    /// The machine's swap disk in bytes.
    Swap(Option<u64>),
    /// More words for the kernel's command line.
    BootArgs(Vec<String>),
    /// A parameter of the workload.
    Param(Given),
    /// The case's budget.
    Budget(Duration),
    /// What is armed.
    Racepoint(RacepointSetting),
    /// The case's seed.
    Seed(u64),
}

/// A parameter's value as it is written: what it means depends on the workload that takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    pub(super) node: Node,
}

impl Given {
    /// Where it stands, in bytes of the file.
    #[must_use]
    pub fn at(&self) -> Range<usize> {
        self.node.span.clone()
    }
}

/// Reads one value of an axis.
pub(super) fn value(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &Names<'_>,
    axis: &Axis,
    node: &Node,
) -> Option<Choice> {
    let choice = |name: String, sets: Sets| Some(Choice { name, sets });
    match axis {
        Axis::Kernel | Axis::Machine | Axis::Case => {
            let name = check.defined(node, &axis.to_string(), axis.what(), names.of(axis))?;
            choice(name, Sets::Block)
        }
        Axis::Source => source(check, around, node),
        Axis::Series => listed(check, around, node, &SERIES).map(|(name, all)| Choice {
            name,
            sets: Sets::Series(all),
        }),
        Axis::Kconfigs => listed(check, around, node, &KCONFIGS).map(|(name, all)| Choice {
            name,
            sets: Sets::Kconfigs(all),
        }),
        Axis::Backend => {
            let backend = check.one_of(node, "backend", machines::BACKENDS)?;
            choice(backend.word().to_owned(), Sets::Backend(backend))
        }
        Axis::Accel => {
            let accel = check.one_of(node, "accel", machines::ACCELS)?;
            choice(accel.word().to_owned(), Sets::Accel(accel))
        }
        Axis::Cpus => machines::cpus(check, node).and_then(|n| choice(n.to_string(), Sets::Cpus(n))),
        Axis::Memory => {
            machines::memory(check, node).and_then(|n| choice(units::show_size(n), Sets::Memory(n)))
        }
        Axis::Swap => machines::disk_size(check, node, "swap", machines::SWAP).and_then(|n| {
            choice(
                n.map_or_else(|| "none".to_owned(), units::show_size),
                Sets::Swap(n),
            )
        }),
        Axis::BootArgs => boot_args(check, node),
        Axis::Param(_) => param(check, node),
        Axis::Budget => {
            cases::budget(check, node).and_then(|b| choice(units::show_duration(b), Sets::Budget(b)))
        }
        Axis::Racepoint => racepoints::setting(check, names, node)
            .and_then(|setting| choice(setting.name.clone(), Sets::Racepoint(setting))),
        Axis::Seed => check
            .count(node, "seed", 0..=u64::MAX)
            .and_then(|n| choice(n.to_string(), Sets::Seed(n))),
    }
}

/// The name of an inline value: what `name:` says, else made of what it is.
fn name(check: &mut Check, node: &Node, given: Option<&Node>, made: &str) -> Option<String> {
    if let Some(given) = given {
        return check.name(given, "a value of an axis").map(str::to_owned);
    }
    let slug = slug(made);
    if name_error(&slug).is_none() {
        return Some(slug);
    }
    check
        .error(&node.span, format!("{} makes no name for ids", quoted(made)))
        .help = Some("give the value one: `name: …`".to_owned());
    None
}

/// A text as a name: lower case, and `-` for what a name may not hold.
fn slug(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' => c,
            _ => '-',
        })
        .collect();
    plain.trim_matches(['-', '_']).to_owned()
}

/// The last part of a path without its ending.
fn stem(path: &std::path::Path) -> String {
    path.file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn source(check: &mut Check, around: &Surroundings<'_>, node: &Node) -> Option<Choice> {
    let spec = sources::on_axis(check, around, node)?;
    if matches!(spec, SourceSpec::Image { .. }) {
        check
            .error(&node.span, "a ready image can't stand on the axis `source`")
            .help =
            Some("make it a kernel of its own: `kernels: { NAME: { source: { image: … } } }`".to_owned());
        return None;
    }
    if let Value::Text(named) = &node.value {
        return Some(Choice {
            name: named.clone(),
            sets: Sets::Source(spec),
        });
    }
    let made = match &spec {
        SourceSpec::Debian { package } => package.clone(),
        SourceSpec::Git { rev, .. } => rev.clone(),
        SourceSpec::Dir { path } => path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default(),
        SourceSpec::Tarball { path } | SourceSpec::Image { path } => stem(path),
    };
    let name = name(check, node, entry(node, "name"), &made)?;
    Some(Choice {
        name,
        sets: Sets::Source(spec),
    })
}

/// The value of a key of a map, whatever else it has.
fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    entries.iter().find(|(k, _)| k.spelled == key).map(|(_, v)| v)
}

/// Reads `none`, one name, or `{ name: …, KEY: [ … ] }`.
fn listed(
    check: &mut Check,
    around: &Surroundings<'_>,
    node: &Node,
    to: &Referred,
) -> Option<(String, Vec<Reference>)> {
    if matches!(&node.value, Value::Text(word) if word == "none") {
        return Some(("none".to_owned(), Vec::new()));
    }
    if matches!(node.value, Value::Map(_)) {
        let table = check.table(node, &node.span, "a value of an axis", &["name", to.key])?;
        for key in ["name", to.key] {
            if table.lacks(key) {
                check.missing(&node.span, "a value of an axis", key).help =
                    Some(format!("for example `{{ name: both, {}: [one, two] }}`", to.key));
            }
        }
        let all = references(check, around, table.get(to.key)?, to);
        let name = check.name(table.get("name")?, "a value of an axis")?.to_owned();
        if name == "none" {
            check.error(&node.span, "a value that adds something can't be called `none`");
            return None;
        }
        return Some((name, all?));
    }
    let reference = super::kernels::reference(check, around, node, to)?;
    let made = match &reference {
        Reference::Named(name) => name.clone(),
        Reference::Path(path) => stem(path),
    };
    Some((name(check, node, None, &made)?, vec![reference]))
}

/// Reads `none`, one word, or `{ name: …, boot_args: [ … ] }`.
fn boot_args(check: &mut Check, node: &Node) -> Option<Choice> {
    let (name, args) = match &node.value {
        Value::Text(word) if word == "none" => ("none".to_owned(), Vec::new()),
        Value::Map(_) => {
            let table = check.table(node, &node.span, "a value of an axis", &["name", "boot_args"])?;
            for key in ["name", "boot_args"] {
                if table.lacks(key) {
                    check.missing(&node.span, "a value of an axis", key);
                }
            }
            let args = machines::boot_args(check, table.get("boot_args")?);
            let name = check.name(table.get("name")?, "a value of an axis")?.to_owned();
            (name, args?)
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::List(_) => {
            let arg = machines::boot_arg(check, node)?;
            (name(check, node, None, &arg)?, vec![arg])
        }
    };
    Some(Choice {
        name,
        sets: Sets::BootArgs(args),
    })
}

/// A scalar; what kind it must be says the workload that takes it.
fn param(check: &mut Check, node: &Node) -> Option<Choice> {
    let spelled = check.word(node, "a parameter", "a value")?;
    Some(Choice {
        name: spelled.to_owned(),
        sets: Sets::Param(Given { node: node.clone() }),
    })
}

/// Whether any workload has a parameter of that name.
pub(super) fn param_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Workload::all()
        .iter()
        .flat_map(|info| info.params.iter().map(|p| p.name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
