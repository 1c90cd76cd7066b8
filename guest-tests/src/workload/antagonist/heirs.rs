//! Forked children that verify what they inherited.
//!
//! A child copies some pages as it sees them to memory that it shares with its parent, and ends; the
//! parent judges the copies. Legal is what was in flight while the process was forked: from what was
//! committed before to what was published when `fork` returned. A newer generation means that the
//! parent's later store reached the child.

use crate::model::{After, Before, Fault, Ledger, Mismatch, Verified};
use crate::protocol::Seen;
use crate::sys::arena::{Advice, Arena, PAGE_WORDS};
use crate::sys::board::FAULT_EXIT;
use crate::sys::fork::{self, Ended};
use crate::workload::{CaseError, Env, STEP_PATIENCE_S};
use rand_core::Rng;
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Pages that one child verifies.
const PAGES_MAX: usize = 24;
/// How often a child that verifies is asked for, in milliseconds.
const ASK_MS: u32 = 500;

/// What forked children can verify.
pub trait Heirs: Sync {
    /// Forks one child, has it verify what it inherited, and tells what was wrong.
    ///
    /// # Errors
    /// When a call failed that must not, or the supervisor has gone.
    fn fork_and_check(&self, env: &Env<'_>, rng: &mut Pcg64Mcg) -> Result<(), CaseError>;
}

/// Children that verify pages of an arena by a ledger.
pub struct LedgerHeirs<'a> {
    arena: &'a Arena,
    ledger: &'a Ledger,
    /// Number of the arena's first page in the ledger.
    first: u32,
    verified: &'a AtomicU64,
    /// Where children leave their copies, and in the page after them how far they came.
    copies: Mutex<Arena>,
}

impl<'a> LedgerHeirs<'a> {
    /// Prepares the memory that children share with their parent. `verified` counts pages.
    ///
    /// # Errors
    /// Those of `mmap`.
    pub fn new(
        arena: &'a Arena,
        ledger: &'a Ledger,
        first: u32,
        verified: &'a AtomicU64,
    ) -> Result<Self, CaseError> {
        let copies = Arena::shared(PAGES_MAX + 1)?;
        // Faulted in here: a child must not need memory for it.
        for page in 0..=PAGES_MAX {
            copies.poke(page, 0, 0);
        }
        Ok(Self {
            arena,
            ledger,
            first,
            verified,
            copies: Mutex::new(copies),
        })
    }

    fn number(&self, page: usize) -> u32 {
        self.first + page as u32
    }

