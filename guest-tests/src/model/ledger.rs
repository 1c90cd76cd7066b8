//! Who wrote what: the concurrent record of what each page of a private anonymous arena must hold.
//!
//! Every page has one writer at a time. It publishes its intent, changes the page, and publishes the
//! commit; destructive operations (DONTNEED, FREE) are changes too. Readers note the [`Before`] state,
//! copy the page, and [`Ledger::check`] the copy: legal is exactly what was committed before the
//! copying, anything published since, and, line by line, a mixture only while a change was in flight.
//!
//! Not here: the memory itself. Readers hand in private copies, so that what is classified is what
//! was compared; only the owner may compare in place, with [`Stamp::matches`].

use super::fill::FillPolicy;
use super::legal::{Held, Legal, Origin, Verified, judge, judge_fault};
use super::mismatch::{Fault, Mismatch};
use super::stamp::{Page, Stamp};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// One page's record: 24 bytes.
#[derive(Debug)]
struct Slot {
    /// What the last finished change left.
    committed: AtomicU64,
    /// What the change in flight will leave; equals `committed` at rest.
    intended: AtomicU64,
    /// The last generation at which zero was legal; every stamp up to it is gone for good.
    dropped: AtomicU32,
}

/// A page's state at rest, packed into a word so that it is published at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// Number of changes of content so far; the stamp's generation where there is one.
    generation: u32,
    data: bool,
    zero: bool,
}

impl State {
    const fn pack(self) -> u64 {
        (self.generation as u64) << 32 | (self.data as u64) << 1 | self.zero as u64
    }

    const fn unpack(word: u64) -> Self {
        Self {
            generation: (word >> 32) as u32,
            data: word & 2 != 0,
            zero: word & 1 != 0,
        }
    }
}

/// A destructive operation on a private anonymous page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destroy {
    /// `MADV_DONTNEED`: the page reads zero afterwards.
    DontNeed,
    /// `MADV_FREE`: the page keeps its content until the kernel takes it, then reads zero, until the next write.
    Free,
}

/// What a reader notes before it copies a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Before(u64);

/// What was published when a copy was complete, for a copy that is judged later than it was made (what a
/// forked child inherited). Newer content in it than this is not legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct After {
    intended: u64,
    dropped: u32,
}

impl Before {
    /// Number of changes that were committed by then.
    pub(super) const fn generation(self) -> u32 {
        State::unpack(self.0).generation
    }
}

/// The record of an arena's pages.
#[derive(Debug)]
pub struct Ledger {
    origin: Origin,
    first_page: u32,
    slots: Box<[Slot]>,
}

/// A published change of one page. Finish it with [`WriteIntent::commit`] once the page has changed;
/// dropping it leaves the change in flight for ever, which is right for one that failed half-way.
#[derive(Debug)]
#[must_use = "a write that is not committed stays in flight"]
pub struct WriteIntent<'a> {
    slot: &'a Slot,
    word: u64,
    /// What to write.
    pub stamp: Stamp,
}

/// A published destructive operation of one page; see [`WriteIntent`].
#[derive(Debug)]
#[must_use = "an operation that is not committed stays in flight"]
pub struct DestroyIntent<'a> {
    slot: &'a Slot,
    word: u64,
}

impl WriteIntent<'_> {
    /// Publishes that the page holds the stamp, in full.
    pub fn commit(self) {
        commit(self.slot, self.word);
    }
}

impl DestroyIntent<'_> {
    /// Publishes that the operation has returned.
    pub fn commit(self) {
        commit(self.slot, self.word);
    }
}

fn commit(slot: &Slot, word: u64) {
    assert_eq!(
        slot.intended.load(Ordering::Relaxed),
        word,
        "a page of the ledger has two writers"
    );
    slot.committed.store(word, Ordering::Release);
}

impl Ledger {
    /// Records `pages` pages from `first_page` on that were never written, and so read zero.
    #[must_use]
    pub fn new(run: u32, first_page: u32, pages: u32, policy: FillPolicy, seed: u64) -> Self {
        let fresh = State {
            generation: 0,
            data: false,
            zero: true,
        }
        .pack();
        let slot = || Slot {
            committed: AtomicU64::new(fresh),
            intended: AtomicU64::new(fresh),
            dropped: AtomicU32::new(0),
        };
        let slots = std::iter::repeat_with(slot).take(pages as usize).collect();
        Self {
            origin: Origin { run, seed, policy },
            first_page,
            slots,
        }
    }

    /// Returns where this ledger's stamps come from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the numbers of the pages recorded.
    #[must_use]
    pub fn pages(&self) -> std::ops::Range<u32> {
        self.first_page..self.first_page + self.slots.len() as u32
    }

    fn slot(&self, page: u32) -> &Slot {
        &self.slots[(page - self.first_page) as usize]
    }

