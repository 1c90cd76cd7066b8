//! What helps to understand a mismatch: the last operations, and who had a swap slot before.

use crate::sys::pagemap::Slot;
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};

/// One operation on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The owner verified it.
    Verify,
    /// The owner rewrote it with a new generation.
    Rewrite,
    /// The owner asked for it to be paged out.
    PageOut,
    /// Another thread verified it.
    Peek,
    /// The owner dropped it (DONTNEED).
    Drop,
    /// The owner let the kernel take it (FREE).
    Free,
    /// The owner punched it out of its file.
    Punch,
    /// Its file was truncated before it, and extended again.
    Truncate,
    /// The owner asked for its huge page.
    Collapse,
    /// It was moved to another address.
    Move,
    /// It was moved here by `UFFDIO_MOVE`.
    MovedHere,
    /// It was moved away by `UFFDIO_MOVE`.
    MovedAway,
    /// It was filled by `UFFDIO_COPY` or `UFFDIO_ZEROPAGE`.
    Fill,
    /// Its write-protection was changed.
    Protect,
    /// It was poisoned.
    Poison,
    /// It was moved, or not, while another thread meddled with it.
    Duel,
}

impl Op {
    fn words(self) -> &'static str {
        match self {
            Self::Verify => "verified",
            Self::Rewrite => "rewritten",
            Self::PageOut => "paged out",
            Self::Peek => "read by another",
            Self::Drop => "dropped",
            Self::Free => "lazily freed",
            Self::Punch => "punched out",
            Self::Truncate => "truncated away and back",
            Self::Collapse => "collapsed",
            Self::Move => "moved",
            Self::MovedHere => "moved here",
            Self::MovedAway => "moved away",
            Self::Fill => "filled",
            Self::Protect => "protected or unprotected",
            Self::Poison => "poisoned",
            Self::Duel => "fought over in a duel",
        }
    }
}

/// One line of a thread's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Number of the operation within its thread.
    pub step: u64,
    /// What was done.
    pub op: Op,
    /// The page.
    pub page: u32,
    /// Its generation after the operation.
    pub generation: u32,
    /// The swap slot that it came from or was in, where known.
    pub slot: Option<Slot>,
}

/// How many operations a thread remembers.
pub const HISTORY_LEN: usize = 256;
/// How many operations a finding tells.
const TOLD_MAX: usize = 12;

/// The last operations of one thread.
#[derive(Debug)]
pub struct History {
    events: Vec<Event>,
    steps: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            events: Vec::with_capacity(HISTORY_LEN),
            steps: 0,
        }
    }
}

impl History {
    /// Remembers one operation.
    pub fn note(&mut self, op: Op, page: u32, generation: u32, slot: Option<Slot>) {
        let event = Event {
            step: self.steps,
            op,
            page,
            generation,
            slot,
        };
        match self.events.get_mut(self.steps as usize % HISTORY_LEN) {
            Some(old) => *old = event,
            None => self.events.push(event),
        }
        self.steps += 1;
    }

    /// Tells the last operations that `choose` picks, oldest first, a line each.
    #[must_use]
    pub fn tell(&self, choose: impl Fn(&Event) -> bool) -> String {
        let mut events: Vec<_> = self.events.iter().filter(|e| choose(e)).collect();
        events.sort_by_key(|e| e.step);
        let mut text = String::new();
        for e in &events[events.len().saturating_sub(TOLD_MAX)..] {
            let slot = e.slot.map(|slot| format!(" (slot {slot})")).unwrap_or_default();
            let ago = self.steps - e.step;
            let _ = writeln!(
                text,
                "{ago} ago: page {} {}, generation {}{slot}",
                e.page,
                e.op.words(),
                e.generation
            );
        }
        text
    }
}

/// Which pages were last seen in each slot of a swap area; shared by all threads.
#[derive(Debug)]
pub struct Slots {
    /// Per slot: the page last seen there and the one before, plus one each; 0 for none.
    seen: Vec<[AtomicU32; 2]>,
}

impl Slots {
    /// Makes a record for so many slots.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            seen: std::iter::repeat_with(Default::default).take(slots).collect(),
        }
    }

    /// Notes that `page` was seen in a slot. Threads may overtake each other: this is a hint for people.
    pub fn note(&self, slot: Slot, page: u32) {
        let Some([last, before]) = self.seen.get(usize::try_from(slot.offset).unwrap_or(usize::MAX)) else {
            return;
        };
        let previous = last.swap(page + 1, Ordering::Relaxed);
        if previous != page + 1 {
            before.store(previous, Ordering::Relaxed);
        }
    }

    /// The page that was seen in a slot before `page` was.
    #[must_use]
    pub fn before(&self, slot: Slot, page: u32) -> Option<u32> {
        let [last, before] = self.seen.get(usize::try_from(slot.offset).ok()?)?;
        let of = |cell: &AtomicU32| cell.load(Ordering::Relaxed).checked_sub(1);
        of(last)
            .filter(|&p| p != page)
            .or_else(|| of(before))
            .filter(|&p| p != page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Slot = Slot { area: 0, offset: 3 };

    #[test]
    fn a_history_keeps_the_last_operations_in_order() {
        let mut history = History::default();
        for generation in 0..HISTORY_LEN as u32 + 5 {
            history.note(Op::Rewrite, generation % 2, generation, None);
        }
        history.note(Op::Verify, 1, 260, Some(SLOT));
        let told = history.tell(|e| e.page == 1);
        assert_eq!(told.lines().count(), TOLD_MAX);
        assert_eq!(
            told.lines().last(),
            Some("1 ago: page 1 verified, generation 260 (slot 0:3)")
        );
        assert_eq!(
            told.lines().rev().nth(1),
            Some("3 ago: page 1 rewritten, generation 259")
        );
    }

    #[test]
    fn a_slot_remembers_who_had_it_before() {
        let slots = Slots::new(4);
        slots.note(SLOT, 7);
        assert_eq!(slots.before(SLOT, 7), None);
        slots.note(SLOT, 9);
        slots.note(SLOT, 9);
        assert_eq!(slots.before(SLOT, 9), Some(7));
        assert_eq!(slots.before(SLOT, 5), Some(9));
        slots.note(Slot { area: 0, offset: 99 }, 1);
        assert_eq!(slots.before(Slot { area: 0, offset: 99 }, 2), None);
    }
}
