//! Pages that the kernel keeps for input and output stay the process's own, whatever is done to them meanwhile: what the kernel writes
//! to them is there, and what the process stores is what the kernel reads. Reclaim, collapse, migration, fork and UFFDIO_MOVE
//! have to leave them where they are.

use super::heir::Child;
use super::owner::{Done, Owner, Stopped};
use super::region::buffer;
use super::step::Act;
use super::telling::is_refusal;
use crate::model::Op;
use crate::sys::field::{Access, Ask};
use crate::sys::pins::{PINNED_MAX, Pins};
use crate::workload::CaseError;
use rand_core::Rng;
use std::ops::Range;

/// How often they are disturbed and used, while they are pinned.
const TIMES: u32 = 3;

impl Owner<'_> {
    /// Pins pages, and has the kernel write to them and read from them while they are disturbed.
    ///
    /// # Errors
    /// A mismatch, and calls that failed that must not.
    pub(super) fn pin(&mut self, at: usize, range: &Range<usize>) -> Done {
        let few = range.start..range.end.min(range.start + PINNED_MAX);
        self.store(at, few.clone())?;
        let Some(mut pins) = self.pins.take() else {
            return Ok(());
        };
        // What is refused stays as it is.
        let pinned = pins.pin(&self.engine.field, self.regions[at].plot(), &few);
        let outcome = if pinned.is_ok() {
            let used = self.use_pinned(&mut pins, at, &few);
            used.and(pins.unpin().map_err(Stopped::from))
        } else {
            Ok(())
        };
        // A request that failed may be in the ring still: the next one's end could be taken for its own.
        self.pins = if outcome.is_ok() {
            Some(pins)
        } else {
            drop(pins);
            Pins::open().ok()
        };
        outcome
    }

    fn use_pinned(&mut self, pins: &mut Pins, at: usize, pages: &Range<usize>) -> Done {
        let mut children = Vec::new();
        for _ in 0..1 + self.rng.next_u32() % TIMES {
            children.extend(self.disturb(at, pages)?);
            self.fill(pins, at, pages)?;
            self.verify(at, pages.clone())?;
            self.store(at, pages.clone())?;
            self.drain(pins, at, pages)?;
            self.beat();
        }
        for child in children {
            self.end_child(at, child)?;
        }
        Ok(())
    }

    /// Does to pinned pages what leaves them as they are; gives a child that has copies.
    fn disturb(&mut self, at: usize, pages: &Range<usize>) -> Result<Option<Child>, Stopped> {
        let region = &self.regions[at];
        let (plot, len, is_shared) = (region.plot(), region.pages(), region.kind.is_shared());
        let field = &self.engine.field;
        match self.rng.next_u32() % 8 {
            0 | 1 => {
                // Refused or not, they stay.
                let _ = field.ask(plot, pages.clone(), Ask::PageOut);
                self.reclaim()?;
            }
            2 | 3 => {
                self.collapsed(at)?;
            }
            4 => {
                field.protect(plot, pages.clone(), Access::Read)?;
                field.protect(plot, pages.clone(), Access::ReadWrite)?;
            }
            5 if !is_shared => return self.fork_child(at, pages.clone()),
            6 if !is_shared => self.try_to_move(at, pages)?,
            _ if pages.end < len => {
                // Their neighbour goes: what was one folio or one table may be two.
                field.ask(plot, pages.end..pages.end + 1, Ask::DontNeed)?;
                self.regions[at].apply(pages.end..pages.end + 1, Op::DontNeed);
            }
            _ => {}
        }
        Ok(None)
    }

    /// Asks for a move of pinned pages, which has to be refused.
    fn try_to_move(&mut self, at: usize, pages: &Range<usize>) -> Done {
        match self.move_there_and_back(at, pages.clone()) {
            Ok(0) => Ok(()),
            Ok(moved) => {
                let what = "pages that are pinned: moved by UFFDIO_MOVE, and to be moved".to_owned();
                let context = self.context(at, pages.start, None);
                self.disagree(what, moved, 0, context)
            }
            Err(Stopped::Case(CaseError::Sys(e))) if is_refusal(Act::Move, &e) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Has the kernel write the next generation of each page.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn fill(&mut self, pins: &mut Pins, at: usize, pages: &Range<usize>) -> Done {
        let mut data = buffer();
        for (nth, page) in pages.clone().enumerate() {
            let region = &mut self.regions[at];
            let name = region.next(page);
            let stamp = self.engine.origin.stamp(name.page, name.generation);
            stamp.write(&mut data);
            if let Err(e) = pins.fill(nth, &data) {
                // How much of it was written is not known.
                self.store(at, page..page + 1)?;
                return Err(e.into());
            }
            region.apply(page..page + 1, Op::Store(name));
        }
        Ok(())
    }

    /// Judges what the kernel reads of each page.
    ///
    /// # Errors
    /// A mismatch, and those of the kernel.
    pub(super) fn drain(&mut self, pins: &mut Pins, at: usize, pages: &Range<usize>) -> Done {
        let mut data = buffer();
        for (nth, page) in pages.clone().enumerate() {
            pins.drain(nth, &mut data)?;
            let verdict = self.regions[at].judge(&self.engine.origin, page, &data);
            self.judged(at, page, verdict, None)?;
        }
        Ok(())
    }
}
