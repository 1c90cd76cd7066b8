//! Composition on purpose: an owner carries a [`triple`](super::triple) out and verifies the pages after it.
//!
//! A triple counts as covered only where the state was seen to be there, the operation succeeded, and
//! the pressure had its effect on the very pages: they went to swap, got other frames, or came back.

use super::owner::{Owner, Stopped};
use super::region::Kind;
use super::step::{Act, Step};
use super::telling::is_refusal;
use super::triple::{Operation, Press, State};
use crate::sys::pagemap::Entry;
use crate::sys::soft_dirty;
use crate::workload::CaseError;
use rand_core::Rng;
use std::ops::Range;
use std::sync::PoisonError;

/// Pages of one triple.
const PAGES: usize = 8;

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
        let dropped = usize::from(operation == Operation::Split);
        self.range.start..self.range.end - dropped
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
            let kept: Vec<usize> = scene.kept(triple.1).collect();
            self.check_soft_dirty(at, &kept, since)?;
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
