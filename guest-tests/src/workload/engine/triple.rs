//! Composition on purpose: a page in a certain state, an operation, and a pressure, verified after each.
//!
//! A triple counts as covered only where the state was seen to be there, the operation succeeded, and
//! the pressure had its effect on the very pages: they went to swap, got other frames, or came back.

use super::owner::{Owner, Stopped};
use super::region::Kind;
use super::step::{Act, Step};
use super::telling::is_refusal;
use crate::sys::pagemap::Entry;
use crate::sys::soft_dirty;
use crate::workload::CaseError;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Pages of one triple.
const PAGES: usize = 8;
/// Triples of other pressures between two that switch swap off, which costs much more.
const BETWEEN_SWAPOFFS: usize = 4;

/// What a page is like when the operation comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Read back from swap and not written since.
    Clean,
    /// Written.
    Dirty,
    /// Read back from swap and written again: where it was mapped writable, its page table entry alone knows.
    Redirtied,
    /// Lazily freed.
    LazyFree,
    /// Mapped here and nowhere else.
    Exclusive,
    /// Shared with a forked child.
    Shared,
    /// Written since the soft-dirty bits were cleared.
    SoftDirty,
    /// Populated and never written since: a page of zeros.
    Zero,
    /// Write-protected by userfaultfd, until the operation writes or moves it.
    WriteProtected,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Read only and writable again.
    Mprotect,
    /// To another place.
    Mremap,
    /// Soft-dirty bits are cleared.
    ClearRefs,
    /// A part of it is taken out of its folio or its table.
    Split,
    /// Its table is collapsed.
    Collapse,
    /// A child inherits it, writes, and ends.
    ForkExit,
    /// It is lazily freed and written again.
    FreeThenWrite,
    /// UFFDIO_MOVE, there and back; to be refused where a child shares it.
    Move,
}

/// What presses on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Press {
    /// It is reclaimed.
    Reclaim,
    /// It is migrated.
    Migration,
    /// Swap is switched off.
    Swapoff,
}

const STATES: [State; 9] = [
    State::Clean,
    State::Dirty,
    State::Redirtied,
    State::LazyFree,
    State::Exclusive,
    State::Shared,
    State::SoftDirty,
    State::Zero,
    State::WriteProtected,
];
const OPERATIONS: [Operation; 8] = [
    Operation::Mprotect,
    Operation::Mremap,
    Operation::ClearRefs,
    Operation::Split,
    Operation::Collapse,
    Operation::ForkExit,
    Operation::FreeThenWrite,
    Operation::Move,
];

/// A composition.
pub type Triple = (State, Operation, Press);

/// All of them.
#[must_use]
pub fn all() -> Vec<Triple> {
    let mut all = Vec::new();
    for state in STATES {
        for operation in OPERATIONS {
            for press in [Press::Reclaim, Press::Migration, Press::Swapoff] {
                all.push((state, operation, press));
            }
        }
    }
    all
}

/// How often each triple was met.
#[derive(Debug, Default)]
pub struct Coverage(Mutex<BTreeMap<Triple, u64>>);

impl Coverage {
    fn note(&self, triple: Triple) {
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *met.entry(triple).or_default() += 1;
    }

    /// Different triples met.
    #[must_use]
    pub fn covered(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// How often each was met, by its words; those that were not are there with 0.
    #[must_use]
    pub fn map(&self) -> BTreeMap<String, u64> {
        let met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let words = |(state, operation, press): Triple| format!("{state:?} × {operation:?} × {press:?}");
        all()
            .into_iter()
            .map(|t| (words(t), met.get(&t).copied().unwrap_or(0)))
            .collect()
    }
}

/// The triples to come: all in the order that the seed draws, then all again in another one.
#[derive(Debug)]
pub struct Queue {
    rng: Pcg64Mcg,
    coming: VecDeque<Triple>,
}

impl Queue {
    /// An order of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Pcg64Mcg::seed_from_u64(seed ^ 0x7219_1e00),
            coming: VecDeque::new(),
        }
    }

    /// The next one.
    pub fn next_triple(&mut self) -> Triple {
        if self.coming.is_empty() {
            self.refill();
        }
        self.coming
            .pop_front()
            .unwrap_or((State::Dirty, Operation::ForkExit, Press::Reclaim))
    }

    fn refill(&mut self) {
        let mut all = all();
        for at in (1..all.len()).rev() {
            all.swap(at, self.rng.next_u64() as usize % (at + 1));
        }
        let (mut dear, mut cheap): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|t| t.2 == Press::Swapoff);
        while !cheap.is_empty() || !dear.is_empty() {
            let n = BETWEEN_SWAPOFFS.min(cheap.len());
            self.coming.extend(cheap.drain(..n));
            self.coming.extend(dear.pop_front());
        }
    }
}

/// What an owner has under way.
struct Scene {
    at: usize,
    range: Range<usize>,
    /// Pages that UFFDIO_MOVE moved.
    moved: usize,
}

