//! A thread that makes no progress: what is told of it, and what the kernel is asked to show.

use super::link::Job;
use crate::protocol::{Finding, Seen};
use crate::sys::knob::Knob;
use crate::sys::{SysError, file, proc};

/// A thread that made no progress.
pub(super) struct Hang {
    pub(super) worker: String,
    pub(super) tid: u32,
    pub(super) silent_ms: u64,
}

/// What is told of it.
pub(super) fn finding(job: &Job, pid: u32, hang: &Hang) -> Finding {
    let stack = proc::stack(pid, hang.tid);
    let wchan = file::read(format!("/proc/{pid}/task/{}/wchan", hang.tid)).unwrap_or_default();
    let (worker, silent_ms) = (&hang.worker, hang.silent_ms);
    let title = match proc::state(pid, hang.tid) {
        Some('D') => format!(
            "{worker} sleeps uninterruptibly in the kernel (state D, in {wchan}): no progress for {silent_ms} ms"
        ),
        Some(state) => format!("{worker} made no progress for {silent_ms} ms (state {state})"),
        None => format!("{worker} made no progress for {silent_ms} ms"),
    };
    let context = [("waits in".to_owned(), wchan)].into_iter().collect();
    let what = Seen::Hang {
        worker: hang.worker.clone(),
        stack,
    };
    Finding {
        case: job.case.id.clone(),
        what,
        title,
        context,
    }
}

/// Has the kernel print the stacks of all blocked tasks and of all CPUs on its console.
pub(super) fn show_backtraces() -> Result<(), SysError> {
    // They are informational lines, which the console's level hides.
    let _loud = Knob::set("/proc/sys/kernel/printk", "8")?;
    ["w", "l"]
        .into_iter()
        .try_for_each(|key| file::write("/proc/sysrq-trigger", key))
}
