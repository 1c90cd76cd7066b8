//! The pressure phase: which threads there are and what they share.

use super::antagonist;
use super::frontier::Frontier;
use super::stage::Stage;
use super::toggles::Toggles;
use super::worker::{Role, Worker};
use crate::catalogue::ZswapPressure;
use crate::catalogue::antagonists::Choice;
use crate::model::Mismatch;
use crate::sys::pagemap::Entry;
use crate::sys::{SysError, proc};
use crate::workload::antagonist::{Antagonist, LedgerHeirs};
use crate::workload::beside::{Beside, Turns};
use crate::workload::engine::Engine;
use crate::workload::evidence::History;
use crate::workload::phase::{Phase, Stopped, Task, Totals, page_context};
use crate::workload::stop::Stop;
use crate::workload::{CaseError, Env};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What all threads of the phase share.
pub struct Pressure<'a> {
    /// The phase itself.
    pub phase: Phase<'a>,
    /// What the pressure stands on.
    pub stage: &'a Stage,
    /// Workers.
    pub threads: usize,
    /// Threads that own no page and read those of the workers.
    pub readers: usize,
    /// CPUs that they are spread over.
    pub cpus: usize,
    /// What zswap is about to write back.
    pub frontier: Mutex<Frontier>,
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
        Ok(Self {
            phase: Phase::new(
                env,
                stop,
                Box::new(|| Ok(stage.engine.as_ref().map_or_else(BTreeMap::new, Engine::counters))),
            )?,
            stage,
            threads,
            readers: usize::try_from(params.readers).unwrap_or(0),
            cpus,
            frontier: Mutex::default(),
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
        let stage = self.stage;
        let heirs = LedgerHeirs::new(&stage.arena, &stage.ledger, 0, &self.phase.counts.verified)?;
        let (arenas, refill) = ([&stage.arena], || stage.refill());
        let loosen = || {
            stage.loosen();
            Ok(())
        };
        let toggles = Mutex::new(Toggles::new(
            params,
            &stage.arena_group,
            self.phase.seed_of(0x7099),
        ));
        let toggle = |stop: &Stop| {
            toggles
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .toggle(stop)
        };
        let beside = Beside {
            engine: stage.engine.as_ref(),
            choice: Choice::parse(&params.antagonists),
            offered: &Antagonist::ALL,
            arenas: &arenas,
            group: Some(&stage.arena_group),
            swaps: &stage.areas.list,
            refill: Some(&refill),
            heirs: Some(&heirs),
            whim: params.toggles.then_some(&toggle as _),
            turns: Some(Turns {
                alone: Duration::from_millis(params.alone_ms),
                beside: Duration::from_millis(params.beside_ms),
                loosen: &loosen,
                tighten: &refill,
            }),
        };
        let mut tasks: Vec<_> = (0..self.threads + self.readers).map(|n| self.task(n)).collect();
        if params.reclaim {
            tasks.push(Task::new("reclaim", |lane| antagonist::reclaim(self, lane)));
        }
        if params.pool_flips {
            let percent = params.pool_percent;
            let flip = move |lane: &_| antagonist::flip_pool(self, lane, percent);
            tasks.push(Task::new("pool flips", flip));
        }
        if !beside.is_empty() {
            tasks.push(Task::new("beside", |lane| beside.keep_up(&self.phase, lane)));
        }
        let totals = self.phase.run(tasks)?;
        beside.tell_coverage(&self.phase)?;
        Ok(totals)
    }

    fn task(&self, worker: usize) -> Task<'_> {
        // Reclaim drains only the calling CPU's batch of new pages: whoever faults a page in must
        // page it out on the same CPU.
        let role = Role::of(worker, self.threads, self.cpus);
        let cpu = match role {
            Role::Steady | Role::Sudden => worker % self.cpus,
            // Beside the workers, where there is another CPU.
            Role::Reader => self.cpus + worker - self.threads,
        };
        let own = match role {
            Role::Steady | Role::Sudden => share(self.stage.arena.pages(), self.threads, worker),
            Role::Reader => 0..0,
        };
        let seed = self.phase.seed_of(worker as u64);
        let body = move |lane: &_| -> Result<(), Stopped> { Worker::new(self, lane, own, seed, role)?.run() };
        Task::new(format!("{} {worker}", role.words()), body).on(cpu as u32)
    }

    /// Tells of a mismatch at once and ends the phase.
    pub fn found(&self, mismatch: Mismatch, before: Entry, after: Option<Entry>, history: &History) {
        let page = mismatch.page;
        let mut context = page_context(page, before, after, history);
        if let Some(slot) = before.slot()
            && let Some(other) = self.stage.slots.before(slot, page)
        {
            let told = format!("page {other} was seen in slot {slot} before");
            context.insert("slot".to_owned(), told);
        }
        self.phase.found(mismatch, context);
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
