//! The pressure phase of a workload: its threads, for as long as the budget lasts or until a finding.
//!
//! A workload brings its threads as [`Task`]s and what it counts beside the shared [`Counts`]; here they
//! are started, watched, told of and stopped together.

use super::evidence::History;
use super::stop::{Stop, StopOnDrop};
use super::{CaseError, Env, WORKER_PATIENCE_S};
use crate::agent::link::Told;
use crate::catalogue::Counter;
use crate::model::Mismatch;
use crate::protocol::{Progress, Seen};
use crate::sys::board::Lane;
use crate::sys::pagemap::Entry;
use crate::sys::vmstat::Vmstat;
use crate::sys::{SysError, proc, process};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How many mismatches one case tells; the first is what counts.
const FINDINGS_MAX: u32 = 8;
/// Bytes of a thread's stack.
pub const STACK_LEN: usize = 128 << 10;

/// What the threads of every workload count.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pages compared with the model.
    pub verified: AtomicU64,
    /// Of those, pages that were swapped out before.
    pub round_trips: AtomicU64,
    /// Pages rewritten.
    pub written: AtomicU64,
}

/// Why a thread ended early.
#[derive(Debug)]
pub enum Stopped {
    /// A mismatch was told; the pressure is over.
    Found,
    /// A call failed that must not, or the supervisor has gone.
    Case(CaseError),
}

impl<E: Into<CaseError>> From<E> for Stopped {
    fn from(e: E) -> Self {
        Self::Case(e.into())
    }
}

/// What a thread does until the phase is over.
type Body<'t> = Box<dyn FnOnce(&Lane) -> Result<(), Stopped> + Send + 't>;

/// One thread of the phase.
pub struct Task<'t> {
    name: String,
    cpu: Option<u32>,
    patience_s: u32,
    body: Body<'t>,
}

impl<'t> Task<'t> {
    /// A thread that may run anywhere and makes a step at least every [`WORKER_PATIENCE_S`].
    pub fn new(name: impl Into<String>, body: impl FnOnce(&Lane) -> Result<(), Stopped> + Send + 't) -> Self {
        Self {
            name: name.into(),
            cpu: None,
            patience_s: WORKER_PATIENCE_S,
            body: Box::new(body),
        }
    }

    /// Keeps it on one CPU (counted round where the machine has fewer).
    #[must_use]
    pub fn on(self, cpu: u32) -> Self {
        Self {
            cpu: Some(cpu % proc::cpus().max(1)),
            ..self
        }
    }

    /// Lets a step take longer.
    #[must_use]
    pub fn within(self, patience_s: u32) -> Self {
        Self { patience_s, ..self }
    }
}

/// Counters of a workload's own: totals since boot or since its set-up.
pub type Source<'a> = Box<dyn Fn() -> Result<BTreeMap<Counter, u64>, SysError> + Sync + 'a>;

/// The phase.
pub struct Phase<'a> {
    /// The surroundings.
    pub env: &'a Env<'a>,
    /// The end of the phase.
    pub stop: &'a Stop,
    /// What its threads count.
    pub counts: Counts,
    source: Source<'a>,
    start: Look,
    told: AtomicU32,
    broken: Mutex<Option<CaseError>>,
}

/// One look at what the kernel counts.
struct Look {
    t_ns: u64,
    vmstat: Vmstat,
    own: BTreeMap<Counter, u64>,
    steal_ms: u64,
}

impl Look {
    fn now(source: &Source<'_>) -> Result<Self, SysError> {
        Ok(Self {
            vmstat: Vmstat::read()?,
            own: source()?,
            steal_ms: proc::steal_ms()?,
            t_ns: proc::uptime_ns(),
        })
    }
}

/// What the phase came to.
pub struct Totals {
    /// Its length in milliseconds.
    pub elapsed_ms: u64,
    /// What was exercised.
    pub counters: BTreeMap<Counter, u64>,
    /// CPU time taken away.
    pub steal_ms: u64,
}

