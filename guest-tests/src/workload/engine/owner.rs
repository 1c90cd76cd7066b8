//! An owner: carries steps out on its own regions, and knows after each what every page may hold.

use super::guard::Guard;
use super::heir::Heir;
use super::promise::emptied;
use super::region::{Kind, Region, buffer};
use super::step::{Act, Step};
use super::telling::is_refusal;

use super::witness::Witness;
use super::{Engine, REGIONS, first_page};
use crate::model::{Mismatch, Op};
use crate::sys::arena::PageWords;
use crate::sys::board::Lane;
use crate::sys::field::{Access, Ask, PLOT_PAGES};
use crate::sys::pagemap::{Entry, Pagemap};
use crate::sys::pins::Pins;
use crate::sys::soft_dirty;
use crate::workload::CaseError;
use crate::workload::antagonist::{Ground, swap_cycle};
pub use crate::workload::phase::Stopped;
use rand_core::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

/// Pages that one look at the pagemap covers.
pub(super) const BATCH: usize = 64;
/// Generations between the pages of one stretch and those of the next, more than a page has in one.
const GENERATIONS: u32 = 8191;
/// Pages of one step that reads and writes page by page, at most: a step must not take long.
pub(super) const PAGES_MAX: usize = 24;
/// Pages that fit into a pipe together.
const SPLICED_MAX: usize = 8;
/// What one step asks memory.reclaim for.
const RECLAIM_BYTES: u64 = 128 << 10;

/// What a step came to: nothing, or the kernel's refusal.
pub(super) type Done = Result<(), Stopped>;

/// One owner.
pub struct Owner<'a> {
    pub(super) engine: &'a Engine,
    pub(super) number: usize,
    /// The surroundings; none where a log is replayed, and where the host tests this.
    pub(super) around: Option<(&'a Ground<'a>, &'a Lane)>,
    pub(super) regions: Vec<Region>,
    pub(super) pagemap: Pagemap,
    pub(super) data: Box<PageWords>,
    pub(super) rng: Pcg64Mcg,
    pub(super) heir: Heir,
    pub(super) pipe: (OwnedFd, OwnedFd),
    /// Mismatches, where there is nobody to tell them to.
    pub(super) found: Vec<Mismatch>,
    pub(super) guard: Option<Guard>,
    /// Who looks from another CPU; none where a log is replayed.
    pub(super) witness: Option<&'a Witness>,
    /// Whether the kernel has the bits.
    pub(super) has_soft_dirty: bool,
    /// What pins pages; none where the kernel has no io_uring, or forbids it.
    pub(super) pins: Option<Pins>,
}

impl<'a> Owner<'a> {
    /// Maps the regions of an owner.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn new(
        engine: &'a Engine,
        number: usize,
        around: Option<(&'a Ground<'a>, &'a Lane)>,
        stretch: u64,
        seed: u64,
    ) -> Result<Self, CaseError> {
        let newest = (stretch as u32).wrapping_mul(GENERATIONS) & (u32::MAX >> 1);
        let map = |(at, &(kind, pages)): (usize, &(Kind, usize))| {
            let plot = (number * REGIONS.len() + at) * 2;
            Region::map(
                &engine.field,
                [plot, plot + 1],
                (kind, pages),
                engine.folder.as_deref(),
                first_page(number, at),
                newest,
            )
        };
        let (reads, writes) = rustix::pipe::pipe().map_err(std::io::Error::from)?;
        let mut owner = Self {
            engine,
            number,
            around,
            regions: REGIONS.iter().enumerate().map(map).collect::<Result<_, _>>()?,
            pagemap: Pagemap::open()?,
            data: buffer(),
            rng: Pcg64Mcg::seed_from_u64(seed),
            heir: Heir::new()?,
            pipe: (reads, writes),
            found: Vec::new(),
            guard: None,
            witness: None,
            has_soft_dirty: false,
            pins: Pins::open().ok(),
        };
        owner.has_soft_dirty = owner.finds_soft_dirty()?;
        Ok(owner)
    }

    /// Whether a step is within what the owner has.
    #[must_use]
    pub fn has(&self, step: &Step) -> bool {
        let region = self.regions.get(usize::from(step.region));
        region.is_some_and(|region| step.range().end <= region.pages())
    }

    /// Carries out one step and logs it.
    ///
    /// # Errors
    /// A mismatch, and calls that failed that must not.
    pub fn carry_out(&mut self, step: Step) -> Done {
        let step = self.fitted(step);
        self.engine.log.note(self.number, step);
        let outcome = self.act(step);
        if let Err(Stopped::Case(CaseError::Sys(e))) = &outcome {
            self.engine.log.refused(self.number, e.errno().unwrap_or(-1));
        }
        match outcome {
            Err(Stopped::Case(CaseError::Sys(e))) if is_refusal(step.act, &e) => Ok(()),
            other => other,
        }
    }

