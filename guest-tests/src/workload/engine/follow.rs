//! Stores of an owner that its [`witness`](super::witness) follows: what one CPU has stored, every other reads from
//! then on, whatever it knew of the page before. A page that was read as a hole, from a file or beside a child
//! is another one after the first store, and a translation that some CPU keeps of the one before shows what was there.

use super::owner::{Done, Owner, Stopped};
use super::promise::{Tally, one_store};
use super::step::Step;
use super::witness::{Look, Sight, Witness};
use crate::model::Op;
use crate::sys::field::{Access, Ask};
use rand_core::Rng;

/// Stores that are followed one after the other, at most.
const STORES_MAX: u32 = 12;

impl Tally {
    pub(super) fn follow(self) -> Look {
        Look::Follow {
            word: self.word,
            from: self.from,
        }
    }
}

impl Owner<'_> {
    /// Stores to a step's first page again and again while the witness reads it, and changes how the page is mapped between.
    ///
    /// # Errors
    /// A store that the witness did not see, and calls that failed that must not.
    pub(super) fn be_followed(&mut self, step: Step) -> Done {
        let Some(witness) = self.witness else {
            return self.carry_out(step);
        };
        let (at, tally) = (usize::from(step.region), self.begin_count(step)?);
        let place = (self.regions[at].plot(), tally.page);
        let (outcome, sight) = self.watched(place, tally.follow(), |owner| -> Result<u64, Stopped> {
            let mut stored = tally.from;
            for _ in 0..1 + owner.rng.next_u32() % STORES_MAX {
                witness.tell(0);
                owner.map_anew(at, tally.page)?;
                owner.beat();
                if !owner.store_next(witness, at, tally, &mut stored) {
                    break;
                }
            }
            Ok(stored)
        });
        self.judge_followed(at, tally, outcome?, sight)?;
        self.carry_out(step)
    }

    /// Forks a child and stores to a page that it holds while the witness reads the parent's.
    ///
    /// # Errors
    /// A store that the witness did not see, one that the child saw, and calls that failed that must not.
    pub(super) fn be_followed_past_fork(&mut self, step: Step) -> Done {
        let Some(witness) = self.witness else {
            return self.carry_out(step);
        };
        let (at, range, tally) = self.begin_fork(step)?;
        let place = (self.regions[at].plot(), tally.page);
        let ((child, stored), sight) = self.watched(place, tally.follow(), |owner| {
            let (child, mut stored) = (owner.fork_child(at, range), tally.from);
            owner.store_next(witness, at, tally, &mut stored);
            (child, stored)
        });
        if let Some(child) = child? {
            self.end_child(at, child)?;
        }
        self.judge_followed(at, tally, stored, sight)?;
        self.carry_out(one_store(step))
    }

    /// Has a page mapped in another way than it was stored to: as a hole, read only, or not at all.
    fn map_anew(&mut self, at: usize, page: usize) -> Done {
        let (plot, one) = (self.regions[at].plot(), page..page + 1);
        let field = &self.engine.field;
        match self.rng.next_u32() % 8 {
            0 => {}
            1 | 2 => {
                field.protect(plot, one.clone(), Access::Read)?;
                field.protect(plot, one, Access::ReadWrite)?;
            }
            3 => {
                // What is refused changes nothing.
                let _ = field.ask(plot, one, Ask::PageOut);
            }
            _ => {
                field.ask(plot, one.clone(), Ask::DontNeed)?;
                self.regions[at].apply(one, Op::DontNeed);
            }
        }
        Ok(())
    }

    /// Stores the next number when the witness has read the page or does not come, tells it, and has it read again; tells
    /// whether it came to read.
    fn store_next(&self, witness: &Witness, at: usize, tally: Tally, stored: &mut u64) -> bool {
        let came = witness.has_looked();
        *stored += 1;
        let plot = self.regions[at].plot();
        self.engine.field.poke(plot, tally.page, tally.word, *stored);
        witness.tell(*stored);
        came && witness.has_looked()
    }

    /// Judges what the witness read of numbers up to one, and what the owner reads itself.
    ///
    /// # Errors
    /// A store that is not there, or was not seen.
    pub(super) fn judge_followed(
        &mut self,
        at: usize,
        tally: Tally,
        stored: u64,
        sight: Option<Sight>,
    ) -> Done {
        let engine = self.engine;
        let seen = |word: u64| word.checked_sub(tally.from).filter(|n| *n <= u64::from(u32::MAX));
        match sight {
            Some(sight) if sight.faulted => {
                let verdict = self.regions[at].judge_fault(&engine.origin, tally.page);
                self.judged(at, tally.page, verdict, None)?;
            }
            Some(sight) if sight.is_lost => {
                let what =
                    "stores to a page: those that were made, and those that another CPU saw afterwards";
                let made = (sight.last - tally.from) as usize;
                let there = seen(sight.data[tally.word]).unwrap_or(0) as usize;
                return self.broken(at, tally.page, what, made, there);
            }
            Some(_) | None => {}
        }
        engine
            .field
            .read(self.regions[at].plot(), tally.page, &mut self.data);
        let is = self.data[tally.word];
        if stored > tally.from && is != stored {
            let what = "stores to a page: those that were made, and those that are there";
            let made = (stored - tally.from) as usize;
            return self.broken(at, tally.page, what, made, seen(is).unwrap_or(0) as usize);
        }
        Ok(())
    }
}
