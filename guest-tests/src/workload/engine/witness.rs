//! A witness: a second thread of an owner, on another CPU, that keeps accessing one page by instructions while the owner
//! does something to it.
//!
//! What the kernel promises of a call holds on every CPU when the call returns: what was taken away faults, what was
//! protected can't be written, what was dropped is gone. And what another CPU stores while pages are written out,
//! collapsed or migrated is not lost. A witness changes no content but one word that it counts in; the owner knows
//! that word and writes the page anew afterwards.

use super::region::buffer;
use crate::sys::arena::{Advice, Arena, PageWords};
use crate::sys::field::Field;
use crate::sys::{proc, process};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How long an owner waits for its witness's first access, in nanoseconds.
const WARM_NS_MAX: u64 = 20_000_000;
/// The longest pause between two accesses, in nanoseconds: time for a page to leave entirely.
const PAUSE_NS_MAX: u64 = 600_000;

/// How long it has a CPU for itself, in nanoseconds. An owner that waits longer waits for others, and they need the CPU.
const ALONE_NS_MAX: u64 = 50_000_000;
/// How long it sleeps then, now and again, in milliseconds.
const SLEEP_MS: u32 = 1;
/// Of so many accesses of one that never rests, one is followed by what empties its CPU's batch.
const DRAINS_EVERY: u64 = 16;

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
        /// What the word holds before that is stored.
        was: u64,
    },
    /// It reads a word that the owner stores one number after the other to, and tells of each when it is stored.
    Follow {
        /// The word.
        word: usize,
        /// The number before the first.
        from: u64,
    },
}

/// How a witness goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// Where its pauses begin, which differ from access to access, in nanoseconds; 0 is none. One that never rests
    /// finds a page before it has left, and keeps it.
    pub pause_ns: u64,
    /// It reads before it stores, as it mostly does: the page is brought back by a read, written to without another fault,
    /// and has to hold what was stored last. What one lost that never reads is hidden by its next store.
    pub reads_first: bool,
}

impl Manner {
    /// One of the manners, by a random number. One that follows never rests: its owner waits for it.
    pub fn drawn(look: Look, number: u32) -> Self {
        let pauses = number.is_multiple_of(2) && !matches!(look, Look::Follow { .. });
        Self {
            pause_ns: if pauses {
                u64::from(number >> 8) % PAUSE_NS_MAX
            } else {
                0
            },
            reads_first: !(number >> 1).is_multiple_of(4),
        }
    }

    /// The pause after so many accesses.
    fn pause(self, rounds: u64) -> u64 {
        // The golden ratio's multiples lie evenly.
        (self.pause_ns ^ rounds.wrapping_mul(0x9E37_79B9_7F4A_7C15)) % PAUSE_NS_MAX
    }
}

