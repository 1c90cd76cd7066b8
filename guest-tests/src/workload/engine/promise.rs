//! What the kernel promises of a step, and how an owner holds it to that under the eyes of its
//! [`witness`](super::witness).

use super::owner::{Done, Owner, PAGES_MAX, Stopped};
use super::region::{Kind, Region};
use super::step::{Act, Step};
use super::witness::{Look, Manner, Sight};
use crate::model::{Backing, Fault, Holds, PageState};
use crate::sys::arena::PAGE_WORDS;
use crate::sys::field::{Access, Ask, PLOT_PAGES};
use rand_core::Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// How often, at most, a page leaves while the witness brings it back.
const COMINGS_MAX: u32 = 24;
/// How often what its entry says changes there and back, while a fault that began before is under way.
const FLIPS: u32 = 6;
/// Of so many watched stores one becomes a compaction, six become pages that leave, and two of a region that can be
/// collapsed become that.
const SHARPENED_OF: u32 = 16;

/// What has to be true of a step's first page, on every CPU, when the step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// Nobody reads it.
    Closed,
    /// Nobody writes to it.
    ReadOnly,
    /// Nobody reads it where it was.
    Gone,
    /// It holds what the model says.
    Content,
    /// It holds what was stored to it meanwhile.
    Stores,
    /// A child sees nothing that was stored after the fork.
    Frozen,
    /// What is stored to it is what another CPU reads from then on.
    Seen,
}

impl Promise {
    fn of(act: Act, kind: Kind) -> Option<Self> {
        let is_private = matches!(kind, Kind::Small | Kind::Large);
        match act {
            Act::NoAccess => Some(Self::Closed),
            // A store to a private file mapping would make the page a copy.
            Act::ReadOnly if kind != Kind::PrivateFile => Some(Self::ReadOnly),
            Act::Remap => Some(Self::Gone),
            Act::DontNeed | Act::Punch | Act::Truncate => Some(Self::Content),
            Act::Fork if is_private => Some(Self::Frozen),
            Act::Store => Some(Self::Seen),
            Act::PageOut | Act::Cold | Act::Collapse | Act::Compact if is_private => Some(Self::Stores),
            // Nothing is promised that another CPU could see, or a witness would change what they are about.
            Act::Touch
            | Act::Verify
            | Act::Free
            | Act::PageOut
            | Act::Cold
            | Act::WillNeed
            | Act::PopulateRead
            | Act::PopulateWrite
            | Act::Collapse
            | Act::Unprotect
            | Act::ReadOnly
            | Act::RemapLeaving
            | Act::Fork
            | Act::ClearRefs
            | Act::SoftDirty
            | Act::FileStore
            | Act::FileRead
            | Act::Splice
            | Act::Huge
            | Act::NoHuge
            | Act::Move
            | Act::WriteProtect
            | Act::Pin
            | Act::Reclaim
            | Act::Compact
            | Act::SwapCycle => None,
        }
    }
}

/// A word of a page in which a witness counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub page: usize,
    pub word: usize,
    /// What the word held before.
    pub was: u64,
    /// The number before the first.
    pub from: u64,
}

impl Tally {
    pub(super) fn look(self) -> Look {
        Look::Count {
            word: self.word,
            from: self.from,
            was: self.was,
        }
    }
}

