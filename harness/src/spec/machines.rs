//! The maps `machines` and `defaults`.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::like;
use super::read::{Check, Slot, Table};
use super::types::{Accel, Backend, Defaults, MachineSpec};
use super::words::quoted;
use super::yaml::{Node, Value};

pub(super) const KEYS: &[&str] = &[
    "like",
    "backend",
    "accel",
    "cpus",
    "memory",
    "swap",
    "data",
    "boot_args",
];
pub(super) const DEFAULT_KEYS: &[&str] = &[
    "backend",
    "accel",
    "cpus",
    "memory",
    "swap",
    "data",
    "boot_args",
    "seed",
    "budget",
];
pub(super) const BACKENDS: &[(&str, Backend)] = &[
    ("qemu", Backend::Qemu),
    ("virtme-ng", Backend::VirtmeNg),
    ("auto", Backend::Auto),
];
pub(super) const ACCELS: &[(&str, Accel)] =
    &[("auto", Accel::Auto), ("kvm", Accel::Kvm), ("tcg", Accel::Tcg)];
pub(super) const CPUS: RangeInclusive<u64> = 1..=64;
const MEMORY: RangeInclusive<u64> = 64 << 20..=1 << 40;
pub(super) const SWAP: RangeInclusive<u64> = 64 << 10..=1 << 40;
/// One block group of ext4, which is what the guest makes of it, ends at 128 MiB.
const DATA: RangeInclusive<u64> = 8 << 20..=128 << 20;
/// How long a case may run; also used by cases.
pub(super) const BUDGET: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
/// Longest boot arguments of one machine, in characters: the command line has 2048, and we need some.
pub const BOOT_ARGS_CHARS_MAX: usize = 1024;
/// What the harness sets itself; a second one would cut the line to the guest.
const OURS: &[&str] = &["init", "rdinit", "initrd", "console", "root"];

/// Reads `defaults`.
pub(super) fn defaults(check: &mut Check, node: &Node) -> Defaults {
    let mut d = Defaults::default();
    let Some(table) = check.table(node, &node.span, "`defaults`", DEFAULT_KEYS) else {
        return d;
    };
    d.backend = table
        .slot("backend", |n| check.one_of(n, "backend", BACKENDS))
        .or(d.backend);
    d.accel = table
        .slot("accel", |n| check.one_of(n, "accel", ACCELS))
        .or(d.accel);
    d.cpus = table.slot("cpus", |n| cpus(check, n)).or(d.cpus);
    d.memory = table.slot("memory", |n| memory(check, n)).or(d.memory);
    d.swap = disk(check, &table, "swap", SWAP).or(d.swap);
    d.data = disk(check, &table, "data", DATA).or(d.data);
    d.boot_args = table.slot("boot_args", |n| boot_args(check, n)).or(d.boot_args);
    d.seed = table
        .slot("seed", |n| check.count(n, "seed", 0..=u64::MAX))
        .or(d.seed);
    d.budget = table
        .slot("budget", |n| check.duration(n, "budget", BUDGET))
        .or(d.budget);
    d
}

/// Reads all machines; wrong values take the defaults, since the error has been told.
pub(super) fn read(
    check: &mut Check,
    defaults: &Defaults,
    node: &Node,
) -> IndexMap<String, Arc<MachineSpec>> {
    let mut machines = IndexMap::new();
    let entries = check.map(node, "`machines`").unwrap_or_default();
    let chains = like::chains(check, entries, "machine");
    for (key, value) in entries {
        let name = check.name(key, "a machine").map(str::to_owned);
        let what = format!("machine {}", quoted(&key.spelled));
        let Some(table) = check.table(value, &key.span, &what, KEYS) else {
            continue;
        };
        let chain = chains.get(key.spelled.as_str()).and_then(Option::as_deref);
        let table = table.like(chain.unwrap_or_default());
        table.slot("like", |n| check.word(n, "like", "a machine's name"));
        let machine = machine(check, defaults, &table);
        if let Some(name) = name {
            machines.entry(name).or_insert(Arc::new(machine));
        }
    }
    machines
}