    /// Makes an act of one that its region's kind has.
    pub(super) fn fitted(&self, step: Step) -> Step {
        let kind = self.regions[usize::from(step.region)].kind;
        let is_file = matches!(kind, Kind::Shared | Kind::PrivateFile | Kind::Disk);
        let act = step.act;
        let is = |acts: &[Act]| acts.contains(&act);
        let is_for_anonymous = is(&[Act::Splice, Act::SoftDirty, Act::Move]);
        let act = if kind == Kind::Shared && is_for_anonymous {
            Act::WriteProtect
        } else if kind == Kind::Disk && (is_for_anonymous || is(&[Act::Free, Act::WriteProtect, Act::Pin])) {
            Act::FileRead
        } else if kind == Kind::PrivateFile && (is_for_anonymous || act == Act::WriteProtect)
            || is_file && act == Act::Free
            || !is_file && is(&[Act::Punch, Act::Truncate, Act::FileStore])
        {
            Act::Store
        } else if is_file && act == Act::RemapLeaving {
            Act::Remap
        } else if !is_file && act == Act::FileRead {
            Act::Verify
        } else if act == Act::Huge && !matches!(kind, Kind::Large | Kind::Shared) {
            Act::NoHuge
        } else {
            act
        };
        Step { act, ..step }
    }

    fn act(&mut self, step: Step) -> Done {
        let (at, range) = (usize::from(step.region), step.range());
        let few = range.start..range.end.min(range.start + PAGES_MAX);
        match step.act {
            Act::Store => self.store(at, few),
            Act::Touch => self.touch(at, few),
            Act::Verify => self.verify(at, range),
            Act::DontNeed => self.ask(at, range, Ask::DontNeed, Some(Op::DontNeed)),
            Act::Free => self.ask(at, range, Ask::Free, Some(Op::Free)),
            Act::PageOut => self.ask(at, range, Ask::PageOut, None),
            Act::Cold => self.ask(at, range, Ask::Cold, None),
            Act::WillNeed => self.ask(at, range, Ask::WillNeed, None),
            Act::PopulateRead => self.populate(at, few, Ask::PopulateRead),
            Act::PopulateWrite => self.populate(at, few, Ask::PopulateWrite),
            Act::Collapse => self.collapse(at),
            Act::Unprotect | Act::ReadOnly | Act::NoAccess => self.protect(at, range, step.act),
            Act::Remap => self.remap(at, false),
            Act::RemapLeaving => self.remap(at, true),
            Act::Fork => self.fork(at, few),
            Act::ClearRefs => Ok(soft_dirty::clear()?),
            Act::SoftDirty => self.soft_dirty(at, few),
            Act::Punch => Ok(self.regions[at].punch(range)?),
            Act::Truncate => Ok(self.regions[at].truncate(range.start)?),
            Act::FileStore => self.file_store(at, few),
            Act::FileRead => self.file_read(at, few),
            Act::Splice => self.splice(at, range.start..range.end.min(range.start + SPLICED_MAX)),
            Act::Huge => Ok(self.regions[at].advise_size(&self.engine.field, Ask::Huge)?),
            Act::NoHuge => Ok(self.regions[at].advise_size(&self.engine.field, Ask::NoHuge)?),
            Act::Move => self.move_there_and_back(at, few).map(drop),
            Act::WriteProtect => self.write_protect(at, few),
            Act::Pin => self.pin(at, &few),
            Act::Reclaim => self.reclaim(),
            Act::Compact => Ok(crate::workload::antagonist::compact()?),
            Act::SwapCycle => self.swap_cycle().map(drop),
        }
    }

    /// Tells that it goes on: one act may be many calls.
    pub(super) fn beat(&self) {
        if let Some((_, lane)) = self.around {
            lane.beat();
        }
    }

    /// Makes pages accessible, where they are not.
    pub(super) fn open(&mut self, at: usize, range: Range<usize>, wanted: Access) -> Done {
        let region = &mut self.regions[at];
        if region.allows(range.clone(), wanted) {
            return Ok(());
        }
        Ok(region.protect(&self.engine.field, range, Access::ReadWrite)?)
    }

    /// Makes pages writable, where they are not.
    pub(super) fn let_write(&mut self, at: usize, range: Range<usize>) -> Done {
        self.unguard()?;
        self.open(at, range, Access::ReadWrite)
    }