impl<'a> Phase<'a> {
    /// Prepares the phase; it begins now.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub fn new(env: &'a Env<'a>, stop: &'a Stop, source: Source<'a>) -> Result<Self, SysError> {
        let start = Look::now(&source)?;
        Ok(Self {
            env,
            stop,
            counts: Counts::default(),
            source,
            start,
            told: AtomicU32::new(0),
            broken: Mutex::new(None),
        })
    }

    /// The seed of one thread, which follows from that of the case.
    #[must_use]
    pub fn seed_of(&self, thread: u64) -> u64 {
        let seed = self.env.job.case.seed;
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(thread)
    }

    /// Keeps up the pressure.
    ///
    /// # Errors
    /// When a call failed that must not, or the supervisor has gone.
    pub fn run(&self, tasks: Vec<Task<'_>>) -> Result<Totals, CaseError> {
        let budget_ms = self.env.job.case.budget_ms;
        let told = std::thread::scope(|scope| {
            let _ends = StopOnDrop(self.stop);
            for task in tasks {
                let thread = std::thread::Builder::new().stack_size(STACK_LEN);
                thread.spawn_scoped(scope, move || self.work(task))?;
            }
            loop {
                let over = self.stop.wait(PROGRESS_EVERY);
                let now = self.totals()?;
                self.env.lane.beat();
                if over || now.elapsed_ms >= budget_ms {
                    return Ok::<_, CaseError>(now);
                }
                self.tell(now)?;
            }
        });
        let totals = told?;
        match self.broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(e) => Err(e),
            None => Ok(totals),
        }
    }

    fn tell(&self, now: Totals) -> Result<(), CaseError> {
        let progress = Progress {
            case: self.env.job.case.id.clone(),
            elapsed_ms: now.elapsed_ms,
            counters: now.counters,
            steal_ms: now.steal_ms,
        };
        Ok(self.env.link.tell(Told::Progress(progress))?)
    }

    fn work(&self, task: Task<'_>) {
        let _ends = StopOnDrop(self.stop);
        if let Err(Stopped::Case(e)) = self.try_work(task) {
            let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
            broken.get_or_insert(e);
        }
    }

    fn try_work(&self, task: Task<'_>) -> Result<(), Stopped> {
        if let Some(cpu) = task.cpu {
            process::pin(cpu)?;
        }
        let full = || SysError::content(format!("starting {}", task.name), "the board is full");
        let lane = self.env.board.lane(&task.name).ok_or_else(full)?;
        lane.expect_within(task.patience_s);
        let outcome = (task.body)(lane);
        lane.expect_within(0);
        outcome
    }

    /// What was exercised so far.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub fn totals(&self) -> Result<Totals, SysError> {
        let now = Look::now(&self.source)?;
        let mut counters = now.vmstat.since(&self.start.vmstat);
        let before = |counter| self.start.own.get(counter).copied().unwrap_or(0);
        let own = now.own.iter();
        counters.extend(own.map(|(counter, n)| (*counter, n.saturating_sub(before(counter)))));
        let shared = [
            (Counter::PagesVerified, &self.counts.verified),
            (Counter::RoundTrips, &self.counts.round_trips),
            (Counter::PagesWritten, &self.counts.written),
        ];
        counters.extend(shared.map(|(counter, n)| (counter, n.load(Ordering::Relaxed))));
        Ok(Totals {
            elapsed_ms: (now.t_ns - self.start.t_ns) / 1_000_000,
            counters,
            steal_ms: now.steal_ms.saturating_sub(self.start.steal_ms),
        })
    }

    /// Tells of a mismatch at once and ends the phase. `context` is what the workload knows of it.
    pub fn found(&self, mismatch: Mismatch, mut context: BTreeMap<String, String>) {
        self.stop.set();
        if self.told.fetch_add(1, Ordering::Relaxed) >= FINDINGS_MAX {
            return;
        }
        if let Ok(totals) = self.totals() {
            context.insert(
                "elapsed".to_owned(),
                format!("{} ms of pressure", totals.elapsed_ms),
            );
            let counters: Vec<_> = totals
                .counters
                .iter()
                .map(|(c, n)| format!("{n} {}", c.words()))
                .collect();
            context.insert("counters".to_owned(), counters.join(", "));
        }
        let title = mismatch.title();
        // A supervisor that has gone is noticed by the main thread.
        let _ = self.env.find(Seen::Mismatch(mismatch), title, context);
    }
}

/// What is known of a page that was found wrong: where it was, and the last operations.
#[must_use]
pub fn page_context(
    page: u32,
    before: Entry,
    after: Option<Entry>,
    history: &History,
) -> BTreeMap<String, String> {
    let mut context = BTreeMap::new();
    let mut say = |key: &str, value: String| {
        context.insert(key.to_owned(), value);
    };
    say("page before the read", before.to_string());
    if let Some(after) = after {
        say("page after the read", after.to_string());
    }
    say("last operations on the page", history.tell(|e| e.page == page));
    say("last operations of the thread", history.tell(|_| true));
    context
}
