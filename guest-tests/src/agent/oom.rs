//! Whether memory ran out, and whose doing that was.

use super::link::Job;
use crate::protocol::{Finding, Seen};
use crate::sys::{cgroup, file};
use crate::workload;
use std::collections::BTreeMap;
use std::path::Path;

/// Processes that the kernel has ended for want of memory since boot, at whatever limit.
pub(super) fn kills() -> u64 {
    file::read("/proc/vmstat")
        .ok()
        .and_then(|text| file::value_of(&text, "oom_kill"))
        .unwrap_or(0)
}

/// How often memory ran out at a limit that the workloads had set themselves.
pub(super) fn in_groups() -> u64 {
    let events = Path::new(cgroup::ROOT)
        .join(workload::CGROUP)
        .join("memory.events");
    file::read(events)
        .ok()
        .and_then(|text| file::value_of(&text, "oom"))
        .unwrap_or(0)
}

/// Memory that ran out by itself.
pub(super) fn finding(job: &Job, kills: u64) -> Finding {
    Finding {
        case: job.case.id.clone(),
        what: Seen::OutOfMemory { kills },
        title: format!(
            "the guest ran out of memory outside of any limit of the workload: its OOM killer ended {kills} process(es)"
        ),
        context: BTreeMap::new(),
    }
}