    pub(super) fn store(&mut self, at: usize, range: Range<usize>) -> Done {
        self.let_write(at, range.clone())?;
        let engine = self.engine;
        for page in range {
            self.regions[at].store(&engine.field, &engine.origin, page, &mut self.data);
            engine.counts.written.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn touch(&mut self, at: usize, range: Range<usize>) -> Done {
        self.let_write(at, range.clone())?;
        for page in range {
            let word = page * 37 % 512;
            self.engine.field.touch(self.regions[at].plot(), page, word);
            self.regions[at].apply(page..page + 1, Op::Touch);
        }
        Ok(())
    }

    /// Reads and judges pages.
    pub(super) fn verify(&mut self, at: usize, range: Range<usize>) -> Done {
        self.open(at, range.clone(), Access::Read)?;
        let engine = self.engine;
        let mut entries = [Entry::default(); BATCH];
        for start in range.clone().step_by(BATCH) {
            let batch = start..range.end.min(start + BATCH);
            self.regions[at].entries(&engine.field, &self.pagemap, batch.clone(), &mut entries)?;
            for (page, entry) in batch.zip(entries) {
                let region = &self.regions[at];
                if let Some((_, lane)) = self.around {
                    lane.note_page(region.first + page as u32, region.generation(page));
                }
                engine.field.read(region.plot(), page, &mut self.data);
                let verdict = self.regions[at].judge(&engine.origin, page, &self.data);
                self.judged(at, page, verdict, Some(entry))?;
                if entry.swapped() {
                    engine.counts.round_trips.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, at: usize, range: Range<usize>, ask: Ask, op: Option<Op>) -> Done {
        self.engine
            .field
            .ask(self.regions[at].plot(), range.clone(), ask)?;
        if let Some(op) = op {
            self.ungated(at, &range);
            self.regions[at].apply(range, op);
        }
        Ok(())
    }

    fn populate(&mut self, at: usize, range: Range<usize>, ask: Ask) -> Done {
        let (access, op) = if ask == Ask::PopulateWrite {
            (Access::ReadWrite, Op::PopulateWrite)
        } else {
            (Access::Read, Op::PopulateRead)
        };
        if access == Access::ReadWrite {
            self.unguard()?;
        }
        self.open(at, range.clone(), access)?;
        let outcome = self.engine.field.ask(self.regions[at].plot(), range.clone(), ask);
        if outcome.is_err() && ask == Ask::PopulateWrite {
            // Which pages of a private file mapping are its own now is not known: a store settles it.
            self.touch(at, range)?;
        } else {
            self.regions[at].apply(range, op);
        }
        Ok(outcome?)
    }

    /// A collapse may have filled holes even where it failed.
    pub(super) fn collapse(&mut self, at: usize) -> Done {
        let region = &mut self.regions[at];
        // Only whole tables are collapsed.
        if region.pages() < PLOT_PAGES {
            return Ok(());
        }
        let outcome = self
            .engine
            .field
            .ask(region.plot(), 0..region.pages(), Ask::Collapse);
        region.apply(0..region.pages(), Op::Collapse);
        Ok(outcome?)
    }

    /// Collapses a region; tells whether it is huge, or the kernel would not.
    ///
    /// # Errors
    /// Those of the kernel that are no refusal.
    pub(super) fn collapsed(&mut self, at: usize) -> Result<bool, Stopped> {
        match self.collapse(at) {
            Err(Stopped::Case(CaseError::Sys(e))) if is_refusal(Act::Collapse, &e) => Ok(false),
            other => other.map(|()| true),
        }
    }

    fn protect(&mut self, at: usize, range: Range<usize>, act: Act) -> Done {
        let access = act.access().unwrap_or(Access::ReadWrite);
        Ok(self.regions[at].protect(&self.engine.field, range, access)?)
    }

    fn remap(&mut self, at: usize, leaves: bool) -> Done {
        let pages = self.regions[at].pages();
        // One mapping only is moved.
        self.open(at, 0..pages, Access::ReadWrite)?;
        let (from, to) = (self.regions[at].plot(), self.regions[at].other_plot());
        self.engine.field.move_to(from, to, pages, leaves)?;
        self.regions[at].moved();
        // The new place is not registered.
        self.forget_guard(at);
        if leaves {
            for page in [0, pages / 2, pages - 1] {
                let empty = emptied(&self.regions[at], page);
                self.engine.field.read(from, page, &mut self.data);
                let verdict = empty.read(&self.engine.origin, &self.data).map(drop);
                self.judged(at, page, verdict, None)?;
            }
            self.engine.field.clear(from)?;
        }
        Ok(())
    }

    pub(super) fn reclaim(&mut self) -> Done {
        if let Some(group) = self.around.and_then(|(ground, _)| ground.group) {
            group.reclaim(RECLAIM_BYTES)?;
        }
        Ok(())
    }

    /// Switches swap off and on; tells whether it was.
    pub(super) fn swap_cycle(&mut self) -> Result<bool, Stopped> {
        let Some((ground, lane)) = self.around else {
            return Ok(false);
        };
        lane.expect_within(crate::workload::STEP_PATIENCE_S);
        let done = swap_cycle(ground, &mut self.rng, ground.stop, &|| lane.beat());
        lane.expect_within(crate::workload::WORKER_PATIENCE_S);
        Ok(done?)
    }

    /// Verifies everything that the owner has.
    ///
    /// # Errors
    /// A mismatch, and calls that failed that must not.
    pub fn survey(&mut self) -> Done {
        for at in 0..self.regions.len() {
            self.verify(at, 0..self.regions[at].pages())?;
            if let Some((_, lane)) = self.around {
                lane.beat();
            }
        }
        Ok(())
    }
}

impl Drop for Owner<'_> {
    /// Takes the regions away.
    fn drop(&mut self) {
        for region in &self.regions {
            // What can't be replaced stays mapped until the field goes.
            let _ = self.engine.field.clear(region.plot());
        }
    }
}