impl Scene {
    /// The pages that the operation does not drop.
    fn kept(&self, operation: Operation) -> Range<usize> {
        match operation {
            Operation::Split => self.range.start..self.range.end - 1,
            _ => self.range.clone(),
        }
    }

    fn step(&self, act: Act) -> Step {
        Step {
            region: self.at as u8,
            page: self.range.start as u16,
            pages: self.range.len() as u16,
            act,
        }
    }
}

impl Owner<'_> {
    /// Composes the next triple.
    ///
    /// # Errors
    /// A mismatch, and calls that failed that must not.
    pub fn next_triple(&mut self) -> Result<(), Stopped> {
        let triple = {
            let mut coming = self.engine.triples.lock().unwrap_or_else(PoisonError::into_inner);
            coming.next_triple()
        };
        let mut scene = self.scene(triple.1);
        let (at, range) = (scene.at, scene.range.clone());
        for act in [Act::Unprotect, Act::Store] {
            self.carry_out(scene.step(act))?;
        }
        let child = if triple.0 == State::Shared {
            self.fork_child(at, range.clone())?
        } else {
            None
        };
        let is_there = self.establish(triple.0, &scene, child.is_some())?;
        // Pages that say so from here on must say so as long as nobody clears the bits.
        let since = soft_dirty::Since::now();
        let is_soft_dirty =
            triple.0 == State::SoftDirty && self.looks(&scene)?.iter().all(|entry| entry.soft_dirty());
        let presses_first = self.rng.next_u32().is_multiple_of(2);
        let mut pressed = false;
        if presses_first {
            pressed = self.press(triple.2, &scene)?;
        }
        let done = self.operate(triple.1, &mut scene, child.is_some())?;
        if !presses_first {
            pressed = self.press(triple.2, &scene)?;
        }
        if let Some(child) = child {
            let seen = self.end_child(at, child)?;
            if scene.moved > 0 && seen == range.len() {
                self.moved_though_shared(at, range.start, scene.moved)?;
            }
        }
        self.unguard()?;
        if is_soft_dirty && triple.1 != Operation::ClearRefs {
            self.check_soft_dirty(at, scene.kept(triple.1), since)?;
        }
        self.verify(at, range)?;
        // And once more round: what the composition left behind (a slot, a bit) shows when it is used.
        for act in [Act::Store, Act::PageOut, Act::Verify] {
            self.carry_out(scene.step(act))?;
        }
        if is_there && done && pressed {
            self.engine.coverage.note(triple);
        }
        Ok(())
    }

    /// Chooses pages: splits and collapses need memory that may have huge pages.
    fn scene(&mut self, operation: Operation) -> Scene {
        let is_large = matches!(operation, Operation::Split | Operation::Collapse);
        let wanted = |kind: Kind| kind == Kind::Large || (kind == Kind::Small && !is_large);
        let fit: Vec<usize> = (0..self.regions.len())
            .filter(|&at| wanted(self.regions[at].kind))
            .filter(|&at| operation != Operation::Collapse || self.regions[at].pages() == 512)
            .collect();
        let at = fit[self.rng.next_u64() as usize % fit.len()];
        let start = self.rng.next_u64() as usize % (self.regions[at].pages() - PAGES);
        Scene {
            at,
            range: start..start + PAGES,
            moved: 0,
        }
    }

    fn looks(&self, scene: &Scene) -> Result<Vec<Entry>, Stopped> {
        let mut entries = vec![Entry::default(); scene.range.len()];
        self.regions[scene.at].entries(
            &self.engine.field,
            &self.pagemap,
            scene.range.clone(),
            &mut entries,
        )?;
        Ok(entries)
    }

    /// Brings the pages into a state; tells whether it was seen to be there.
    fn establish(&mut self, state: State, scene: &Scene, is_shared: bool) -> Result<bool, Stopped> {
        match state {
            State::Clean => {
                self.carry_out(scene.step(Act::PageOut))?;
                let swapped = self.looks(scene)?.iter().any(|e| e.swapped());
                self.carry_out(scene.step(Act::Verify))?;
                Ok(swapped)
            }
            State::Dirty => Ok(true),
            State::Redirtied => {
                let swapped = self.establish(State::Clean, scene, is_shared)?;
                self.carry_out(scene.step(Act::Store))?;
                Ok(swapped)
            }
            State::LazyFree => {
                self.carry_out(scene.step(Act::Free))?;
                Ok(true)
            }
            State::Exclusive => Ok(self.looks(scene)?.iter().any(|e| e.present() && e.exclusive())),
            State::Shared => {
                Ok(is_shared && self.looks(scene)?.iter().any(|e| e.present() && !e.exclusive()))
            }
            State::SoftDirty => {
                self.carry_out(scene.step(Act::ClearRefs))?;
                self.carry_out(scene.step(Act::SoftDirty))?;
                Ok(self.looks(scene)?.iter().any(|e| e.soft_dirty()))
            }
            State::Zero => {
                self.carry_out(scene.step(Act::DontNeed))?;
                self.carry_out(scene.step(Act::PopulateWrite))?;
                Ok(self.looks(scene)?.iter().any(|e| e.present() && e.exclusive()))
            }
            State::WriteProtected => self.guard(scene.at, scene.range.clone()),
        }
    }

    /// Presses on the pages; tells whether it had an effect on one of them.
    fn press(&mut self, press: Press, scene: &Scene) -> Result<bool, Stopped> {
        let before = self.looks(scene)?;
        match press {
            Press::Reclaim => {
                self.carry_out(scene.step(Act::PageOut))?;
                self.carry_out(scene.step(Act::Reclaim))?;
                Ok(self
                    .looks(scene)?
                    .iter()
                    .any(|e| e.swapped() || *e == Entry::default()))
            }
            Press::Migration => {
                self.carry_out(scene.step(Act::Compact))?;
                let moved = |(was, is): (&Entry, &Entry)| {
                    was.frame().is_some() && is.frame().is_some() && was.frame() != is.frame()
                };
                Ok(before.iter().zip(&self.looks(scene)?).any(moved))
            }
            Press::Swapoff => {
                self.carry_out(scene.step(Act::PageOut))?;
                let away = self.looks(scene)?.iter().any(|e| e.swapped());
                self.engine.log.note(self.number, scene.step(Act::SwapCycle));
                let cycled = self.swap_cycle()?;
                Ok(away && cycled)
            }
        }
    }

    /// Does the operation; tells whether it succeeded.
    fn operate(&mut self, operation: Operation, scene: &mut Scene, is_shared: bool) -> Result<bool, Stopped> {
        let half = Scene {
            at: scene.at,
            range: scene.range.start..scene.range.start + PAGES / 2,
            moved: 0,
        };
        match operation {
            Operation::Mprotect => {
                self.carry_out(scene.step(Act::ReadOnly))?;
                self.carry_out(half.step(Act::Unprotect))?;
                Ok(true)
            }
            Operation::Mremap => {
                let plot = self.regions[scene.at].plot();
                let leaves = self.rng.next_u32().is_multiple_of(2);
                let act = if leaves { Act::RemapLeaving } else { Act::Remap };
                self.carry_out(scene.step(act))?;
                Ok(self.regions[scene.at].plot() != plot)
            }
            Operation::ClearRefs => {
                self.carry_out(scene.step(Act::ClearRefs))?;
                Ok(true)
            }
            Operation::Split => {
                let one = Scene {
                    at: scene.at,
                    range: scene.range.end - 1..scene.range.end,
                    moved: 0,
                };
                let act = if self.rng.next_u32().is_multiple_of(2) {
                    Act::DontNeed
                } else {
                    Act::ReadOnly
                };
                self.carry_out(one.step(act))?;
                Ok(true)
            }
            Operation::Collapse => {
                let before = self.engine.log.steps();
                self.carry_out(scene.step(Act::Collapse))?;
                Ok(self.engine.log.succeeded(self.number, before))
            }
            Operation::ForkExit => {
                self.carry_out(scene.step(Act::Fork))?;
                Ok(true)
            }
            Operation::FreeThenWrite => {
                self.carry_out(scene.step(Act::Free))?;
                self.carry_out(half.step(Act::Store))?;
                self.carry_out(scene.step(Act::Touch))?;
                Ok(true)
            }
            Operation::Move => {
                self.engine.log.note(self.number, scene.step(Act::Move));
                match self.move_there_and_back(scene.at, scene.range.clone()) {
                    Ok(moved) => {
                        scene.moved = moved;
                        // Refused, as it must be.
                        Ok(moved > 0 || is_shared)
                    }
                    Err(Stopped::Case(CaseError::Sys(e))) if is_refusal(Act::Move, &e) => Ok(false),
                    Err(e) => Err(e),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_queue_meets_every_triple_once_a_round_in_an_order_of_its_own() {
        let round = |seed| {
            let mut queue = Queue::new(seed);
            (0..all().len()).map(|_| queue.next_triple()).collect::<Vec<_>>()
        };
        assert_eq!(round(1).into_iter().collect::<BTreeSet<_>>().len(), all().len());
        assert_eq!(all().len(), 9 * 8 * 3);
        assert_eq!(round(1), round(1));
        assert_ne!(round(1), round(2));
    }

    #[test]
    fn coverage_tells_what_was_not_met_too() {
        let coverage = Coverage::default();
        let one = (State::Clean, Operation::Split, Press::Reclaim);
        coverage.note(one);
        coverage.note(one);
        let map = coverage.map();
        assert_eq!((coverage.covered(), map.len()), (1, all().len()));
        assert_eq!(map["Clean × Split × Reclaim"], 2);
        assert_eq!(map.values().sum::<u64>(), 2);
    }
}
