//! The pressure phase: owners and antagonists, for as long as the budget lasts or until a finding.

use super::antagonist::{Antagonist, Deed};
use super::draw::Weights;
use super::owner::{Owner, Stopped};
use super::stage::Stage;
use super::view::Holding;
use crate::agent::link::Told;
use crate::catalogue::{Counter, KhugepagedCollapse};
use crate::model::{Mismatch, Origin};
use crate::protocol::{Progress, Seen};
use crate::sys::board::Lane;
use crate::sys::pagemap::Entry;
use crate::sys::vmstat::Vmstat;
use crate::sys::{SysError, proc};
use crate::workload::evidence::History;
use crate::workload::stop::{Stop, StopOnDrop};
use crate::workload::{CaseError, Env, WORKER_PATIENCE_S};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How many mismatches one case tells; the first is what counts.
const FINDINGS_MAX: u32 = 8;
/// Bytes of a thread's stack.
const STACK_LEN: usize = 256 << 10;

/// What the threads count.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pages compared with the model.
    pub verified: AtomicU64,
    /// Of those, pages that had been collapsed or swapped out since the last time.
    pub round_trips: AtomicU64,
    /// Pages stored to.
    pub written: AtomicU64,
    /// Page tables retracted.
    pub retractions: AtomicU64,
    /// Pages zapped.
    pub zaps: AtomicU64,
}

/// What all threads of the phase share.
pub struct Pressure<'a> {
    /// The surroundings.
    pub env: &'a Env<'a>,
    /// What the pressure stands on.
    pub stage: &'a Stage,
    /// What is asked for.
    pub params: &'a KhugepagedCollapse,
    /// The end of the phase.
    pub stop: &'a Stop,
    /// Where stamps come from.
    pub origin: &'a Origin,
    /// What the threads count.
    pub counts: Counts,
    /// First page of the place that is being retracted at this moment; 0 for none, or for the first one.
    pub focus: AtomicUsize,
    start: Start,
    told: AtomicU32,
    broken: Mutex<Option<SysError>>,
}

/// What the kernel's counters said when the phase began.
struct Start {
    t_ns: u64,
    vmstat: Vmstat,
    steal_ms: u64,
    taint: u64,
}

impl Start {
    fn now() -> Result<Self, SysError> {
        Ok(Self {
            vmstat: Vmstat::read()?,
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
    taint: u64,
}

impl<'a> Pressure<'a> {
    /// Prepares the phase; it begins now.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub fn new(
        env: &'a Env<'a>,
        stage: &'a Stage,
        stop: &'a Stop,
        params: &'a KhugepagedCollapse,
    ) -> Result<Self, SysError> {
        Ok(Self {
            env,
            stage,
            params,
            stop,
            origin: &stage.origin,
            counts: Counts::default(),
            focus: AtomicUsize::new(0),
            start: Start::now()?,
            told: AtomicU32::new(0),
            broken: Mutex::new(None),
        })
    }

    /// Keeps up the pressure; gives back what every region holds by the model.
    ///
    /// # Errors
    /// When a call failed that must not, or the supervisor has gone.
    pub fn run(&'a self) -> Result<(Totals, Vec<Holding<'a>>), CaseError> {
        let weights = Weights::of(self.params);
        let (totals, holdings) = std::thread::scope(|scope| {
            let _ends = StopOnDrop(self.stop);
            let thread = || std::thread::Builder::new().stack_size(STACK_LEN);
            let mut owners: Vec<ScopedJoinHandle<'_, Vec<Holding<'a>>>> = Vec::new();
            for (owner, own) in self.shares().into_iter().enumerate() {
                let weights = &weights;
                owners.push(thread().spawn_scoped(scope, move || self.own(owner, own, weights))?);
            }
            for (number, deed) in self.deeds().into_iter().enumerate() {
                thread().spawn_scoped(scope, move || self.disturb(number, deed))?;
            }
            let totals = self.watch()?;
            self.stop.set();
            let joined = owners.into_iter().map(ScopedJoinHandle::join);
            let holdings = joined.collect::<Result<Vec<_>, _>>();
            let holdings = holdings.map_err(|_| CaseError::Broken("an owner panicked".to_owned()))?;
            Ok::<_, CaseError>((totals, holdings.into_iter().flatten().collect()))
        })?;
        match self.broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(e) => Err(e.into()),
            None => Ok((totals, holdings)),
        }
    }

    /// Deals the regions to the owners, so that each has some of every kind where there are enough.
    fn shares(&self) -> Vec<Vec<Holding<'a>>> {
        let owners = usize::try_from(self.params.owners).unwrap_or(1).max(1);
        let mut shares: Vec<Vec<Holding<'a>>> = Vec::new();
        shares.resize_with(owners, Vec::new);
        for (number, region) in self.stage.regions.iter().enumerate() {
            shares[number % owners].push(Holding::fresh(region));
        }
        shares
    }

