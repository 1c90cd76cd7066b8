//! What a run says while it goes, in order: the one stream that the terminal, `--json` and every
//! report are made of.

use super::stop::StopWhy;
use crate::series::{Report, Step};
use crate::verdict::{Finding, Verdict};
use guest_tests::catalogue::Counter;
use guest_tests::model::Mismatch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The plan stands and the run folder exists.
    RunStarted {
        /// The run's id.
        run: String,
        /// Its folder.
        dir: PathBuf,
        /// The matrix file.
        spec: PathBuf,
        /// Cells to run.
        cells: usize,
        /// Kernels that those need which are still to run.
        kernels: usize,
        /// Cells that an earlier go of this run had finished.
        #[serde(default)]
        done: usize,
        /// What a reader must know of how it runs: a shard, more virtual CPUs than there are CPUs …
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        /// Hash of all workloads' parameters and defaults: what a score of the defaults is a score of.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        defaults: String,
    },
    /// A kernel is looked for in the cache, and built where it isn't there.
    KernelStarted {
        /// Name in the matrix.
        kernel: String,
    },
    /// The build went on.
    KernelStep {
        /// Name in the matrix.
        kernel: String,
        /// Steps done.
        done: u64,
        /// Steps in all, where an earlier build tells.
        total: Option<u64>,
        /// What is being done: `CC mm/zswap.o`.
        what: String,
    },
    /// The kernel can be booted.
    KernelReady(KernelRecord),
    /// The kernel can't be made; its cells are judged by that.
    KernelFailed {
        /// Name in the matrix.
        kernel: String,
        /// What its cells come to.
        verdict: Verdict,
    },
    /// A machine is being started.
    CellStarted {
        /// The cell's id.
        cell: String,
    },
    /// The guest has said hello.
    CellBooted {
        /// The cell's id.
        cell: String,
        /// From the emulator's start to the first frame, in seconds.
        boot_s: f64,
        /// `kvm` or `tcg`.
        accel: String,
        /// Why that one.
        accel_why: String,
        /// `qemu` or `virtme-ng`.
        #[serde(default)]
        backend: String,
        /// Why that one.
        #[serde(default)]
        backend_why: String,
    },
    /// The guest reported its counters.
    CellProgress {
        /// The cell's id.
        cell: String,
        /// Since the case started, in guest milliseconds.
        elapsed_ms: u64,
        /// How long the case is to last, in guest milliseconds.
        budget_ms: u64,
        /// Pages compared with the model so far.
        pages_verified: u64,
        /// Pages that left, came back and were verified so far.
        round_trips: u64,
        /// Everything that was exercised so far, these two included.
        #[serde(default)]
        counters: BTreeMap<Counter, u64>,
    },
    /// The guest reported a finding (the verdict comes with [`Event::CellDone`]).
    CellFinding {
        /// The cell's id.
        cell: String,
        /// One line for people.
        title: String,
        /// The page that held what it must not hold, line by line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mismatch: Option<Box<Mismatch>>,
    },
    /// The guest was stopped at its first finding and stays so until the run is stopped.
    CellFrozen {
        /// The cell's id.
        cell: String,
        /// Socket of the gdb stub.
        gdb: PathBuf,
        /// The guest's memory, where it could be written.
        dump: Option<PathBuf>,
        /// The commands that look into it, for people.
        how: Vec<String>,
    },
    /// The cell has its verdict.
    CellDone(Box<CellRecord>),
    /// The check of a series went on.
    SeriesStep(Step),
    /// The check of a series has come to its result.
    Series(Box<Report>),
    /// The user wants to stop; what runs is being ended.
    Interrupted,
    /// The run ends before everything is done; what runs is being ended.
    Stopping {
        /// Why.
        why: StopWhy,
    },
    /// The run has ended.
    Summary(Summary),
}

/// A kernel of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// Name in the matrix.
    pub kernel: String,
    /// Content key.
    pub key: String,
    /// Folder with bzImage, vmlinux, config and build.log.
    pub dir: PathBuf,
    /// Seconds that building took; `None` when it came from the cache.
    pub build_s: Option<f64>,
    /// Whether it came from the cache.
    pub cached: bool,
    /// What a reader must know: offsets and fuzz of patches, racepoints left out …
    pub notes: Vec<String>,
}

/// A finding as programs read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingLine {
    /// The class's word.
    pub class: String,
    /// One line for people.
    pub title: String,
}

impl From<&Finding> for FindingLine {
    fn from(finding: &Finding) -> Self {
        Self {
            class: finding.class.word().to_owned(),
            title: finding.title.clone(),
        }
    }
}

/// One cell's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    /// The cell's id.
    pub id: String,
    /// The id without its repeat.
    pub group: String,
    /// Name of the kernel in the matrix.
    pub kernel: String,
    /// Name of the machine in the matrix.
    pub machine: String,
    /// Name of the workload.
    pub workload: String,
    /// `pass`, `fail`, `inconclusive`, `skip` or `infra`.
    pub verdict: String,
    /// Whether that was expected.
    pub as_expected: bool,
    /// Why it is not a pass; empty for a pass.
    pub reason: String,
    /// All findings, first cause first.
    pub findings: Vec<FindingLine>,
    /// Guest seconds from the case's start to the first evidence.
    pub detect_s: Option<f64>,
    /// Guest seconds of pressure.
    pub guest_s: f64,
    /// Pages compared with the model, in full.
    pub pages_verified: u64,
    /// Pages verified in full after they really left and came back.
    pub round_trips: u64,
    /// Seconds from the emulator's start to the first frame.
    pub boot_s: Option<f64>,
    /// Times the cell was run (more than one only after broken infrastructure).
    pub attempts: u32,
    /// Seconds that building its kernel took in this run; `None` when it came from the cache.
    pub build_s: Option<f64>,
    /// The command that runs this cell again.
    pub repeat: String,
    /// The verdict in full.
    pub full: Verdict,
    /// What was expected, in the matrix's words: `pass`, `fail`, `any` …
    pub expected: String,
}

impl CellRecord {
    /// What of the cell is the same for every kernel: machine, case and racepoint.
    #[must_use]
    pub fn case(&self) -> &str {
        let rest = self.group.strip_prefix(&self.kernel);
        rest.and_then(|rest| rest.strip_prefix('.'))
            .unwrap_or(&self.group)
    }
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The run's id.
    pub run: String,
    /// Every cell, in the plan's order.
    pub cells: Vec<CellRecord>,
    /// Every kernel that could be made.
    pub kernels: Vec<KernelRecord>,
    /// Cells that were not run, since the run was stopped.
    pub not_run: Vec<String>,
    /// Why they were not run, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_run_why: Option<String>,
    /// The exit code.
    pub exit: u8,
}

/// Wraps anything for the machine-readable stream: adds `"v":1`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Versioned<T> {
    /// Version of the stream's format.
    pub v: u32,
    /// When it happened, in milliseconds since 1970 by the host's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// What is said.
    #[serde(flatten)]
    pub what: T,
}

impl<T> Versioned<T> {
    /// Wraps `what` in the current version.
    pub const fn new(what: T) -> Self {
        Self {
            v: 1,
            at_ms: None,
            what,
        }
    }

    /// Wraps `what`, which happened now.
    pub fn now(what: T) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let at_ms = since.ok().and_then(|d| u64::try_from(d.as_millis()).ok());
        Self { v: 1, at_ms, what }
    }
}
