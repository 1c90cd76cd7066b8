//! The pressure phase that a workload's threads share: counters, progress, the first failure, the end.

use crate::agent::link::Told;
use crate::catalogue::Counter;
use crate::model::Mismatch;
use crate::protocol::{Progress, Seen};
use crate::sys::pagemap::Entry;
use crate::sys::vmstat::Vmstat;
use crate::sys::{SysError, proc};
use crate::workload::evidence::History;
use crate::workload::stop::{Stop, StopOnDrop};
use crate::workload::{CaseError, Env};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How many findings one case tells; the first is what counts.
const FINDINGS_MAX: u32 = 8;

/// Why a thread ended early.
#[derive(Debug)]
pub enum Stopped {
    /// A finding was told; the pressure is over.
    Found,
    /// A call failed that must not.
    Sys(SysError),
}

impl From<SysError> for Stopped {
    fn from(e: SysError) -> Self {
        Self::Sys(e)
    }
}

/// What the phase came to.
#[derive(Debug)]
pub struct Totals {
    /// Its length in milliseconds.
    pub elapsed_ms: u64,
    /// What was exercised.
    pub counters: BTreeMap<Counter, u64>,
    /// CPU time taken away.
    pub steal_ms: u64,
}

/// What the kernel's counters said when the phase began.
struct Start {
    t_ns: u64,
    vmstat: Vmstat,
    steal_ms: u64,
}

impl Start {
    fn now() -> Result<Self, SysError> {
        Ok(Self {
            vmstat: Vmstat::read()?,
            steal_ms: proc::steal_ms()?,
            t_ns: proc::uptime_ns(),
        })
    }
}

/// One phase.
pub struct Phase<'a> {
    /// The surroundings.
    pub env: &'a Env<'a>,
    /// Its end.
    pub stop: &'a Stop,
    counts: BTreeMap<Counter, AtomicU64>,
    start: Start,
    told: AtomicU32,
    broken: Mutex<Option<SysError>>,
}

impl<'a> Phase<'a> {
    /// Begins a phase whose threads count `own`.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub fn begin(env: &'a Env<'a>, stop: &'a Stop, own: &[Counter]) -> Result<Self, SysError> {
        Ok(Self {
            env,
            stop,
            counts: own.iter().map(|counter| (*counter, AtomicU64::new(0))).collect(),
            start: Start::now()?,
            told: AtomicU32::new(0),
            broken: Mutex::new(None),
        })
    }

    /// Counts what a thread did; only counters that the phase began with are kept.
    pub fn count(&self, counter: Counter, n: u64) {
        if let Some(count) = self.counts.get(&counter) {
            count.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Tells progress until the budget is used up or the phase was ended, and ends it.
    ///
    /// # Errors
    /// When a counter can't be read, or the supervisor has gone.
    pub fn watch(&self) -> Result<Totals, CaseError> {
        let _ends = StopOnDrop(self.stop);
        let budget_ms = self.env.job.case.budget_ms;
        loop {
            let over = self.stop.wait(PROGRESS_EVERY);
            let now = self.totals()?;
            self.env.lane.beat();
            if over || now.elapsed_ms >= budget_ms {
                return Ok(now);
            }
            let progress = Progress {
                case: self.env.job.case.id.clone(),
                elapsed_ms: now.elapsed_ms,
                counters: now.counters,
                steal_ms: now.steal_ms,
            };
            self.env.link.tell(Told::Progress(progress))?;
        }
    }

    /// The first failure of a thread, if any.
    ///
    /// # Errors
    /// That failure.
    pub fn broken(&self) -> Result<(), SysError> {
        match self.broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// Keeps a thread's failure and ends the phase.
    pub fn keep<T>(&self, outcome: Result<T, Stopped>) -> Option<T> {
        match outcome {
            Ok(value) => return Some(value),
            Err(Stopped::Found) => {}
            Err(Stopped::Sys(e)) => {
                let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
                broken.get_or_insert(e);
            }
        }
        self.stop.set();
        None
    }

    /// What was exercised so far.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub fn totals(&self) -> Result<Totals, SysError> {
        let now = Start::now()?;
        let mut counters = now.vmstat.since(&self.start.vmstat);
        let own = self.counts.iter();
        counters.extend(own.map(|(counter, n)| (*counter, n.load(Ordering::Relaxed))));
        Ok(Totals {
            elapsed_ms: (now.t_ns - self.start.t_ns) / 1_000_000,
            counters,
            steal_ms: now.steal_ms.saturating_sub(self.start.steal_ms),
        })
    }

    /// Tells of one broken promise at once, with what `context` says, and ends the phase.
    pub fn find(&self, what: Seen, title: String, mut context: BTreeMap<String, String>) -> Stopped {
        self.stop.set();
        if self.told.fetch_add(1, Ordering::Relaxed) < FINDINGS_MAX {
            if let Ok(totals) = self.totals() {
                let counters: Vec<_> = totals
                    .counters
                    .iter()
                    .map(|(c, n)| format!("{n} {}", c.words()))
                    .collect();
                context.insert("elapsed".into(), format!("{} ms of pressure", totals.elapsed_ms));
                context.insert("counters".into(), counters.join(", "));
            }
            // A supervisor that has gone is noticed by the main thread.
            let _ = self.env.find(what, title, context);
        }
        Stopped::Found
    }

    /// Tells of a mismatch at `place`, which was looked up before and after the reading.
    pub fn mismatch(
        &self,
        mismatch: Mismatch,
        place: u32,
        (before, after): (Entry, Option<Entry>),
        history: &History,
    ) -> Stopped {
        let mut context = BTreeMap::new();
        let mut say = |key: &str, value: String| {
            context.insert(key.to_owned(), value);
        };
        say("page before the read", before.to_string());
        if let Some(after) = after {
            say("page after the read", after.to_string());
        }
        say("last operations on the page", history.tell(|e| e.page == place));
        say("last operations of the thread", history.tell(|_| true));
        let title = mismatch.title();
        self.find(Seen::Mismatch(mismatch), title, context)
    }
}
