//! What this kernel offers, by name: the `features` of the first frame.

use crate::catalogue::Counter;
use crate::protocol::{Hello, VERSION};
use crate::sys::{cgroup, file, pagemap, proc, racepoint, vmstat, zswap};
use std::collections::BTreeMap;
use std::path::Path;

/// Features that are there when a path is.
const PATHS: &[(&str, &str)] = &[
    ("cgroup2", "/sys/fs/cgroup/cgroup.controllers"),
    ("debugfs", "/sys/kernel/debug/fault_around_bytes"),
    ("failslab", "/sys/kernel/debug/failslab"),
    ("ksm", "/sys/kernel/mm/ksm"),
    ("lru_gen", "/sys/kernel/mm/lru_gen"),
    ("stacks", "/proc/self/stack"),
    ("swap", "/proc/swaps"),
    ("tracing", "/sys/kernel/tracing/trace"),
    ("thp", "/sys/kernel/mm/transparent_hugepage"),
    ("userfaultfd", "/proc/sys/vm/unprivileged_userfaultfd"),
    ("zram", "/sys/class/zram-control"),
];

/// Looks at everything; never fails: what can't be seen is not there.
#[must_use]
pub fn features() -> BTreeMap<String, bool> {
    let mut features: BTreeMap<String, bool> = PATHS
        .iter()
        .map(|(name, path)| ((*name).to_owned(), Path::new(path).exists()))
        .collect();
    let counts = vmstat::Vmstat::read().ok();
    let counts = |counter| counts.as_ref().is_some_and(|v| v.has(counter));
    let controllers = file::read(Path::new(cgroup::ROOT).join("cgroup.controllers")).unwrap_or_default();
    let more = [
        ("memcg", controllers.split_whitespace().any(|c| c == "memory")),
        ("pagemap", pagemap::Pagemap::open().is_ok()),
        ("racepoints", racepoint::available()),
        ("vm_events", counts(Counter::SwapOut)),
        ("zswap", zswap::available()),
        ("zswap_shrinker", zswap::has("shrinker_enabled")),
        ("zswap_writeback_count", counts(Counter::ZswapWriteback)),
    ];
    features.extend(more.map(|(name, there)| (name.to_owned(), there)));
    features
}

/// Makes the first frame's body.
#[must_use]
pub fn hello() -> Hello {
    Hello {
        v: VERSION,
        release: proc::release(),
        cpus: proc::cpus(),
        memory_kib: proc::memory_total_kib().unwrap_or(0),
        taint: proc::taint().unwrap_or(0),
        features: features(),
    }
}
