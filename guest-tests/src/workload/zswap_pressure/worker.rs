//! A worker: verifies, rewrites and pages out the pages it owns, and reads those of others.
//!
//! Write-back is raced by interrupting it. The steady worker of a CPU runs at idle priority and stores
//! all the time, so that most of its time is spent in or near write-back. The sudden ones sleep for a
//! random time, so that they interrupt it at any instruction, and then do at once what breaks a
//! write-back that looked at its entry too early: they fault in a page that is about to be written back
//! (which frees its slot) and have another one paged out (which takes the slot).

use super::pressure::Pressure;
use crate::model::{Mismatch, Seen, Verified};
use crate::sys::SysError;
use crate::sys::arena::{Advice, PAGE_WORDS};
use crate::sys::board::Lane;
use crate::sys::pagemap::{Entry, Pagemap};
use crate::sys::process::{self, Policy};
use crate::workload::evidence::{History, Op};
use crate::workload::phase::Stopped;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::TryLockError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Pages of one step, at most: they are looked up, verified and paged out together.
const BATCH_MAX: usize = 8;

/// Longest sleep of a sudden worker, in microseconds; sleeps are drawn evenly from nothing to this.
const NAP_US_MAX: u64 = 400;
/// The same for a reader: while it sleeps, the workers' CPUs need not tell its CPU of what they unmap.
const READER_NAP_US_MAX: u64 = 4000;
/// Most strikes of a sudden worker between two sleeps.
const STRIKES_MAX: u32 = 3;
/// Pages that a sudden worker keeps ready to be paged out.
const READY_PAGES: usize = 2;

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Works on its own pages all the time.
    Steady,
    /// Sleeps, interrupts and strikes at the frontier of write-back.
    Sudden,
    /// Owns nothing and reads now and then what others own, from another CPU.
    Reader,
}

impl Role {
    /// The role of a thread: each CPU has one steady worker, the others are sudden; readers come last.
    #[must_use]
    pub fn of(thread: usize, workers: usize, cpus: usize) -> Self {
        if thread >= workers {
            Self::Reader
        } else if thread < cpus {
            Self::Steady
        } else {
            Self::Sudden
        }
    }

    /// What a thread of this role is called.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Steady | Self::Sudden => "worker",
            Self::Reader => "reader",
        }
    }
}

/// One worker.
pub struct Worker<'a> {
    pressure: &'a Pressure<'a>,
    lane: &'a Lane,
    pagemap: Pagemap,
    rng: Pcg64Mcg,
    own: Range<usize>,
    role: Role,
    /// Own pages in memory, to be paged out as soon as a slot comes free.
    ready: VecDeque<usize>,
    seen: Seen,
    history: History,
    page: Box<[u64; PAGE_WORDS]>,
}

impl<'a> Worker<'a> {
    /// Makes the worker of so many pages.
    ///
    /// # Errors
    /// When there is no pagemap.
    pub fn new(
        pressure: &'a Pressure<'a>,
        lane: &'a Lane,
        own: Range<usize>,
        seed: u64,
        role: Role,
    ) -> Result<Self, SysError> {
        Ok(Self {
            pressure,
            lane,
            pagemap: Pagemap::open()?,
            rng: Pcg64Mcg::seed_from_u64(seed),
            own,
            role,
            ready: VecDeque::with_capacity(READY_PAGES + 1),
            seen: Seen::new(&pressure.stage.ledger),
            history: History::default(),
            page: Box::new([0; PAGE_WORDS]),
        })
    }