    /// Forks, and waits for the child's end.
    fn bequeath(
        &self,
        env: &Env<'_>,
        copies: &Arena,
        pages: std::ops::Range<usize>,
    ) -> Result<Option<(Vec<After>, Ended)>, CaseError> {
        let arena = self.arena;
        let range = pages.clone();
        copies.poke(PAGES_MAX, 0, 0);
        let forked = fork::child(|| {
            let mut data = [0; PAGE_WORDS];
            for (at, page) in range.enumerate() {
                arena.read(page, &mut data);
                copies.write(at, &data);
                copies.poke(PAGES_MAX, 0, at as u64 + 1);
            }
            0
        });
        let after = pages
            .map(|page| self.ledger.window_after(self.number(page)))
            .collect();
        let mut child = match forked {
            Ok(child) => child,
            Err(e) if matches!(e.errno(), Some(libc::ENOMEM | libc::EAGAIN)) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        for _ in 0..STEP_PATIENCE_S * 1000 / ASK_MS {
            if let Some(ended) = child.ended(ASK_MS)? {
                return Ok(Some((after, ended)));
            }
        }
        let what = Seen::Hang {
            worker: "a forked child".to_owned(),
            stack: "see the kernel's log".to_owned(),
        };
        let title = format!("a forked child did not end within {STEP_PATIENCE_S} s");
        env.find(what, title, BTreeMap::new())?;
        Err(CaseError::Broken("a forked child hangs".to_owned()))
    }

    fn judge(
        &self,
        pages: std::ops::Range<usize>,
        before: &[Before],
        after: &[After],
        ended: Ended,
        copies: &Arena,
    ) -> Vec<Mismatch> {
        let read = usize::try_from(copies.peek(PAGES_MAX, 0)).unwrap_or(0);
        let mut wrong = Vec::new();
        let mut data = Box::new([0; PAGE_WORDS]);
        for (at, page) in pages.clone().enumerate().take(read) {
            copies.read(at, &mut data);
            match self
                .ledger
                .check_between(self.number(page), before[at], after[at], &data)
            {
                Ok(Verified::Undecided) => {}
                Ok(Verified::Whole(_) | Verified::Mixed(_) | Verified::Faulted) => {
                    self.verified.fetch_add(1, Ordering::Relaxed);
                }
                Err(mismatch) => wrong.push(*mismatch),
            }
        }
        if ended == Ended::Status(FAULT_EXIT as u8)
            && let Some(page) = pages.clone().nth(read)
            && let Err(mismatch) = self
                .ledger
                .check_fault(self.number(page), before[read], Fault::Sigbus)
        {
            wrong.push(*mismatch);
        }
        wrong
    }
}

impl Heirs for LedgerHeirs<'_> {
    fn fork_and_check(&self, env: &Env<'_>, rng: &mut Pcg64Mcg) -> Result<(), CaseError> {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let start = rng.next_u64() as usize % self.arena.pages();
        let pages = start..self.arena.pages().min(start + PAGES_MAX);
        let before: Vec<Before> = pages
            .clone()
            .map(|page| self.ledger.window_before(self.number(page)))
            .collect();
        let Some((after, ended)) = self.bequeath(env, &copies, pages.clone())? else {
            return Ok(());
        };
        for mismatch in self.judge(pages.clone(), &before, &after, ended, &copies) {
            let title = format!("in a forked child: {}", mismatch.title());
            let context = [("child ended".to_owned(), format!("{ended:?}"))]
                .into_iter()
                .collect();
            env.find(Seen::Mismatch(mismatch), title, context)?;
        }
        // Some are left in memory by the child's reading.
        if rng.next_u32().is_multiple_of(2) {
            self.arena.advise(pages, Advice::PageOut)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FillPolicy;

    fn written(arena: &Arena, ledger: &Ledger, page: usize) {
        let intent = ledger.begin(page as u32);
        let mut data = Box::new([0; PAGE_WORDS]);
        intent.stamp.write(&mut data);
        arena.write(page, &data);
        intent.commit();
    }

    /// A child inherits the arena after `spoil`; returns what it found wrong.
    fn inherited(spoil: impl FnOnce(&Arena, &Ledger)) -> (Vec<Mismatch>, u64) {
        let (arena, ledger) = (Arena::map(8).unwrap(), Ledger::new(1, 0, 8, FillPolicy::Mixed, 7));
        (0..8).for_each(|page| written(&arena, &ledger, page));
        let verified = AtomicU64::new(0);
        let heirs = LedgerHeirs::new(&arena, &ledger, 0, &verified).unwrap();
        let before: Vec<Before> = (0..8).map(|page| ledger.window_before(page)).collect();
        spoil(&arena, &ledger);
        let copies = heirs.copies.lock().unwrap();
        let mut child = fork::child(|| {
            let mut data = [0; PAGE_WORDS];
            for page in 0..8 {
                arena.read(page, &mut data);
                copies.write(page, &data);
            }
            copies.poke(PAGES_MAX, 0, 8);
            0
        })
        .unwrap();
        let after: Vec<After> = (0..8).map(|page| ledger.window_after(page)).collect();
        // The parent writes on; none of it may reach the child.
        written(&arena, &ledger, 3);
        let ended = child.ended(60_000).unwrap().unwrap();
        let wrong = heirs.judge(0..8, &before, &after, ended, &copies);
        (wrong, verified.load(Ordering::Relaxed))
    }

    #[test]
    fn what_was_inherited_is_right() {
        assert_eq!(inherited(|_, _| {}), (Vec::new(), 8));
    }

    #[test]
    fn a_page_that_the_child_sees_otherwise_is_found() {
        let (wrong, verified) = inherited(|arena, _| arena.poke(5, 9, 0xdead));
        assert_eq!((wrong.len(), wrong[0].page, verified), (1, 5, 7));
    }
}