    /// Publishes that the page will hold its next generation. Only the page's writer may call it.
    pub fn begin(&self, page: u32) -> WriteIntent<'_> {
        let slot = self.slot(page);
        let generation = State::unpack(slot.intended.load(Ordering::Relaxed)).generation + 1;
        let word = State {
            generation,
            data: true,
            zero: false,
        }
        .pack();
        publish(slot, word);
        WriteIntent {
            slot,
            word,
            stamp: self.origin.stamp(page, generation),
        }
    }

    /// Publishes that the page's content will be dropped. Only the page's writer may call it.
    pub fn begin_destroy(&self, page: u32, how: Destroy) -> DestroyIntent<'_> {
        let slot = self.slot(page);
        let now = State::unpack(slot.intended.load(Ordering::Relaxed));
        let next = match how {
            Destroy::DontNeed => State {
                generation: now.generation + 1,
                data: false,
                zero: true,
            },
            Destroy::Free => State { zero: true, ..now },
        };
        slot.dropped.store(next.generation, Ordering::Relaxed);
        publish(slot, next.pack());
        DestroyIntent {
            slot,
            word: next.pack(),
        }
    }

    /// Returns the page's number of changes, as last published.
    #[must_use]
    pub fn generation(&self, page: u32) -> u32 {
        State::unpack(self.slot(page).intended.load(Ordering::Relaxed)).generation
    }

    /// Notes what was committed, before a copy is made by someone who need not be the writer.
    #[inline]
    pub fn window_before(&self, page: u32) -> Before {
        Before(self.slot(page).committed.load(Ordering::Acquire))
    }

    /// Judges a copy made after `before` was noted.
    ///
    /// # Errors
    /// The classified mismatch where the copy is not legal.
    pub fn check(&self, page: u32, before: Before, data: &Page) -> Result<Verified, Box<Mismatch>> {
        judge(&self.origin, page, &self.legal_since(page, before), data)
    }

    /// Notes what is published now that a copy is complete.
    pub fn window_after(&self, page: u32) -> After {
        fence(Ordering::Acquire);
        let slot = self.slot(page);
        After {
            intended: slot.intended.load(Ordering::Relaxed),
            dropped: slot.dropped.load(Ordering::Relaxed),
        }
    }

    /// Judges a copy made between the noting of `before` and of `after`.
    ///
    /// # Errors
    /// The classified mismatch where the copy is not legal.
    pub fn check_between(
        &self,
        page: u32,
        before: Before,
        after: After,
        data: &Page,
    ) -> Result<Verified, Box<Mismatch>> {
        judge(&self.origin, page, &legal_between(before, after), data)
    }

    /// Judges a fault that came instead of a copy.
    ///
    /// # Errors
    /// Always a mismatch for memory that must be there.
    pub fn check_fault(&self, page: u32, before: Before, fault: Fault) -> Result<Verified, Box<Mismatch>> {
        judge_fault(&self.origin, page, &self.legal_since(page, before), fault)
    }

    /// Judges a copy made by the page's writer while it changes nothing: the cheapest check. Zero,
    /// once read from a freed page, stays; the ledger notes that.
    ///
    /// # Errors
    /// The classified mismatch where the copy is not legal.
    #[inline]
    pub fn check_owner(&self, page: u32, data: &Page) -> Result<Verified, Box<Mismatch>> {
        let slot = self.slot(page);
        let word = slot.committed.load(Ordering::Relaxed);
        let state = State::unpack(word);
        if state.data && self.origin.stamp(page, state.generation).matches(data) {
            return Ok(Verified::Whole(Held::Generation(state.generation)));
        }
        let verified = self.check(page, Before(word), data)?;
        if state.data && state.zero && word == slot.intended.load(Ordering::Relaxed) {
            let taken = State { data: false, ..state }.pack();
            slot.intended.store(taken, Ordering::Relaxed);
            slot.committed.store(taken, Ordering::Release);
        }
        Ok(verified)
    }

    /// What a copy may show that was made between the noting of `before` and now.
    pub(super) fn legal_since(&self, page: u32, before: Before) -> Legal {
        legal_between(before, self.window_after(page))
    }
}

fn legal_between(before: Before, after: After) -> Legal {
    let (was, now) = (State::unpack(before.0), State::unpack(after.intended));
    let changing = before.0 != after.intended;
    let dropped = after.dropped;
    Legal {
        from: was.generation + u32::from(!was.data),
        to: now.generation,
        data: was.data || now.data || now.generation > was.generation + 1,
        zero: was.zero || now.zero || (changing && dropped >= was.generation && dropped > 0),
        fault: false,
        mixed: changing || (was.data && was.zero),
        dropped,
    }
}

/// Publishes an intent before any of its change can be seen.
fn publish(slot: &Slot, word: u64) {
    slot.intended.store(word, Ordering::Relaxed);
    fence(Ordering::Release);
}