    /// Works until the pressure is over.
    ///
    /// # Errors
    /// When it ended early.
    pub fn run(&mut self) -> Result<(), Stopped> {
        match self.role {
            Role::Steady => {
                if self.pressure.has_sudden() {
                    process::schedule(self.lane.tid(), Policy::Idle)?;
                }
                while !self.pressure.phase.stop.is_set() {
                    self.step()?;
                    self.lane.beat();
                }
            }
            Role::Sudden => {
                while !self.nap(NAP_US_MAX) {
                    for _ in 0..=self.rng.next_u32() % STRIKES_MAX {
                        self.strike()?;
                    }
                    self.lane.beat();
                }
            }
            Role::Reader => {
                while !self.nap(READER_NAP_US_MAX) {
                    let page = self.below(self.pressure.stage.arena.pages());
                    self.peek(page)?;
                    // Left in memory it would leave a slot free until its owner comes by.
                    self.page_out(page..page + 1)?;
                    self.lane.beat();
                }
            }
        }
        Ok(())
    }

    /// Sleeps for a random time; tells whether the pressure is over.
    fn nap(&mut self, us_max: u64) -> bool {
        let pause = Duration::from_micros(self.rng.next_u64() % us_max);
        self.pressure.phase.stop.wait(pause)
    }

    /// One step of a steady worker: some pages of its own are verified, rewritten and stored.
    fn step(&mut self) -> Result<(), Stopped> {
        let start = self.own.start + self.below(self.own.len());
        let len = BATCH_MAX.min(1 + self.rng.next_u32().trailing_zeros() as usize);
        let batch = start..self.own.end.min(start + len);
        self.work_on(batch.clone())?;
        self.page_out(batch)
    }

    /// One strike of a sudden worker: faults a page at the frontier in, whosever it is, and has pages
    /// that it kept ready take the slot.
    fn strike(&mut self) -> Result<(), Stopped> {
        let jitter = self.rng.next_u32();
        let taken = self.with_frontier(|frontier| frontier.take(jitter)).flatten();
        if let Some(page) = taken {
            let mut resident = [0];
            self.pressure
                .stage
                .arena
                .resident(page..page + 1, &mut resident)?;
            self.with_frontier(|frontier| frontier.learn(resident[0] == 1));
            if self.own.contains(&page) {
                // It takes its own slot again, with other content.
                self.work_on(page..page + 1)?;
                self.page_out(page..page + 1)?;
            } else {
                self.peek(page)?;
            }
        }
        if self.ready.len() >= READY_PAGES
            && let Some(page) = self.ready.pop_front()
        {
            self.page_out(page..page + 1)?;
        }
        let page = self.own.start + self.below(self.own.len());
        self.work_on(page..page + 1)?;
        self.ready.push_back(page);
        // The slot that this left free is taken by the page that was faulted in.
        taken
            .filter(|page| !self.own.contains(page))
            .map_or(Ok(()), |page| self.page_out(page..page + 1))
    }

