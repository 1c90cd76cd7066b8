//! The pressure phase: workers and antagonists, for as long as the budget lasts or until a finding.

use super::antagonist as own;
use super::frontier::Frontier;
use super::stage::{STACK_LEN, Stage};
use super::worker::{Role, Stopped, Worker};
use crate::agent::link::Told;
use crate::catalogue::antagonists::Choice;
use crate::catalogue::{Counter, ZswapPressure};
use crate::model::Mismatch;
use crate::protocol::{Progress, Seen};
use crate::sys::pagemap::Entry;
use crate::sys::vmstat::Vmstat;
use crate::sys::{SysError, proc, process};
use crate::workload::antagonist::{self, Antagonist, Ground, LedgerHeirs, SwapArea};
use crate::workload::evidence::History;
use crate::workload::stop::{Stop, StopOnDrop};
use crate::workload::{CaseError, Env, WORKER_PATIENCE_S};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How many mismatches one case tells; the first is what counts.
const FINDINGS_MAX: u32 = 8;

/// What the workers count.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pages compared with the model.
    pub verified: AtomicU64,
    /// Of those, pages that were swapped out before.
    pub round_trips: AtomicU64,
    /// Pages rewritten.
    pub written: AtomicU64,
}

/// What all threads of the phase share.
pub struct Pressure<'a> {
    /// The surroundings.
    pub env: &'a Env<'a>,
    /// What the pressure stands on.
    pub stage: &'a Stage,
    /// Workers.
    pub threads: usize,
    /// Threads that own no page and read those of the workers.
    pub readers: usize,
    /// CPUs that they are spread over.
    pub cpus: usize,
    /// The end of the phase.
    pub stop: &'a Stop,
    /// What the workers count.
    pub counts: Counts,
    /// What zswap is about to write back.
    pub frontier: Mutex<Frontier>,
    start: Start,
    told: AtomicU32,
    broken: Mutex<Option<CaseError>>,
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

