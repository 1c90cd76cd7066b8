//! A witness: a second thread of an owner, on another CPU, that keeps accessing one page by instructions while the owner
//! does something to it.
//!
//! What the kernel promises of a call holds on every CPU when the call returns: what was taken away faults, what was
//! protected can't be written, what was dropped is gone. And what another CPU stores while pages are written out,
//! collapsed or migrated is not lost. A witness changes no content but one word that it counts in; the owner knows
//! that word and writes the page anew afterwards.

use super::owner::{Done, Owner, PAGES_MAX, Stopped};
use super::region::{Kind, Region, buffer};
use super::step::{Act, Step};
use crate::model::{Backing, Fault, Holds, PageState};
use crate::sys::arena::{PAGE_WORDS, PageWords};
use crate::sys::field::{Access, Ask, Field, PLOT_PAGES};
use crate::sys::proc;
use rand_core::Rng;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How long an owner waits for its witness's first access, in nanoseconds.
const WARM_NS_MAX: u64 = 20_000_000;
/// One watched store in so many becomes a compaction; two of a region that can be collapsed become that.
const SHARPENED_OF: u32 = 16;

/// How a witness accesses its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It reads.
    Load,
    /// It stores without changing anything.
    Touch,
    /// It stores one number after the other to a word.
    Count {
        /// The word.
        word: usize,
        /// The number before the first.
        from: u64,
    },
}

/// What a witness saw last, after the owner's call had returned.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    /// Its last access faulted.
    pub faulted: bool,
    /// What it read, where it reads.
    pub data: Box<PageWords>,
    /// The last number that it stored, where it counts.
    pub last: u64,
}

#[derive(Debug, Default)]
enum Desk {
    #[default]
    Idle,
    Asked {
        plot: usize,
        page: usize,
        look: Look,
    },
    Done(Sight),
    Over,
}

/// One witness.
#[derive(Debug, Default)]
pub struct Witness {
    desk: Mutex<Desk>,
    bell: Condvar,
    /// Accesses of the task that went well.
    rounds: AtomicU64,
    /// The number that was stored last, where it counts.
    latest: AtomicU64,
    is_last: AtomicBool,
}

/// Ends a witness when it is dropped.
pub(super) struct OverOnDrop<'w>(pub &'w Witness);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.is_last.store(true, Ordering::Release);
        *self.0.desk() = Desk::Over;
        self.0.bell.notify_all();
    }
}