    /// Does something with what all workers know of the frontier, unless another one does at this
    /// moment: it may have been interrupted there, and waiting for it would undo the interruption.
    fn with_frontier<T>(&self, act: impl FnOnce(&mut super::frontier::Frontier) -> T) -> Option<T> {
        match self.pressure.frontier.try_lock() {
            Ok(mut frontier) => Some(act(&mut frontier)),
            Err(TryLockError::Poisoned(poisoned)) => Some(act(&mut poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Verifies and rewrites pages of its own.
    fn work_on(&mut self, batch: Range<usize>) -> Result<(), Stopped> {
        let arena = &self.pressure.stage.arena;
        let mut entries = [Entry::default(); BATCH_MAX];
        let mut resident = [0; BATCH_MAX];
        self.pagemap.read(arena, batch.clone(), &mut entries)?;
        arena.resident(batch.clone(), &mut resident)?;
        for (page, (entry, resident)) in batch.zip(entries.into_iter().zip(resident)) {
            self.verify(page, entry, resident == 0)?;
            // One in eight keeps its content, so that pages are also compared over a longer time.
            if !self.rng.next_u32().is_multiple_of(8) {
                self.rewrite(page);
            }
        }
        Ok(())
    }

    fn below(&mut self, n: usize) -> usize {
        // The bias of a remainder is far below anything that matters here.
        self.rng.next_u64() as usize % n.max(1)
    }

    /// Verifies one page of its own. `entry` and whether it was `away` (neither mapped nor in the swap
    /// cache) were looked up before.
    fn verify(&mut self, page: usize, entry: Entry, away: bool) -> Result<(), Stopped> {
        let (stage, number) = (self.pressure.stage, page as u32);
        let generation = stage.ledger.generation(number);
        self.lane.note_page(number, generation);
        stage.arena.read(page, &mut self.page);
        let verdict = stage.ledger.check_owner(number, &self.page);
        if let Some(slot) = entry.slot() {
            stage.slots.note(slot, number);
        }
        self.history.note(Op::Verify, number, generation, entry.slot());
        self.judged(verdict, entry, away)
    }

    /// Rewrites one page of its own with its next generation.
    fn rewrite(&mut self, page: usize) {
        let (stage, number) = (self.pressure.stage, page as u32);
        let intent = stage.ledger.begin(number);
        intent.stamp.write(&mut self.page);
        stage.arena.write(page, &self.page);
        self.history
            .note(Op::Rewrite, number, intent.stamp.generation, None);
        intent.commit();
        self.pressure.phase.counts.written.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the pages reclaimed, and remembers those that zswap took.
    fn page_out(&mut self, batch: Range<usize>) -> Result<(), Stopped> {
        let arena = &self.pressure.stage.arena;
        arena.advise(batch.clone(), Advice::PageOut)?;
        let mut resident = [0; BATCH_MAX];
        arena.resident(batch.clone(), &mut resident)?;
        for (page, resident) in batch.zip(resident) {
            // What goes to the disk stays in the swap cache until it was written; what zswap takes is
            // gone at once.
            if resident == 0 {
                self.with_frontier(|frontier| frontier.stored(page));
            }
            self.history.note(
                Op::PageOut,
                page as u32,
                self.pressure.stage.ledger.generation(page as u32),
                None,
            );
        }
        Ok(())
    }

    /// Reads a page that another thread may be writing at this moment.
    fn peek(&mut self, page: usize) -> Result<(), Stopped> {
        let stage = self.pressure.stage;
        let number = page as u32;
        let entry = self.pagemap.entry(&stage.arena, page)?;
        let before = stage.ledger.window_before(number);
        self.lane.note_page(number, stage.ledger.generation(number));
        stage.arena.read(page, &mut self.page);
        let verdict = stage
            .ledger
            .check_seen(number, before, &self.page, &mut self.seen);
        self.history
            .note(Op::Peek, number, stage.ledger.generation(number), entry.slot());
        self.judged(verdict, entry, false)
    }

    /// Counts a reading that proved something, tells one that is wrong.
    fn judged(
        &self,
        verdict: Result<Verified, Box<Mismatch>>,
        entry: Entry,
        away: bool,
    ) -> Result<(), Stopped> {
        let counts = &self.pressure.phase.counts;
        let judged = counts.judged(verdict, away && entry.swapped());
        judged.map_err(|mismatch| self.found(*mismatch, entry))
    }

    fn found(&self, mismatch: Mismatch, entry: Entry) -> Stopped {
        let after = self
            .pagemap
            .entry(&self.pressure.stage.arena, mismatch.page as usize);
        self.pressure.found(mismatch, entry, after.ok(), &self.history);
        Stopped::Found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(workers: usize, readers: usize, cpus: usize) -> Vec<Role> {
        (0..workers + readers)
            .map(|thread| Role::of(thread, workers, cpus))
            .collect()
    }

    #[test]
    fn each_cpu_has_one_steady_worker_and_readers_come_last() {
        use Role::{Reader, Steady, Sudden};
        assert_eq!(roles(2, 1, 1), [Steady, Sudden, Reader]);
        assert_eq!(roles(4, 0, 2), [Steady, Steady, Sudden, Sudden]);
        assert_eq!(roles(1, 1, 2), [Steady, Reader]);
    }
}
