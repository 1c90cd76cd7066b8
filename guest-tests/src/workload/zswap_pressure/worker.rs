//! A worker: verifies, rewrites and pages out the pages it owns, and reads those of others.

use super::frontier::Frontier;
use super::pressure::Pressure;
use crate::sys::SysError;
use crate::sys::arena::{Advice, PAGE_WORDS};
use crate::sys::board::Lane;
use crate::sys::pagemap::{Entry, Pagemap};
use crate::workload::evidence::{History, Op};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Pages of one step, at most: they are looked up, verified and paged out together.
const BATCH_MAX: usize = 8;

/// One worker.
pub struct Worker<'a> {
    pressure: &'a Pressure<'a>,
    lane: &'a Lane,
    pagemap: Pagemap,
    rng: Pcg64Mcg,
    own: Range<usize>,
    frontier: Frontier,
    history: History,
    page: Box<[u64; PAGE_WORDS]>,
}

/// Why a worker ended early.
#[derive(Debug)]
pub enum Stopped {
    /// A mismatch was told; the pressure is over.
    Found,
    /// A call failed that must not.
    Sys(SysError),
}

impl From<SysError> for Stopped {
    fn from(e: SysError) -> Self {
        Self::Sys(e)
    }
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
    ) -> Result<Self, SysError> {
        Ok(Self {
            pressure,
            lane,
            pagemap: Pagemap::open()?,
            rng: Pcg64Mcg::seed_from_u64(seed),
            own,
            frontier: Frontier::default(),
            history: History::default(),
            page: Box::new([0; PAGE_WORDS]),
        })
    }

    /// Works until the pressure is over.
    ///
    /// # Errors
    /// When it ended early.
    pub fn run(&mut self) -> Result<(), Stopped> {
        while !self.pressure.stop.is_set() {
            self.step()?;
            self.lane.beat();
        }
        Ok(())
    }

    /// One step: some pages of its own, now and then one of another's.
    fn step(&mut self) -> Result<(), Stopped> {
        let arena = &self.pressure.stage.arena;
        let (batch, from_frontier) = self.choose();
        let mut entries = [Entry::default(); BATCH_MAX];
        let mut resident = [0; BATCH_MAX];
        self.pagemap.read(arena, batch.clone(), &mut entries)?;
        arena.resident(batch.clone(), &mut resident)?;
        if from_frontier {
            self.frontier.learn(resident[0] == 1);
        }
        for (page, (entry, resident)) in batch.clone().zip(entries.into_iter().zip(resident)) {
            self.verify(page, entry, resident == 0)?;
            if self.rng.next_u32() & 1 == 0 {
                self.rewrite(page);
            }
        }
        self.page_out(batch)?;
        if self.pressure.threads > 1 && self.rng.next_u32().is_multiple_of(8) {
            self.peek()?;
        }
        Ok(())
    }

    fn below(&mut self, n: usize) -> usize {
        // The bias of a remainder is far below anything that matters here.
        self.rng.next_u64() as usize % n.max(1)
    }

    /// Chooses the pages of a step: three times in four one at the frontier of write-back (then `true`),
    /// otherwise a random place; half of those steps take one page, a quarter two, and so on.
    fn choose(&mut self) -> (Range<usize>, bool) {
        let jitter = self.rng.next_u32();
        if self.rng.next_u32() & 3 != 0
            && let Some(page) = self.frontier.take(jitter)
        {
            return (page..page + 1, true);
        }
        let start = self.own.start + self.below(self.own.len());
        let len = BATCH_MAX.min(1 + self.rng.next_u32().trailing_zeros() as usize);
        (start..self.own.end.min(start + len), false)
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
            self.pressure
                .counts
                .round_trips
                .fetch_add(u64::from(away), Ordering::Relaxed);
        }
        self.pressure.counts.verified.fetch_add(1, Ordering::Relaxed);
        self.history.note(Op::Verify, number, generation, entry.slot());
        verdict.map(drop).map_err(|mismatch| self.found(*mismatch, entry))
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
        self.pressure.counts.written.fetch_add(1, Ordering::Relaxed);
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
                self.frontier.stored(page);
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
    fn peek(&mut self) -> Result<(), Stopped> {
        let stage = self.pressure.stage;
        let page = self.below(stage.arena.pages());
        if self.own.contains(&page) {
            return Ok(());
        }
        let number = page as u32;
        let entry = self.pagemap.entry(&stage.arena, page)?;
        let before = stage.ledger.window_before(number);
        self.lane.note_page(number, stage.ledger.generation(number));
        stage.arena.read(page, &mut self.page);
        let verdict = stage.ledger.check(number, before, &self.page);
        self.pressure.counts.verified.fetch_add(1, Ordering::Relaxed);
        self.history
            .note(Op::Peek, number, stage.ledger.generation(number), entry.slot());
        verdict
            .map(drop)
            .map_err(|mismatch| self.found(*mismatch, entry))?;
        // Left in memory it would leave a slot free until its owner comes by.
        Ok(stage.arena.advise(page..page + 1, Advice::PageOut)?)
    }

    fn found(&self, mismatch: crate::model::Mismatch, entry: Entry) -> Stopped {
        let after = self
            .pagemap
            .entry(&self.pressure.stage.arena, mismatch.page as usize);
        self.pressure.found(mismatch, entry, after.ok(), &self.history);
        Stopped::Found
    }
}
