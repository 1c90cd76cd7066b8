//! The workloads: set-up, threads, antagonists and teardown checks of each, over [`crate::sys`],
//! with [`crate::model`] as the oracle.
//!
//! A workload tells what it sees through its [`Env`] and judges nothing but content and counters
//! that must agree; what a case proves is decided on the host.

use crate::agent::link::{Finished, Job, Link, Told};
use crate::catalogue::Workload;
use crate::protocol::{Finding, Seen};
use crate::sys::board::{Board, Lane};
use crate::sys::knob::Knob;
use crate::sys::{SysError, cgroup, failslab, swap, trace, zram};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

pub mod antagonist;
mod areas;
pub mod beside;
pub mod canary;
pub mod engine;
pub mod evidence;
pub mod khugepaged_collapse;
pub mod phase;
pub mod rest;
pub mod stop;
pub mod swapoff;
pub mod tight;
pub mod uffd_move;
pub mod zram_writeback;
pub mod zswap_pressure;

/// Name of the control group that holds those of the workloads.
pub const CGROUP: &str = "patchproof";
/// Seconds without progress after which a worker hangs.
pub const WORKER_PATIENCE_S: u32 = 10;
/// Seconds that one step of set-up or teardown may take.
pub const STEP_PATIENCE_S: u32 = 60;

/// What a workload is given.
pub struct Env<'a> {
    /// What to run.
    pub job: &'a Job,
    /// Where threads beat.
    pub board: &'a Board,
    /// The main thread's place on the board.
    pub lane: &'a Lane,
    /// What the supervisor is told through.
    pub link: &'a Link,
}

impl Env<'_> {
    /// Tells of one broken promise.
    ///
    /// # Errors
    /// When the supervisor has gone.
    pub fn find(&self, what: Seen, title: String, mut context: BTreeMap<String, String>) -> io::Result<()> {
        if let Some(traced) = trace::last_second() {
            context.insert("tracepoints of the last second".to_owned(), traced);
        }
        self.link.tell(Told::Finding(Finding {
            case: self.job.case.id.clone(),
            what,
            title,
            context,
        }))
    }
}

/// Why a case could not be run to its end. Nothing is said about the kernel by it.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The kernel lacks something.
    #[error("the kernel lacks {0}")]
    Missing(String),
    /// A call failed that must not.
    #[error(transparent)]
    Sys(#[from] SysError),
    /// The supervisor has gone.
    #[error("the supervisor does not listen any more: {0}")]
    Link(#[from] io::Error),
    /// The machine or the suite is not as it must be.
    #[error("{0}")]
    Broken(String),
}

/// Lets the kernel's own watchdogs tell of a stuck CPU as soon as a silent worker is told of: with all
/// CPUs stuck nobody else can, and 20 s, the default, outlasts many cells. A kernel without one of them
/// is as good as before.
fn watchdogs() -> Vec<Knob> {
    let rows = [
        // A soft lockup is told after twice this.
        ("/proc/sys/kernel/watchdog_thresh", WORKER_PATIENCE_S / 2),
        (
            "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout",
            WORKER_PATIENCE_S,
        ),
    ];
    let set = |(path, seconds): (&str, u32)| Knob::set(path, &seconds.to_string()).ok();
    rows.into_iter().filter_map(set).collect()
}

/// Runs a case's workload.
///
/// # Errors
/// When it could not be run to its end.
pub fn run(env: &Env<'_>) -> Result<Finished, CaseError> {
    let _watchdogs = watchdogs();
    match &env.job.case.workload {
        Workload::ZramWriteback(params) => zram_writeback::run(env, params),
        Workload::ZswapPressure(params) => zswap_pressure::run(env, params),
        Workload::Canary(params) => canary::run(env, params),
        Workload::KhugepagedCollapse(params) => khugepaged_collapse::run(env, params),
        Workload::UffdMove(params) => uffd_move::run(env, params),
    }
}

/// Cleans up after a case whose process has died: ends the failing of allocations, switches all swap
/// off, removes the zram devices that it made and the control groups.
///
/// # Errors
/// When swap stays on.
pub fn clean_up() -> Result<(), SysError> {
    failslab::disarm();
    khugepaged_collapse::clean_up();
    for area in swap::active()? {
        swapoff::run(Path::new(&area.path), &mut || true)?;
    }
    zram::sweep();
    let top = Path::new(cgroup::ROOT).join(CGROUP);
    for child in std::fs::read_dir(&top).into_iter().flatten().flatten() {
        if child.path().is_dir() {
            let _ = std::fs::remove_dir(child.path());
        }
    }
    let _ = std::fs::remove_dir(top);
    Ok(())
}