fn machine(check: &mut Check, defaults: &Defaults, table: &Table<'_>) -> MachineSpec {
    MachineSpec {
        backend: table
            .slot("backend", |n| check.one_of(n, "backend", BACKENDS))
            .or(defaults.backend),
        accel: table
            .slot("accel", |n| check.one_of(n, "accel", ACCELS))
            .or(defaults.accel),
        cpus: table.slot("cpus", |n| cpus(check, n)).or(defaults.cpus),
        memory: table.slot("memory", |n| memory(check, n)).or(defaults.memory),
        swap: disk(check, table, "swap", SWAP).or(defaults.swap),
        data: disk(check, table, "data", DATA).or(defaults.data),
        boot_args: table
            .slot("boot_args", |n| boot_args(check, n))
            .or(defaults.boot_args.clone()),
    }
}

pub(super) fn cpus(check: &mut Check, node: &Node) -> Option<u32> {
    check
        .count(node, "cpus", CPUS)
        .and_then(|n| u32::try_from(n).ok())
}

pub(super) fn memory(check: &mut Check, node: &Node) -> Option<u64> {
    let bytes = check.size(node, "memory", MEMORY)?;
    if bytes % (1 << 20) != 0 {
        check.error(&node.span, "`memory` must be whole MiB");
        return None;
    }
    Some(bytes)
}

fn disk(
    check: &mut Check,
    table: &Table<'_>,
    name: &'static str,
    range: RangeInclusive<u64>,
) -> Slot<Option<u64>> {
    table.slot(name, |node| disk_size(check, node, name, range))
}

/// Reads the size of a disk, or `none`.
pub(super) fn disk_size(
    check: &mut Check,
    node: &Node,
    name: &str,
    range: RangeInclusive<u64>,
) -> Option<Option<u64>> {
    if matches!(&node.value, Value::Text(t) if t == "none") {
        return Some(None);
    }
    if matches!(node.value, Value::Null) || node.spelled == "off" || node.spelled == "false" {
        check.error(
            &node.span,
            format!("`{name}` must be a size such as 64MiB, or `none`"),
        );
        return None;
    }
    let bytes = check.size(node, name, range)?;
    if bytes % 4096 != 0 {
        check.error(&node.span, format!("`{name}` must be whole pages of 4KiB"));
        return None;
    }
    Some(Some(bytes))
}

pub(super) fn boot_args(check: &mut Check, node: &Node) -> Option<Vec<String>> {
    let items = check.list(node, "boot_args")?;
    let args: Vec<Option<String>> = items.iter().map(|item| boot_arg(check, item)).collect();
    let args: Option<Vec<String>> = args.into_iter().collect();
    let length: usize = items.iter().map(|item| item.spelled.len() + 1).sum();
    if length > BOOT_ARGS_CHARS_MAX {
        check.error(
            &node.span,
            format!("`boot_args` must have at most {BOOT_ARGS_CHARS_MAX} characters in all"),
        );
        return None;
    }
    args
}

/// Reads one word for the kernel's command line.
pub(super) fn boot_arg(check: &mut Check, node: &Node) -> Option<String> {
    let arg = check.text(node, "boot_args", "a list of words such as `slab_nomerge`")?;
    let Some(why) = boot_arg_error(arg) else {
        return Some(arg.to_owned());
    };
    check.error(&node.span, format!("the boot argument {} {why}", quoted(arg)));
    None
}

/// Why a word may not go to the kernel's command line: virtme-ng hands it to a shell.
fn boot_arg_error(arg: &str) -> Option<String> {
    let bad = |c: char| !c.is_ascii_alphanumeric() && !"_-.,=:/@+%".contains(c);
    if let Some(c) = arg.chars().find(|c| bad(*c)) {
        let c = if c == ' ' {
            "a space".to_owned()
        } else {
            quoted(&c.to_string())
        };
        return Some(format!(
            "holds {c}; letters, digits and `_-.,=:/@+%` are allowed, one argument an entry"
        ));
    }
    if arg.starts_with('-') {
        return Some("starts with `-`: what follows `--` is not for the kernel".to_owned());
    }
    let name = arg.split('=').next().unwrap_or(arg);
    OURS.contains(&name)
        .then(|| "is set by the harness itself".to_owned())
}