/// What a witness saw last, after the owner's call had returned.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    /// Whether its first access was in time: before the owner's call.
    pub in_time: bool,
    /// Its last access faulted.
    pub faulted: bool,
    /// What it read, where it reads.
    pub data: Box<PageWords>,
    /// Where it counts or follows: the word did not hold what had been stored last, and it went no further.
    pub is_lost: bool,
    /// The last number that it stored, where it counts; that it was told of, where it follows.
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
        manner: Manner,
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
    /// The number that the owner stored last, where it follows; 0 where the owner is about to change what is there.
    told: AtomicU64,
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
        let scratch = Arena::map(1).ok();
        if proc::cpus() > 1 {
            // It is to be there while the owner's call is under way, and not when others leave it a slice of time; on a
            // host, where a test may not, it is as nice as all.
            let _ = process::precede();
        }
        let mut desk = self.desk();
        loop {
            match *desk {
                Desk::Over => return,
                Desk::Idle | Desk::Done(_) => desk = self.wait(desk),
                Desk::Asked {
                    plot,
                    page,
                    look,
                    manner,
                } => {
                    *desk = Desk::Idle;
                    drop(desk);
                    let sight = self.watch(field, scratch.as_ref(), (plot, page), (look, manner));
                    desk = self.desk();
                    if !matches!(*desk, Desk::Over) {
                        *desk = Desk::Done(sight);
                    }
                    self.bell.notify_all();
                }
            }
        }
    }

    fn watch(
        &self,
        field: &Field,
        scratch: Option<&Arena>,
        (plot, page): (usize, usize),
        (look, manner): (Look, Manner),
    ) -> Sight {
        let mut sight = Sight {
            in_time: true,
            faulted: false,
            data: buffer(),
            is_lost: false,
            last: 0,
        };
        if let Look::Count { from, .. } = look {
            sight.last = from;
            self.latest.store(from, Ordering::Relaxed);
        }
        let alone_until = proc::uptime_ns() + ALONE_NS_MAX;
        for round in 0u64.. {
            // Asked before the access: the last one comes after the owner's call has returned.
            let is_last = self.is_last.load(Ordering::Acquire);
            let done = match look {
                Look::Load => field.try_read(plot, page, &mut sight.data),
                Look::Touch => field.try_touch(plot, page, 0),
                Look::Count { word, from, was } => {
                    let is_there = !manner.reads_first || field.try_read(plot, page, &mut sight.data);
                    let due = if sight.last == from { was } else { sight.last };
                    if manner.reads_first && is_there && sight.data[word] != due {
                        // Nobody else stores here, and its next store would hide what it found.
                        sight.is_lost = true;
                        break;
                    }
                    let done = is_there && field.try_poke(plot, page, word, sight.last + 1);
                    sight.last += u64::from(done);
                    self.latest.store(sight.last, Ordering::Release);
                    done
                }
                Look::Follow { word, from } => {
                    let told = self.told.load(Ordering::Acquire);
                    let done = field.try_read(plot, page, &mut sight.data);
                    // Where another number was told meanwhile, nobody knows when this was read.
                    fence(Ordering::SeqCst);
                    let is_known = done && told > 0 && self.told.load(Ordering::Acquire) == told;
                    // A newer one may be stored and not told yet.
                    if is_known && !(told..=from | u64::from(u32::MAX)).contains(&sight.data[word]) {
                        (sight.is_lost, sight.last) = (true, told);
                        break;
                    }
                    done
                }
            };
            if is_last {
                sight.faulted = !done;
                break;
            }
            self.rounds.fetch_add(u64::from(done), Ordering::Release);
            if manner.pause_ns > 0 || round % DRAINS_EVERY == 0 {
                // Reclaim sees no page that waits in another CPU's batch; advice, of whatever page, empties that of this one.
                let _ = scratch.is_some_and(|scratch| scratch.hint(0..1, Advice::Cold));
            }
            if manner.pause_ns > 0 {
                self.rest(manner.pause(round));
            }
            if (manner.pause_ns > 0 || round % DRAINS_EVERY == 0) && proc::uptime_ns() > alone_until {
                // Where it is not to be had, it goes on.
                let _ = process::pause_ms(SLEEP_MS);
            }
        }
        sight
    }

    /// Waits so long, unless the last access is due.
    fn rest(&self, pause_ns: u64) {
        let until = proc::uptime_ns() + pause_ns;
        while !self.is_last.load(Ordering::Acquire) && proc::uptime_ns() < until {
            std::hint::spin_loop();
        }
    }

    /// Tells one that follows which number was stored; 0 where that may be gone soon.
    pub(super) fn tell(&self, number: u64) {
        self.told.store(number, Ordering::SeqCst);
    }

    /// Returns when one whole access has been made since, or may not come; tells whether.
    pub(super) fn has_looked(&self) -> bool {
        // The access under way may have begun before.
        let due = self.rounds.load(Ordering::Acquire) + 2;
        let until = proc::uptime_ns() + WARM_NS_MAX;
        while self.rounds.load(Ordering::Acquire) < due {
            if proc::uptime_ns() > until {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// Has it watch a page until [`Witness::last`]; tells whether it came to access it in time.
    pub(super) fn ask(&self, (plot, page): (usize, usize), look: Look, manner: Manner) -> bool {
        self.rounds.store(0, Ordering::Relaxed);
        self.tell(0);
        self.is_last.store(false, Ordering::Release);
        *self.desk() = Desk::Asked {
            plot,
            page,
            look,
            manner,
        };
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
    fn manners_differ_and_pauses_are_bounded() {
        let all: Vec<Manner> = (0..4000)
            .map(|n: u32| Manner::drawn(Look::Load, n.wrapping_mul(0x9E37_79B9)))
            .collect();
        let count = |is: fn(&Manner) -> bool| all.iter().filter(|m| is(m)).count();
        assert!((1000..3000).contains(&count(|m| m.pause_ns == 0)));
        let follows = Look::Follow { word: 0, from: 0 };
        assert!((0..99).all(|n| Manner::drawn(follows, n).pause_ns == 0));
        assert!((2000..3900).contains(&count(|m| m.reads_first)));
        let pauses: Vec<u64> = all
            .iter()
            .filter(|m| m.pause_ns > 0)
            .flat_map(|m| (0..9).map(|round| m.pause(round)))
            .collect();
        assert!(pauses.iter().all(|&pause| pause < PAUSE_NS_MAX));
        assert!(pauses.iter().filter(|&&pause| pause > PAUSE_NS_MAX / 2).count() > pauses.len() / 3);
    }

    #[test]
    fn a_witness_sees_what_is_there_after_the_call_and_counts_without_loss() {
        crate::sys::board::Board::make().unwrap().catch_faults().unwrap();
        let field = Field::reserve(1).unwrap();
        field.map(0, 4, Source::Anon).unwrap();
        let witness = Witness::default();
        std::thread::scope(|scope| {
            let _over = OverOnDrop(&witness);
            scope.spawn(|| witness.work(&field));
            // A busy machine may not let it come in time; what it sees last is after the call in any case.
            let mut in_time = 0;
            for round in 0..100 {
                let manner = Manner::drawn(Look::Load, u32::try_from(round).unwrap() * 0x0123_4567);
                field.poke(0, 1, 7, round + 1);
                in_time += u32::from(witness.ask((0, 1), Look::Load, manner));
                field.ask(0, 1..2, Ask::DontNeed).unwrap();
                let sight = witness.last().unwrap();
                assert_eq!((sight.faulted, sight.data[7]), (false, 0));

                let mut page = [0; PAGE_WORDS];
                field.read(0, 2, &mut page);
                let (from, was) = (round << 32, page[9]);
                if witness.ask((0, 2), Look::Count { word: 9, from, was }, manner) {
                    assert!(witness.mark() > from);
                }
                let sight = witness.last().unwrap();
                field.read(0, 2, &mut page);
                assert!(!sight.is_lost && sight.last > from && page[9] == sight.last);

                witness.ask((0, 3), Look::Touch, manner);
                field.protect(0, 3..4, Access::Read).unwrap();
                assert!(witness.last().unwrap().faulted);
                field.protect(0, 3..4, Access::ReadWrite).unwrap();
            }
            assert!(in_time > 0);
        });
    }

    #[test]
    fn a_witness_that_follows_sees_what_is_told_and_tells_of_what_it_does_not_see() {
        crate::sys::board::Board::make().unwrap().catch_faults().unwrap();
        let field = Field::reserve(1).unwrap();
        field.map(0, 4, Source::Anon).unwrap();
        let (witness, from) = (Witness::default(), 3 << 32);
        let look = Look::Follow { word: 7, from };
        std::thread::scope(|scope| {
            let _over = OverOnDrop(&witness);
            scope.spawn(|| witness.work(&field));
            // Told, or not: what is stored and not told yet is no loss.
            for (stored, told, is_lost) in [(1, 1, false), (2, 1, false), (1, 0, false), (1, 2, true)] {
                witness.ask((0, 1), look, Manner::drawn(look, 0));
                field.poke(0, 1, 7, from + stored);
                witness.tell(if told == 0 { 0 } else { from + told });
                let sight = witness.last().unwrap();
                assert_eq!(
                    (sight.faulted, sight.is_lost),
                    (false, is_lost),
                    "{stored} {told}"
                );
                assert_eq!(sight.data[7], from + stored);
            }
            // What is gone after it was told is a loss; told to be gone, it is none.
            for (told, is_lost) in [(0, false), (from + 1, true)] {
                witness.ask((0, 1), look, Manner::drawn(look, 0));
                field.poke(0, 1, 7, from + 1);
                witness.tell(told);
                field.ask(0, 1..2, Ask::DontNeed).unwrap();
                assert_eq!(witness.last().unwrap().is_lost, is_lost);
            }
        });
    }

    #[test]
    fn a_witness_that_reads_first_tells_of_a_store_that_was_lost_between_its_own() {
        crate::sys::board::Board::make().unwrap().catch_faults().unwrap();
        let field = Field::reserve(1).unwrap();
        field.map(0, 4, Source::Anon).unwrap();
        let witness = Witness::default();
        let manner = Manner {
            pause_ns: 0,
            reads_first: true,
        };
        std::thread::scope(|scope| {
            let _over = OverOnDrop(&witness);
            scope.spawn(|| witness.work(&field));
            // A poke may fall between its read and its store.
            let sight = std::iter::repeat_with(|| {
                field.poke(0, 1, 7, 5);
                let look = Look::Count {
                    word: 7,
                    from: 1 << 32,
                    was: 5,
                };
                witness.ask((0, 1), look, manner);
                field.poke(0, 1, 7, 5);
                witness.mark();
                witness.last().unwrap()
            })
            .take(1000)
            .find(|sight| sight.is_lost)
            .unwrap();
            assert!(sight.data[7] == 5 && sight.last > 1 << 32);
        });
    }
}