impl Witness {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'d>(&self, desk: MutexGuard<'d, Desk>) -> MutexGuard<'d, Desk> {
        self.bell.wait(desk).unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what it is asked for until it is over. Runs on a thread of its own.
    pub(super) fn work(&self, field: &Field) {
        let mut desk = self.desk();
        loop {
            match *desk {
                Desk::Over => return,
                Desk::Idle | Desk::Done(_) => desk = self.wait(desk),
                Desk::Asked { plot, page, look } => {
                    *desk = Desk::Idle;
                    drop(desk);
                    let sight = self.watch(field, plot, page, look);
                    desk = self.desk();
                    if !matches!(*desk, Desk::Over) {
                        *desk = Desk::Done(sight);
                    }
                    self.bell.notify_all();
                }
            }
        }
    }

    fn watch(&self, field: &Field, plot: usize, page: usize, look: Look) -> Sight {
        let mut sight = Sight {
            faulted: false,
            data: buffer(),
            last: 0,
        };
        if let Look::Count { from, .. } = look {
            sight.last = from;
            self.latest.store(from, Ordering::Relaxed);
        }
        loop {
            // Asked before the access: the last one comes after the owner's call has returned.
            let is_last = self.is_last.load(Ordering::Acquire);
            let done = match look {
                Look::Load => field.try_read(plot, page, &mut sight.data),
                Look::Touch => field.try_touch(plot, page, 0),
                Look::Count { word, .. } => {
                    let done = field.try_poke(plot, page, word, sight.last + 1);
                    sight.last += u64::from(done);
                    self.latest.store(sight.last, Ordering::Release);
                    done
                }
            };
            if is_last {
                sight.faulted = !done;
                return sight;
            }
            self.rounds.fetch_add(u64::from(done), Ordering::Release);
        }
    }

    /// Has it watch a page until [`Witness::last`]; tells whether it came to access it in time.
    fn ask(&self, plot: usize, page: usize, look: Look) -> bool {
        self.rounds.store(0, Ordering::Relaxed);
        self.is_last.store(false, Ordering::Release);
        *self.desk() = Desk::Asked { plot, page, look };
        self.bell.notify_all();
        let until = proc::uptime_ns() + WARM_NS_MAX;
        while self.rounds.load(Ordering::Acquire) == 0 {
            if proc::uptime_ns() > until {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// The greatest number that it may have stored by now; returns when it has stored greater ones, or may not come to it.
    fn mark(&self) -> u64 {
        // One may be stored and not told yet.
        let mark = self.latest.load(Ordering::Acquire) + 1;
        let until = proc::uptime_ns() + WARM_NS_MAX;
        while self.latest.load(Ordering::Acquire) <= mark && proc::uptime_ns() < until {
            std::thread::yield_now();
        }
        mark
    }

    /// Has it look once more, and gives what it saw.
    fn last(&self) -> Option<Sight> {
        self.is_last.store(true, Ordering::Release);
        let mut desk = self.desk();
        loop {
            match std::mem::take(&mut *desk) {
                Desk::Done(sight) => return Some(sight),
                Desk::Over => {
                    *desk = Desk::Over;
                    return None;
                }
                other @ (Desk::Idle | Desk::Asked { .. }) => {
                    *desk = other;
                    desk = self.wait(desk);
                }
            }
        }
    }
}

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
            Act::PageOut | Act::Cold | Act::Collapse | Act::Compact if is_private => Some(Self::Stores),
            // Nothing is promised that another CPU could see, or a witness would change what they are about.
            Act::Store
            | Act::Touch
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
    fn look(self) -> Look {
        Look::Count {
            word: self.word,
            from: self.from,
        }
    }
}

impl Owner<'_> {
    /// Does something while the witness accesses a page; gives what the witness saw last, where it came to see anything.
    pub(super) fn watched<T>(
        &mut self,
        (plot, page): (usize, usize),
        look: Look,
        act: impl FnOnce(&mut Self) -> T,
    ) -> (T, Option<Sight>) {
        let Some(witness) = self.witness else {
            return (act(self), None);
        };
        let in_time = witness.ask(plot, page, look);
        let outcome = act(self);
        let sight = witness.last().filter(|_| in_time);
        if sight.is_some() {
            self.engine.counts.watched.fetch_add(1, Ordering::Relaxed);
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
            Some(Promise::Frozen) => self.count_past_fork(step),
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
        let (outcome, sight) = self.watched((plot, page), look, |owner| owner.carry_out(step));
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
            Promise::Content | Promise::Stores | Promise::Frozen => {
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
    fn begin_count(&mut self, step: Step) -> Result<Tally, Stopped> {
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
        let (outcome, sight) = self.watched((plot, page), tally.look(), |owner| owner.carry_out(step));
        outcome?;
        // It counted, whether it was in time or not: without a sight nothing is known of the word.
        if let Some(sight) = sight {
            if self.rng.next_u32().is_multiple_of(2) {
                // Where it is refused, the page is read where it is.
                let _ = self.engine.field.ask(plot, page..page + 1, Ask::PageOut);
            }
            self.judge_count(at, tally, &sight)?;
        }
        self.carry_out(one_store(step))
    }

    /// Forks a child while the witness stores to a page: what it stores after the fork is the parent's alone.
    fn count_past_fork(&mut self, step: Step) -> Done {
        let Some(witness) = self.witness else {
            return Ok(());
        };
        let (at, range) = (usize::from(step.region), step.range());
        let range = range.start..range.end.min(range.start + PAGES_MAX);
        self.let_write(at, range.clone())?;
        let tally = self.begin_count(step)?;
        self.engine.log.note(self.number, step);
        let place = (self.regions[at].plot(), tally.page);
        let ((child, mark), sight) = self.watched(place, tally.look(), |owner| {
            (owner.fork_child(at, range), witness.mark())
        });
        if let Some(mut child) = child? {
            // Of one that was not in time nobody knows when it stored.
            let newest = if sight.is_some() { mark } else { u64::MAX };
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
        engine.field.read(self.regions[at].plot(), page, &mut self.data);
        let is = self.data[tally.word];
        if is == sight.last {
            self.data[tally.word] = tally.was;
        } else if (tally.from..sight.last).contains(&is) {
            let what = "stores of another CPU to a page: those that were made, and those that are there";
            let [made, there] = [sight.last, is].map(|n| (n - tally.from) as usize);
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
fn one_store(step: Step) -> Step {
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
    use crate::sys::field::Source;

    #[test]
    fn a_witness_sees_what_is_there_after_the_call_and_counts_without_loss() {
        crate::sys::board::Board::make().unwrap().catch_faults().unwrap();
        let field = Field::reserve(1).unwrap();
        field.map(0, 4, Source::Anon).unwrap();
        let witness = Witness::default();
        std::thread::scope(|scope| {
            let _over = OverOnDrop(&witness);
            scope.spawn(|| witness.work(&field));
            for round in 0..100 {
                field.poke(0, 1, 7, round + 1);
                assert!(witness.ask(0, 1, Look::Load));
                field.ask(0, 1..2, Ask::DontNeed).unwrap();
                let sight = witness.last().unwrap();
                assert_eq!((sight.faulted, sight.data[7]), (false, 0));

                let from = round << 32;
                assert!(witness.ask(0, 2, Look::Count { word: 9, from }));
                assert!(witness.mark() > from);
                let sight = witness.last().unwrap();
                let mut page = [0; PAGE_WORDS];
                field.read(0, 2, &mut page);
                assert!(sight.last > from && page[9] == sight.last);

                assert!(witness.ask(0, 3, Look::Touch));
                field.protect(0, 3..4, Access::Read).unwrap();
                assert!(witness.last().unwrap().faulted);
                field.protect(0, 3..4, Access::ReadWrite).unwrap();
            }
        });
    }

    #[test]
    fn what_only_a_copy_would_change_is_not_stored_to() {
        assert_eq!(Promise::of(Act::ReadOnly, Kind::PrivateFile), None);
        assert_eq!(Promise::of(Act::PageOut, Kind::Shared), None);
        assert_eq!(Promise::of(Act::PageOut, Kind::Small), Some(Promise::Stores));
        assert_eq!(Promise::of(Act::Free, Kind::Small), None);
        assert_eq!(Promise::of(Act::Compact, Kind::PrivateFile), None);
    }
}