    fn deeds(&self) -> Vec<Deed> {
        let wanted = [
            (self.params.zap, Deed::Zap),
            (self.params.retract, Deed::Retract),
            (self.params.collapse, Deed::Collapse),
            (self.params.split, Deed::Split),
            (self.params.reclaim, Deed::Reclaim),
        ];
        let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
        wanted.map(|(_, deed)| deed).collect()
    }

    /// Tells progress until the budget is used up, somebody found something, or the kernel complained.
    fn watch(&self) -> Result<Totals, CaseError> {
        let budget_ms = self.env.job.case.budget_ms;
        loop {
            let over = self.stop.wait(PROGRESS_EVERY);
            let now = self.totals()?;
            self.env.lane.beat();
            if over || now.elapsed_ms >= budget_ms || now.taint & !self.start.taint != 0 {
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

    /// A seed of one thread's own.
    fn seed(&self, number: usize) -> u64 {
        let seed = self.env.job.case.seed;
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(number as u64)
    }

    fn lane(&self, name: &str) -> Result<&'a Lane, SysError> {
        let full = || SysError::content("starting a thread", "the board is full");
        let lane = self.env.board.lane(name).ok_or_else(full)?;
        lane.expect_within(WORKER_PATIENCE_S);
        Ok(lane)
    }

    fn own(&'a self, number: usize, own: Vec<Holding<'a>>, weights: &Weights) -> Vec<Holding<'a>> {
        let _ends = StopOnDrop(self.stop);
        let made = self.lane(&format!("owner {number}"));
        let made = made.and_then(|lane| Ok((lane, Owner::new(self, lane, own, self.seed(number))?)));
        let (lane, mut owner) = match made {
            Ok(made) => made,
            Err(e) => {
                self.keep(Err(e));
                return Vec::new();
            }
        };
        if let Err(Stopped::Sys(e)) = owner.run(weights) {
            self.keep(Err(e));
        }
        lane.expect_within(0);
        owner.into_holdings()
    }

    fn disturb(&'a self, number: usize, deed: Deed) {
        let _ends = StopOnDrop(self.stop);
        // Seeds of owners come first.
        let seed = self.seed(number + 64);
        let outcome = self.lane(deed.words()).and_then(|lane| {
            let outcome = Antagonist::new(self, lane, seed).run(deed);
            lane.expect_within(0);
            outcome
        });
        self.keep(outcome);
    }

    /// Keeps the first failure of a thread and ends the phase.
    fn keep(&self, outcome: Result<(), SysError>) {
        if let Err(e) = outcome {
            self.broken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(e);
            self.stop.set();
        }
    }

    /// What was exercised so far.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub fn totals(&self) -> Result<Totals, SysError> {
        let now = Start::now()?;
        let mut counters = now.vmstat.since(&self.start.vmstat);
        let counts = &self.counts;
        let own = [
            (Counter::PagesVerified, &counts.verified),
            (Counter::RoundTrips, &counts.round_trips),
            (Counter::PagesWritten, &counts.written),
            (Counter::Retractions, &counts.retractions),
            (Counter::Zaps, &counts.zaps),
        ];
        counters.extend(own.map(|(counter, n)| (counter, n.load(Ordering::Relaxed))));
        Ok(Totals {
            elapsed_ms: (now.t_ns - self.start.t_ns) / 1_000_000,
            counters,
            steal_ms: now.steal_ms.saturating_sub(self.start.steal_ms),
            taint: now.taint,
        })
    }

    /// Whether something was found: a page, or by the kernel itself.
    #[must_use]
    pub fn has_found(&self) -> bool {
        let tainted = proc::taint().is_ok_and(|taint| taint & !self.start.taint != 0);
        tainted || self.told.load(Ordering::Relaxed) > 0
    }

    /// Tells of a mismatch at once and ends the phase. `entries` are the pagemap before and after.
    pub fn found(&self, mismatch: Mismatch, place: String, entries: [Option<Entry>; 2], history: &History) {
        self.stop.set();
        if self.told.fetch_add(1, Ordering::Relaxed) >= FINDINGS_MAX {
            return;
        }
        let page = mismatch.page;
        let mut context = BTreeMap::new();
        let mut say = |key: &str, value: String| {
            context.insert(key.to_owned(), value);
        };
        say("place", place);
        for (when, entry) in ["before", "after"].into_iter().zip(entries) {
            if let Some(entry) = entry {
                say(&format!("page {when} the read"), entry.to_string());
            }
        }
        say("last operations on the page", history.tell(|e| e.page == page));
        say("last operations of the thread", history.tell(|_| true));
        if let Ok(totals) = self.totals() {
            say("elapsed", format!("{} ms of pressure", totals.elapsed_ms));
            let counters = totals.counters.iter();
            let counters: Vec<_> = counters.map(|(c, n)| format!("{n} {}", c.words())).collect();
            say("counters", counters.join(", "));
        }
        let title = mismatch.title();
        // A supervisor that has gone is noticed by the main thread.
        let _ = self.env.find(Seen::Mismatch(mismatch), title, context);
    }
}
