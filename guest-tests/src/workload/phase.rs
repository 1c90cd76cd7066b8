//! The pressure phase of a workload: its threads, for as long as the budget lasts or until a finding.
//!
//! A workload brings its threads as [`Task`]s and what it counts beside the shared [`Counts`]; here they
//! are started, watched, told of and stopped together. A finding ends the phase, be it a thread's or the
//! kernel's own (its taint mask grows).

use super::evidence::History;
use super::stop::{Stop, StopOnDrop};
use super::{CaseError, Env, WORKER_PATIENCE_S};
use crate::agent::link::{Finished, Told};
use crate::catalogue::Counter;
use crate::model::{Mismatch, Verified};
use crate::protocol::{Outcome, Progress, Seen};
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
/// Bytes of a thread's stack, where a task does not ask for more.
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
type Body<'t> = Box<dyn FnOnce(&'t Lane) -> Result<(), Stopped> + Send + 't>;

/// One thread of the phase.
pub struct Task<'t> {
    name: String,
    cpu: Option<u32>,
    patience_s: u32,
    stack: usize,
    body: Body<'t>,
}

impl<'t> Task<'t> {
    /// A thread that may run anywhere and makes a step at least every [`WORKER_PATIENCE_S`].
    pub fn new(
        name: impl Into<String>,
        body: impl FnOnce(&'t Lane) -> Result<(), Stopped> + Send + 't,
    ) -> Self {
        Self {
            name: name.into(),
            cpu: None,
            patience_s: WORKER_PATIENCE_S,
            stack: STACK_LEN,
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

    /// Gives it a larger stack.
    #[must_use]
    pub fn with_stack(self, stack: usize) -> Self {
        Self { stack, ..self }
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
    own: BTreeMap<Counter, AtomicU64>,
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
    taint: u64,
}

impl Look {
    fn now(source: &Source<'_>) -> Result<Self, SysError> {
        Ok(Self {
            vmstat: Vmstat::read()?,
            own: source()?,
            steal_ms: proc::steal_ms()?,
            taint: proc::taint()?,
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

impl Totals {
    /// What a case that came to its end tells.
    #[must_use]
    pub fn finished(self) -> Finished {
        Finished {
            outcome: Outcome::Completed,
            pressure_ms: self.elapsed_ms,
            counters: self.counters,
            steal_ms: self.steal_ms,
        }
    }
}

impl Counts {
    /// Counts a reading that the ledger has judged, and gives back what it found wrong. `came_back` says
    /// that the page was away before.
    ///
    /// # Errors
    /// The mismatch.
    pub fn judged(
        &self,
        verdict: Result<Verified, Box<Mismatch>>,
        came_back: bool,
    ) -> Result<(), Box<Mismatch>> {
        match verdict? {
            Verified::Whole(_) | Verified::Mixed(_) | Verified::Faulted => {
                self.verified.fetch_add(1, Ordering::Relaxed);
                self.round_trips
                    .fetch_add(u64::from(came_back), Ordering::Relaxed);
            }
            Verified::Undecided => {}
        }
        Ok(())
    }
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
            own: BTreeMap::new(),
            source,
            start,
            told: AtomicU32::new(0),
            broken: Mutex::new(None),
        })
    }

    /// Lets threads [`count`](Self::count) more.
    #[must_use]
    pub fn counting(mut self, own: &[Counter]) -> Self {
        self.own = own.iter().map(|counter| (*counter, AtomicU64::new(0))).collect();
        self
    }

    /// Counts what a thread did; other counters than [`Counts`]' must have been named before.
    pub fn count(&self, counter: Counter, n: u64) {
        let own = self.own.iter().map(|(counter, count)| (*counter, count));
        let counted = self.shared().into_iter().chain(own);
        for (_, count) in counted.filter(|(one, _)| *one == counter) {
            count.fetch_add(n, Ordering::Relaxed);
        }
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
    pub fn run<'t>(&self, tasks: Vec<Task<'t>>) -> Result<Totals, CaseError>
    where
        'a: 't,
    {
        let budget_ms = self.env.job.case.budget_ms;
        let told = std::thread::scope(|scope| {
            let _ends = StopOnDrop(self.stop);
            for task in tasks {
                let thread = std::thread::Builder::new().stack_size(task.stack);
                thread.spawn_scoped(scope, move || self.work(task))?;
            }
            loop {
                let over = self.stop.wait(PROGRESS_EVERY);
                let now = self.totals()?;
                self.env.lane.beat();
                if over || now.elapsed_ms >= budget_ms || self.has_complained()? {
                    return Ok::<_, CaseError>(now);
                }
                self.tell(now)?;
            }
        });
        let totals = told?;
        self.broken()?;
        Ok(totals)
    }

    /// The first failure of a thread, if any.
    ///
    /// # Errors
    /// That failure.
    pub fn broken(&self) -> Result<(), CaseError> {
        match self.broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// Keeps a thread's first failure and ends the phase.
    pub fn keep(&self, outcome: Result<(), Stopped>) {
        if outcome.is_err() {
            self.stop.set();
        }
        if let Err(Stopped::Case(e)) = outcome {
            let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
            broken.get_or_insert(e);
        }
    }

    /// Whether the kernel's taint mask has grown: it said something on the console.
    fn has_complained(&self) -> Result<bool, SysError> {
        Ok(proc::taint()? & !self.start.taint != 0)
    }

    /// Whether something was found: by a thread, or by the kernel itself.
    #[must_use]
    pub fn has_found(&self) -> bool {
        self.told.load(Ordering::Relaxed) > 0 || self.has_complained().unwrap_or(false)
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

    fn work<'t>(&self, task: Task<'t>)
    where
        'a: 't,
    {
        let _ends = StopOnDrop(self.stop);
        self.keep(self.try_work(task));
    }

    fn try_work<'t>(&self, task: Task<'t>) -> Result<(), Stopped>
    where
        'a: 't,
    {
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

    fn shared(&self) -> [(Counter, &AtomicU64); 3] {
        [
            (Counter::PagesVerified, &self.counts.verified),
            (Counter::RoundTrips, &self.counts.round_trips),
            (Counter::PagesWritten, &self.counts.written),
        ]
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
        let own = self.own.iter().map(|(counter, n)| (*counter, n));
        let counted = self.shared().into_iter().chain(own);
        counters.extend(counted.map(|(counter, n)| (counter, n.load(Ordering::Relaxed))));
        Ok(Totals {
            elapsed_ms: (now.t_ns - self.start.t_ns) / 1_000_000,
            counters,
            steal_ms: now.steal_ms.saturating_sub(self.start.steal_ms),
        })
    }

    /// Tells of a mismatch at once and ends the phase. `context` is what the workload knows of it.
    pub fn found(&self, mismatch: Mismatch, context: BTreeMap<String, String>) {
        let title = mismatch.title();
        let _ = self.find(Seen::Mismatch(mismatch), title, context);
    }

    /// Tells of a mismatch at `place`, which the page tables were asked about before and after the reading.
    pub fn mismatch(
        &self,
        mismatch: Mismatch,
        place: u32,
        (before, after): (Entry, Option<Entry>),
        history: &History,
    ) -> Stopped {
        let title = mismatch.title();
        let context = page_context(place, before, after, history);
        self.find(Seen::Mismatch(mismatch), title, context)
    }

    /// Tells of whatever was found at once and ends the phase.
    pub fn find(&self, what: Seen, title: String, mut context: BTreeMap<String, String>) -> Stopped {
        self.stop.set();
        if self.told.fetch_add(1, Ordering::Relaxed) < FINDINGS_MAX {
            if let Ok(totals) = self.totals() {
                let counters = totals.counters.iter();
                let counters: Vec<_> = counters.map(|(c, n)| format!("{n} {}", c.words())).collect();
                context.insert("elapsed".into(), format!("{} ms of pressure", totals.elapsed_ms));
                context.insert("counters".into(), counters.join(", "));
            }
            // A supervisor that has gone is noticed by the main thread.
            let _ = self.env.find(what, title, context);
        }
        Stopped::Found
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