impl Owner<'_> {
    /// Does something while the witness accesses a page; gives what the witness saw last, whether it came to it in time or
    /// not: its last access is after the act in any case.
    pub(super) fn watched<T>(
        &mut self,
        (plot, page): (usize, usize),
        look: Look,
        act: impl FnOnce(&mut Self) -> T,
    ) -> (T, Option<Sight>) {
        let Some(witness) = self.witness else {
            return (act(self), None);
        };
        let manner = Manner::drawn(look, self.rng.next_u32());
        let in_time = witness.ask((plot, page), look, manner);
        let outcome = act(self);
        let mut sight = witness.last();
        if let Some(sight) = &mut sight {
            sight.in_time = in_time;
            self.engine
                .counts
                .watched
                .fetch_add(u64::from(in_time), Ordering::Relaxed);
        }
        (outcome, sight)
    }

    /// Carries out one step, under the eyes of the witness where something is promised of it.
    ///
    /// # Errors
    /// A mismatch, a broken promise, and calls that failed that must not.
    pub(super) fn carry_out_watched(&mut self, step: Step) -> Done {
        let step = self.sharpened(self.fitted(step));
        let at = usize::from(step.region);
        match Promise::of(step.act, self.regions[at].kind).filter(|_| self.witness.is_some()) {
            None => self.carry_out(step),
            Some(Promise::Stores) => self.count_through(step),
            Some(Promise::Frozen) if self.rng.next_u32().is_multiple_of(2) => self.count_past_fork(step),
            Some(Promise::Frozen) => self.be_followed_past_fork(step),
            Some(Promise::Seen) => self.be_followed(step),
            Some(promise) => self.hold_to(promise, step),
        }
    }

    /// Makes some of the many stores something that keeps content and gives pages other frames: what is drawn by its
    /// weight alone comes too rarely for a store to meet it.
    fn sharpened(&mut self, step: Step) -> Step {
        let whole = self.regions[usize::from(step.region)].pages() == PLOT_PAGES;
        if step.act != Act::Store {
            return step;
        }
        let act = match self.rng.next_u32() % SHARPENED_OF {
            0 => Act::Compact,
            1 | 2 if whole => Act::Collapse,
            3..=8 => Act::PageOut,
            _ => Act::Store,
        };
        Step { act, ..step }
    }

    fn hold_to(&mut self, promise: Promise, step: Step) -> Done {
        let (at, page) = (usize::from(step.region), step.range().start);
        let look = if promise == Promise::ReadOnly {
            self.carry_out(one_store(step))?;
            Look::Touch
        } else {
            self.open(at, page..page + 1, Access::Read)?;
            Look::Load
        };
        let plot = self.regions[at].plot();
        let leaves = self.rng.next_u32().is_multiple_of(2);
        let (outcome, sight) = self.watched((plot, page), look, |owner| {
            if leaves {
                // Then the witness brings it back while it is protected, moved or dropped; refused, it stays.
                let _ = owner.engine.field.ask(plot, page..page + 1, Ask::PageOut);
            }
            owner.carry_out(step)
        });
        outcome?;
        let Some(sight) = sight else { return Ok(()) };
        let region = &self.regions[at];
        // The kernel may have refused; then nothing was promised.
        let (is_due, what) = match promise {
            Promise::Closed => (
                !region.allows(page..page + 1, Access::Read),
                "reads of a page without access on another CPU: those that went well, and those that may",
            ),
            Promise::ReadOnly => (
                !region.allows(page..page + 1, Access::ReadWrite),
                "stores to a read-only page on another CPU: those that went well, and those that may",
            ),
            Promise::Gone => (
                region.plot() != plot,
                "reads at a place that was moved away, on another CPU: those that went well, and those that may",
            ),
            Promise::Content | Promise::Stores | Promise::Frozen | Promise::Seen => {
                return self.judge_sight(at, page, &sight);
            }
        };
        if is_due && !sight.faulted {
            self.broken(at, page, what, 1, 0)?;
        }
        Ok(())
    }

    /// Judges what the witness read of a page of a region.
    fn judge_sight(&mut self, at: usize, page: usize, sight: &Sight) -> Done {
        let engine = self.engine;
        let verdict = if sight.faulted {
            self.regions[at].judge_fault(&engine.origin, page)
        } else {
            self.regions[at].judge(&engine.origin, page, &sight.data)
        };
        self.judged(at, page, verdict, None)
    }

    /// Judges what the witness read where a page was moved away from.
    ///
    /// # Errors
    /// What was there, or anything else but nothing.
    pub(super) fn judge_emptied(&mut self, at: usize, page: usize, sight: &Sight) -> Done {
        let empty = emptied(&self.regions[at], page);
        let origin = &self.engine.origin;
        let verdict = if sight.faulted {
            empty.fault(origin, Fault::Sigbus).map(drop)
        } else {
            empty.read(origin, &sight.data).map(drop)
        };
        self.judged(at, page, verdict, None)
    }

    /// Writes a step's first page anew and chooses a word of it to count in.
    pub(super) fn begin_count(&mut self, step: Step) -> Result<Tally, Stopped> {
        let (at, page) = (usize::from(step.region), step.range().start);
        self.carry_out(one_store(step))?;
        let word = self.rng.next_u32() as usize % PAGE_WORDS;
        self.engine
            .field
            .read(self.regions[at].plot(), page, &mut self.data);
        Ok(Tally {
            page,
            word,
            was: self.data[word],
            from: u64::from(self.rng.next_u32()) << 32,
        })
    }

    /// Carries out a step that keeps content while the witness stores to its first page, and looks whether every
    /// store is there.
    fn count_through(&mut self, step: Step) -> Done {
        let (at, page) = (usize::from(step.region), step.range().start);
        let plot = self.regions[at].plot();
        if step.act == Act::Collapse {
            // What is huge already is not collapsed: a page that leaves splits it. Where it is refused, nothing is lost.
            let other = (page + 1) % self.regions[at].pages();
            let _ = self.engine.field.ask(plot, other..other + 1, Ask::PageOut);
        }
        let tally = self.begin_count(step)?;
        let (outcome, sight) = self.watched((plot, page), tally.look(), |owner| -> Done {
            owner.carry_out(step)?;
            if matches!(step.act, Act::PageOut | Act::Cold) && owner.rng.next_u32().is_multiple_of(2) {
                owner.come_and_go(at, page)?;
            }
            Ok(())
        });
        outcome?;
        // Where the witness is over, nothing is known of the word.
        if let Some(sight) = sight {
            if self.rng.next_u32().is_multiple_of(2) {
                // Where it is refused, the page is read where it is.
                let _ = self.engine.field.ask(plot, page..page + 1, Ask::PageOut);
            }
            self.judge_count(at, tally, &sight)?;
        }
        self.carry_out(one_store(step))
    }

    /// Has a page leave again and again, and changes what its entry says meanwhile: the fault of the witness that brings
    /// it back finds another entry than it set out with, and has to begin anew without losing anything. Ends as it began.
    fn come_and_go(&mut self, at: usize, page: usize) -> Done {
        let (plot, one) = (self.regions[at].plot(), page..page + 1);
        let engine = self.engine;
        let field = &engine.field;
        let uffd = self.armed(at);
        for _ in 0..1 + self.rng.next_u32() % COMINGS_MAX {
            self.beat();
            // What is refused changes nothing.
            let _ = field.ask(plot, one.clone(), Ask::PageOut);
            match (self.rng.next_u32() % 8, uffd) {
                (0, _) => {}
                // What was written to a disk stays in the swap cache until somebody wants its memory.
                (1, _) => self.reclaim()?,
                (2..=5, Some(uffd)) => {
                    let span = self.span(at, plot, one.clone());
                    for _ in 0..FLIPS {
                        let _ = uffd.protect(span, true);
                        let _ = uffd.protect(span, false);
                    }
                }
                _ => {
                    field.protect(plot, one.clone(), Access::Read)?;
                    field.protect(plot, one.clone(), Access::ReadWrite)?;
                }
            }
        }
        if uffd.is_some() {
            // It lifts what could not be lifted.
            self.disarm(at)?;
        }
        Ok(())
    }

    /// Prepares a step's pages for a fork, and a word of the first to count in; gives them with their region.
    pub(super) fn begin_fork(&mut self, step: Step) -> Result<(usize, Range<usize>, Tally), Stopped> {
        let (at, range) = (usize::from(step.region), step.range());
        let range = range.start..range.end.min(range.start + PAGES_MAX);
        self.let_write(at, range.clone())?;
        let tally = self.begin_count(step)?;
        self.engine.log.note(self.number, step);
        Ok((at, range, tally))
    }

    /// Forks a child while the witness stores to a page: what it stores after the fork is the parent's alone.
    fn count_past_fork(&mut self, step: Step) -> Done {
        let Some(witness) = self.witness else {
            return Ok(());
        };
        let (at, range, tally) = self.begin_fork(step)?;
        let place = (self.regions[at].plot(), tally.page);
        let ((child, mark), sight) = self.watched(place, tally.look(), |owner| {
            (owner.fork_child(at, range), witness.mark())
        });
        if let Some(mut child) = child? {
            // Of one that was not in time nobody knows when it stored.
            let newest = if sight.as_ref().is_some_and(|sight| sight.in_time) {
                mark
            } else {
                u64::MAX
            };
            child.counted = Some((tally, newest));
            self.end_child(at, child)?;
        }
        if let Some(sight) = sight {
            self.judge_count(at, tally, &sight)?;
        }
        self.carry_out(one_store(step))
    }

    /// Judges a page in which the witness counted.
    pub(super) fn judge_count(&mut self, at: usize, tally: Tally, sight: &Sight) -> Done {
        let (page, engine) = (tally.page, self.engine);
        if sight.faulted {
            let verdict = self.regions[at].judge_fault(&engine.origin, page);
            self.judged(at, page, verdict, None)?;
        }
        if sight.is_lost {
            self.data.copy_from_slice(&sight.data[..]);
        } else {
            engine.field.read(self.regions[at].plot(), page, &mut self.data);
        }
        let is = self.data[tally.word];
        let due = if sight.last == tally.from {
            tally.was
        } else {
            sight.last
        };
        if is == due && !sight.is_lost {
            self.data[tally.word] = tally.was;
        } else if is == tally.was || (tally.from..sight.last).contains(&is) {
            // What was there before the first store is right by the model alone: all of them were lost.
            let what = "stores of another CPU to a page: those that were made, and those that are there";
            let there = if is == tally.was { tally.from } else { is };
            let [made, there] = [sight.last, there].map(|n| (n - tally.from) as usize);
            return self.broken(at, page, what, made, there);
        }
        let verdict = self.regions[at].judge(&engine.origin, page, &self.data);
        self.judged(at, page, verdict, None)
    }

    /// Tells of a promise that does not hold on another CPU.
    pub(super) fn broken(&mut self, at: usize, page: usize, what: &str, one: usize, other: usize) -> Done {
        let context: BTreeMap<String, String> = self.context(at, page, None);
        self.disagree(what.to_owned(), one, other, context)
    }
}

/// A store to a step's first page.
pub(super) fn one_store(step: Step) -> Step {
    Step {
        pages: 1,
        act: Act::Store,
        ..step
    }
}

/// What a page's place may hold once the page was moved away: nothing, and never what was there.
pub(super) fn emptied(region: &Region, page: usize) -> PageState {
    PageState {
        dropped: region.generation(page),
        ..PageState::fresh(region.first + page as u32, Backing::PrivateAnon, Holds::Hole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_copy_would_change_is_not_stored_to() {
        assert_eq!(Promise::of(Act::ReadOnly, Kind::PrivateFile), None);
        assert_eq!(Promise::of(Act::PageOut, Kind::Shared), None);
        assert_eq!(Promise::of(Act::PageOut, Kind::Small), Some(Promise::Stores));
        assert_eq!(Promise::of(Act::Free, Kind::Small), None);
        assert_eq!(Promise::of(Act::Compact, Kind::PrivateFile), None);
        assert_eq!(Promise::of(Act::Store, Kind::PrivateFile), Some(Promise::Seen));
    }
}
