//! A witness: a second thread of an owner, on another CPU, that keeps accessing one page by instructions while the owner
//! does something to it.
//!
//! What the kernel promises of a call holds on every CPU when the call returns: what was taken away faults, what was
//! protected can't be written, what was dropped is gone. And what another CPU stores while pages are written out,
//! collapsed or migrated is not lost. A witness changes no content but one word that it counts in; the owner knows
//! that word and writes the page anew afterwards.

use super::region::buffer;
use crate::sys::arena::PageWords;
use crate::sys::field::Field;
use crate::sys::proc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How long an owner waits for its witness's first access, in nanoseconds.
const WARM_NS_MAX: u64 = 20_000_000;
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
    pub(super) fn ask(&self, plot: usize, page: usize, look: Look) -> bool {
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
    pub(super) fn mark(&self) -> u64 {
        // One may be stored and not told yet.
        let mark = self.latest.load(Ordering::Acquire) + 1;
        let until = proc::uptime_ns() + WARM_NS_MAX;
        while self.latest.load(Ordering::Acquire) <= mark && proc::uptime_ns() < until {
            std::thread::yield_now();
        }
        mark
    }

    /// Has it look once more, and gives what it saw.
    pub(super) fn last(&self) -> Option<Sight> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::arena::PAGE_WORDS;
    use crate::sys::field::{Access, Ask, Source};

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
}