/// What the phase came to.
pub struct Totals {
    /// Its length in milliseconds.
    pub elapsed_ms: u64,
    /// What was exercised.
    pub counters: BTreeMap<Counter, u64>,
    /// CPU time taken away.
    pub steal_ms: u64,
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
        params: &ZswapPressure,
    ) -> Result<Self, SysError> {
        let threads = usize::try_from(params.threads).unwrap_or(1);
        let cpus = if params.cpus == 0 {
            proc::cpus()
        } else {
            proc::cpus().min(u32::try_from(params.cpus).unwrap_or(1))
        } as usize;
        let start = Start::now()?;
        let (told, broken) = (AtomicU32::new(0), Mutex::new(None));
        Ok(Self {
            env,
            stage,
            threads,
            readers: usize::try_from(params.readers).unwrap_or(0),
            cpus,
            stop,
            counts: Counts::default(),
            frontier: Mutex::default(),
            start,
            told,
            broken,
        })
    }

    /// Whether some workers interrupt others.
    pub fn has_sudden(&self) -> bool {
        self.threads > self.cpus
    }

    /// Keeps up the pressure.
    ///
    /// # Errors
    /// When a call failed that must not, or the supervisor has gone.
    pub fn run(&self, params: &ZswapPressure) -> Result<Totals, CaseError> {
        let budget_ms = self.env.job.case.budget_ms;
        let told = std::thread::scope(|scope| {
            let _ends = StopOnDrop(self.stop);
            let thread = || std::thread::Builder::new().stack_size(STACK_LEN);
            for worker in 0..self.threads + self.readers {
                thread().spawn_scoped(scope, move || self.work(worker))?;
            }
            if params.reclaim {
                thread().spawn_scoped(scope, || self.keep(own::reclaim(self)))?;
            }
            if params.pool_flips {
                let percent = params.pool_percent;
                thread().spawn_scoped(scope, move || self.keep(own::flip_pool(self, percent)))?;
            }
            thread().spawn_scoped(scope, || {
                let _ends = StopOnDrop(self.stop);
                self.keep_case(self.antagonists(params));
            })?;
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
        match self
            .broken
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
        {
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

    fn work(&self, worker: usize) {
        let _ends = StopOnDrop(self.stop);
        let outcome = self.try_work(worker);
        match outcome {
            Ok(()) | Err(Stopped::Found) => {}
            Err(Stopped::Sys(e)) => self.keep(Err(e)),
        }
    }

    fn try_work(&self, worker: usize) -> Result<(), Stopped> {
        // Reclaim drains only the calling CPU's batch of new pages: whoever faults a page in must
        // page it out on the same CPU.
        let role = Role::of(worker, self.threads, self.cpus);
        let cpu = match role {
            Role::Steady | Role::Sudden => worker % self.cpus,
            // Beside the workers, where there is another CPU.
            Role::Reader => (self.cpus + worker - self.threads) % proc::cpus() as usize,
        };
        process::pin(cpu as u32)?;
        let full = || SysError::content("starting a worker", "the board is full");
        let lane = self
            .env
            .board
            .lane(&format!("{} {worker}", role.words()))
            .ok_or_else(full)?;
        let own = match role {
            Role::Steady | Role::Sudden => share(self.stage.arena.pages(), self.threads, worker),
            Role::Reader => 0..0,
        };
        let seed = self
            .env
            .job
            .case
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(worker as u64);
        let mut worker = Worker::new(self, lane, own, seed, role)?;
        lane.expect_within(WORKER_PATIENCE_S);
        let outcome = worker.run();
        lane.expect_within(0);
        outcome
    }

    /// Keeps up the common antagonists.
    fn antagonists(&self, params: &ZswapPressure) -> Result<(), CaseError> {
        let choice = Choice::parse(&params.antagonists);
        let stage = self.stage;
        let heirs = LedgerHeirs::new(&stage.arena, &stage.ledger, 0, &self.counts.verified)?;
        let swaps = [SwapArea {
            device: stage.disk.clone(),
            priority: None,
        }];
        let arenas = [&stage.arena];
        let refill = || stage.refill();
        let ground = Ground {
            env: self.env,
            stop: self.stop,
            offered: &Antagonist::ALL,
            arenas: &arenas,
            group: Some(&stage.arena_group),
            swaps: &swaps,
            refill: Some(&refill),
            heirs: Some(&heirs),
        };
        antagonist::keep_up(&ground, &choice, self.env.job.case.seed)?;
        // Without any there is nothing to keep up, and the phase goes on.
        while !self.stop.wait(PROGRESS_EVERY) {}
        Ok(())
    }

    /// Keeps the first failure of a thread and ends the phase.
    fn keep(&self, outcome: Result<(), SysError>) {
        self.keep_case(outcome.map_err(CaseError::from));
    }

    fn keep_case(&self, outcome: Result<(), CaseError>) {
        if let Err(e) = outcome {
            self.broken
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
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
        let own = [
            (Counter::PagesVerified, &self.counts.verified),
            (Counter::RoundTrips, &self.counts.round_trips),
            (Counter::PagesWritten, &self.counts.written),
        ];
        counters.extend(own.map(|(counter, n)| (counter, n.load(Ordering::Relaxed))));
        let elapsed_ms = (now.t_ns - self.start.t_ns) / 1_000_000;
        Ok(Totals {
            elapsed_ms,
            counters,
            steal_ms: now.steal_ms.saturating_sub(self.start.steal_ms),
        })
    }

    /// Tells of a mismatch at once and ends the phase.
    pub fn found(&self, mismatch: Mismatch, before: Entry, after: Option<Entry>, history: &History) {
        self.stop.set();
        if self.told.fetch_add(1, Ordering::Relaxed) >= FINDINGS_MAX {
            return;
        }
        let page = mismatch.page;
        let mut context = BTreeMap::new();
        let mut say = |key: &str, value: String| {
            context.insert(key.to_owned(), value);
        };
        say("page before the read", before.to_string());
        if let Some(after) = after {
            say("page after the read", after.to_string());
        }
        if let Some((slot, other)) = before
            .slot()
            .and_then(|s| Some((s, self.stage.slots.before(s, page)?)))
        {
            say("slot", format!("page {other} was seen in slot {slot} before"));
        }
        say("last operations on the page", history.tell(|e| e.page == page));
        say("last operations of the thread", history.tell(|_| true));
        if let Ok(totals) = self.totals() {
            say("elapsed", format!("{} ms of pressure", totals.elapsed_ms));
            let counters: Vec<_> = totals
                .counters
                .iter()
                .map(|(c, n)| format!("{n} {}", c.words()))
                .collect();
            say("counters", counters.join(", "));
        }
        let title = mismatch.title();
        // A supervisor that has gone is noticed by the main thread.
        let _ = self.env.find(Seen::Mismatch(mismatch), title, context);
    }
}

/// The pages of one worker: neighbours of equal number, the last takes what is left over.
fn share(pages: usize, threads: usize, worker: usize) -> Range<usize> {
    let each = pages / threads;
    let end = if worker + 1 == threads {
        pages
    } else {
        (worker + 1) * each
    };
    worker * each..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_one_owner() {
        for (pages, threads) in [(1024, 2), (10, 3), (7, 7), (1, 1)] {
            let owners: Vec<usize> = (0..threads).flat_map(|w| share(pages, threads, w)).collect();
            assert_eq!(
                owners,
                (0..pages).collect::<Vec<_>>(),
                "{pages} pages, {threads} threads"
            );
        }
    }
}
