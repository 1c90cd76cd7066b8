//! What a thread does with pages that it owns: verify, rewrite, page out, drop.

use super::pressure::Pressure;
use super::stage::Field;
use crate::model::{Destroy, Mismatch, Seen};
use crate::sys::SysError;
use crate::sys::arena::{Advice, PAGE_WORDS};
use crate::sys::board::Lane;
use crate::sys::pagemap::{Entry, Pagemap};
use crate::workload::evidence::{History, Op};
use crate::workload::phase::Stopped;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Pages that are looked up together, at most.
pub const BATCH_MAX: usize = 64;

/// One thread's hand.
pub struct Hand<'a> {
    /// What all threads share.
    pub pressure: &'a Pressure<'a>,
    /// The thread's place on the board.
    pub lane: &'a Lane,
    field: &'a Field,
    pagemap: Pagemap,
    rng: Pcg64Mcg,
    history: History,
    seen: Seen,
    data: Box<[u64; PAGE_WORDS]>,
}

impl<'a> Hand<'a> {
    /// Makes the hand of one thread for one part of the arena.
    ///
    /// # Errors
    /// When there is no pagemap.
    pub fn new(
        pressure: &'a Pressure<'a>,
        lane: &'a Lane,
        field: &'a Field,
        thread: u64,
    ) -> Result<Self, SysError> {
        Ok(Self {
            pressure,
            lane,
            field,
            pagemap: Pagemap::open()?,
            rng: Pcg64Mcg::seed_from_u64(pressure.phase.seed_of(thread)),
            history: History::default(),
            seen: Seen::new(&field.ledger),
            data: Box::new([0; PAGE_WORDS]),
        })
    }

    /// Whether the phase is over.
    pub fn is_over(&self) -> bool {
        self.pressure.phase.stop.is_set()
    }

    /// The pages of its part.
    pub fn pages(&self) -> Range<usize> {
        self.field.pages.clone()
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        // The bias of a remainder is far below anything that matters here.
        self.rng.next_u64() as usize % n.max(1)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u32) -> bool {
        self.rng.next_u32().is_multiple_of(n)
    }

    /// A run of neighbouring pages, its length drawn evenly in powers of two up to `len_max`.
    pub fn run_of(&mut self, pages: &Range<usize>, len_max: usize) -> Range<usize> {
        let start = pages.start + self.below(pages.len());
        let len = 1 << self.below(len_max.max(1).ilog2() as usize + 1);
        start..pages.end.min(start + len)
    }

    /// Verifies a run of pages.
    ///
    /// # Errors
    /// A mismatch, which was told then, and those of the kernel.
    pub fn verify(&mut self, run: Range<usize>) -> Result<(), Stopped> {
        let stage = self.pressure.stage;
        let mut entries = [Entry::default(); BATCH_MAX];
        let mut resident = [0; BATCH_MAX];
        for start in run.clone().step_by(BATCH_MAX) {
            let batch = start..run.end.min(start + BATCH_MAX);
            self.pagemap.read(&stage.arena, batch.clone(), &mut entries)?;
            stage.arena.resident(batch.clone(), &mut resident)?;
            for (page, (entry, resident)) in batch.zip(entries.into_iter().zip(resident)) {
                self.verify_one(page, entry, resident == 0)?;
            }
            self.lane.beat();
        }
        Ok(())
    }

    /// Verifies one page. `entry` and whether it was `away` (neither mapped nor in the swap cache) were
    /// looked up before.
    fn verify_one(&mut self, page: usize, entry: Entry, away: bool) -> Result<(), Stopped> {
        let (stage, number) = (self.pressure.stage, page as u32);
        let generation = self.field.ledger.generation(number);
        self.lane.note_page(number, generation);
        stage.arena.read(page, &mut self.data);
        let verdict = self.field.ledger.check_owner(number, &self.data);
        if let Some(slot) = entry.slot() {
            stage.slots.note(slot, number);
        }
        self.history.note(Op::Verify, number, generation, entry.slot());
        let counts = &self.pressure.phase.counts;
        let judged = counts.judged(verdict, away && entry.swapped());
        judged.map_err(|mismatch| self.found(*mismatch, entry))
    }

    /// Reads pages that another thread may be writing or dropping at this moment.
    ///
    /// # Errors
    /// A mismatch, which was told then, and those of the kernel.
    pub fn peek(&mut self, run: Range<usize>) -> Result<(), Stopped> {
        let stage = self.pressure.stage;
        for page in run {
            let number = page as u32;
            let entry = self.pagemap.entry(&stage.arena, page)?;
            let generation = self.field.ledger.generation(number);
            let before = self.field.ledger.window_before(number);
            self.lane.note_page(number, generation);
            stage.arena.read(page, &mut self.data);
            let ledger = &self.field.ledger;
            let verdict = ledger.check_seen(number, before, &self.data, &mut self.seen);
            self.history.note(Op::Peek, number, generation, entry.slot());
            let judged = self.pressure.phase.counts.judged(verdict, false);
            judged.map_err(|mismatch| self.found(*mismatch, entry))?;
        }
        self.lane.beat();
        Ok(())
    }

    fn found(&self, mismatch: Mismatch, entry: Entry) -> Stopped {
        let after = self
            .pagemap
            .entry(&self.pressure.stage.arena, mismatch.page as usize);
        self.pressure.found(mismatch, entry, after.ok(), &self.history);
        Stopped::Found
    }

    /// Rewrites a page with its next generation.
    pub fn rewrite(&mut self, page: usize) {
        let number = page as u32;
        let intent = self.field.ledger.begin(number);
        intent.stamp.write(&mut self.data);
        self.pressure.stage.arena.write(page, &self.data);
        self.history
            .note(Op::Rewrite, number, intent.stamp.generation, None);
        intent.commit();
        self.pressure.phase.counts.written.fetch_add(1, Ordering::Relaxed);
    }

    /// Has a run of pages paged out.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn page_out(&mut self, run: Range<usize>) -> Result<(), SysError> {
        for start in run.clone().step_by(BATCH_MAX) {
            let batch = start..run.end.min(start + BATCH_MAX);
            self.advise(batch, Advice::PageOut)?;
            self.lane.beat();
        }
        let page = run.start as u32;
        let generation = self.field.ledger.generation(page);
        self.history.note(Op::PageOut, page, generation, None);
        Ok(())
    }

    /// Drops a run of pages: they read zero from then on.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn drop_run(&mut self, run: Range<usize>) -> Result<(), SysError> {
        let ledger = &self.field.ledger;
        let begin = |page| ledger.begin_destroy(page as u32, Destroy::DontNeed);
        let intents: Vec<_> = run.clone().map(begin).collect();
        self.advise(run.clone(), Advice::DontNeed)?;
        intents.into_iter().for_each(|intent| intent.commit());
        for page in run {
            let generation = ledger.generation(page as u32);
            self.history.note(Op::Drop, page as u32, generation, None);
        }
        Ok(())
    }

    /// Advises the kernel on a run of pages.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn advise(&self, run: Range<usize>, advice: Advice) -> Result<(), SysError> {
        self.pressure.stage.arena.advise(run, advice)
    }
}
