//! Composition on purpose: an owner carries a [`triple`](super::triple) out and verifies the pages after it.
//!
//! A triple counts as covered only where the state was seen to be there, the operation succeeded, and
//! the pressure had its effect on the very pages: they went to swap, got other frames, or came back.

use super::heir::Child;
use super::owner::{Owner, Stopped};
use super::region::{Kind, Region};
use super::step::{Act, Step};
use super::telling::is_refusal;
use super::triple::{Batch, Operation, Press, State};
use crate::model::{Content, Holds};
use crate::sys::field::PLOT_PAGES;
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

/// A triple under way.
struct Composition {
    state: State,
    operation: Operation,
    scene: Scene,
    child: Option<Child>,
    /// The state was seen to be there.
    is_there: bool,
    /// The operation waits until after the pressure.
    is_due: bool,
    /// It succeeded.
    done: bool,
    /// Since when all of its pages said that they are soft-dirty: from then on they must say so as long as nobody clears the
    /// bits.
    soft_dirty: Option<soft_dirty::Since>,
}

impl Owner<'_> {
    /// Composes the next triples, which are under one pressure.
    ///
    /// # Errors
    /// A mismatch, and calls that failed that must not.
    pub fn next_triples(&mut self) -> Result<(), Stopped> {
        let Batch { press, acts } = {
            let mut coming = self.engine.triples.lock().unwrap_or_else(PoisonError::into_inner);
            coming.next_batch()
        };
        let mut all: Vec<Composition> = Vec::new();
        // What is collapsed is nobody else's any more: other compositions stay away from where that is done.
        let collapses = acts.iter().any(|act| act.1 == Operation::Collapse);
        for (state, operation) in acts {
            let scene = self.scene(operation, collapses, &all);
            let composition = self.begin(state, operation, scene)?;
            all.push(composition);
            self.beat();
        }
        let pressed = self.press(press, &all)?;
        self.beat();
        // The last first: what others store ends a protection.
        for (composition, pressed) in all.into_iter().zip(pressed).rev() {
            let triple = (composition.state, composition.operation, press);
            if self.finish(composition)? && pressed {
                self.engine.coverage.note(triple);
            }
            self.beat();
        }
        Ok(())
    }

    /// Brings pages into a state, and does half of the operations.
    fn begin(&mut self, state: State, operation: Operation, scene: Scene) -> Result<Composition, Stopped> {
        for act in [Act::Unprotect, Act::Store] {
            self.carry_out(scene.step(act))?;
        }
        let child = if state == State::Shared {
            self.fork_child(scene.at, scene.range.clone())?
        } else {
            None
        };
        let is_there = self.establish(state, &scene, child.is_some())?;
        let since = soft_dirty::Since::now();
        let is_soft_dirty =
            state == State::SoftDirty && self.looks(&scene)?.iter().all(|entry| entry.soft_dirty());
        let mut composition = Composition {
            state,
            operation,
            scene,
            child,
            is_there,
            is_due: true,
            done: false,
            soft_dirty: is_soft_dirty.then_some(since),
        };
        if self.rng.next_u32().is_multiple_of(2) {
            self.operate(&mut composition)?;
        }
        Ok(composition)
    }

    /// Does the operation, where it is due, and looks at what has become of the pages; tells whether they were in the state
    /// and the operation succeeded.
    fn finish(&mut self, mut composition: Composition) -> Result<bool, Stopped> {
        if composition.is_due {
            self.operate(&mut composition)?;
        }
        let Composition {
            operation,
            scene,
            child,
            is_there,
            done,
            soft_dirty,
            ..
        } = composition;
        let (at, range) = (scene.at, scene.range.clone());
        if let Some(child) = child {
            let seen = self.end_child(at, child)?;
            if scene.moved > 0 && seen == range.len() {
                self.moved_though_shared(at, range.start, scene.moved)?;
            }
        }
        self.unguard()?;
        if let Some(since) = soft_dirty.filter(|_| operation != Operation::ClearRefs) {
            // What was moved and did not come back was dropped: see `move_there_and_back`.
            let stayed = |page: &usize| self.regions[at].state(*page).content != Content::Is(Holds::Hole);
            let kept: Vec<usize> = scene.kept(operation).filter(stayed).collect();
            self.check_soft_dirty(at, &kept, since)?;
        }
        self.verify(at, range)?;
        // And once more round: what the composition left behind (a slot, a bit) shows when it is used.
        for act in [Act::Store, Act::PageOut, Act::Verify] {
            self.carry_out(scene.step(act))?;
        }
        Ok(is_there && done)
    }

    /// Chooses pages that no other composition has: splits and collapses need memory that may have huge pages.
    fn scene(&mut self, operation: Operation, collapses: bool, others: &[Composition]) -> Scene {
        let is_large = matches!(operation, Operation::Split | Operation::Collapse);
        let wanted = |region: &Region| match region.kind {
            Kind::Large if region.pages() == PLOT_PAGES => !collapses || operation == Operation::Collapse,
            Kind::Large => operation != Operation::Collapse,
            Kind::Small => !is_large,
            Kind::Shared | Kind::PrivateFile | Kind::Disk => false,
        };
        let fit: Vec<usize> = (0..self.regions.len())
            .filter(|&at| wanted(&self.regions[at]))
            .collect();
        loop {
            let at = fit[self.rng.next_u64() as usize % fit.len()];
            let start = self.rng.next_u64() as usize % (self.regions[at].pages() - PAGES);
            let range = start..start + PAGES;
            let meets = |other: &Composition| {
                let scene = &other.scene;
                scene.at == at && scene.range.start < range.end && range.start < scene.range.end
            };
            if !others.iter().any(meets) {
                return Scene { at, range, moved: 0 };
            }
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

    /// Presses on all of them; tells of each whether it had an effect on one of its pages.
    fn press(&mut self, press: Press, all: &[Composition]) -> Result<Vec<bool>, Stopped> {
        let before = self.all_looks(all)?;
        if matches!(press, Press::Reclaim | Press::Swapoff) {
            for composition in all {
                self.carry_out(composition.scene.step(Act::PageOut))?;
            }
        }
        let Some(Composition { scene, .. }) = all.first() else {
            return Ok(Vec::new());
        };
        match press {
            Press::Reclaim => {
                self.carry_out(scene.step(Act::Reclaim))?;
                let is_away = |e: &Entry| e.swapped() || *e == Entry::default();
                let after = self.all_looks(all)?;
                Ok(after.iter().map(|looks| looks.iter().any(is_away)).collect())
            }
            Press::Migration => {
                self.carry_out(scene.step(Act::Compact))?;
                let moved = |(was, is): (&Entry, &Entry)| {
                    was.frame().is_some() && is.frame().is_some() && was.frame() != is.frame()
                };
                let after = self.all_looks(all)?;
                let pairs = before.iter().zip(&after);
                Ok(pairs.map(|(was, is)| was.iter().zip(is).any(moved)).collect())
            }
            Press::Swapoff => {
                let away = self.all_looks(all)?;
                self.engine.log.note(self.number, scene.step(Act::SwapCycle));
                let cycled = self.swap_cycle()?;
                let was_away = |looks: &Vec<Entry>| cycled && looks.iter().any(|e| e.swapped());
                Ok(away.iter().map(was_away).collect())
            }
        }
    }

    fn all_looks(&self, all: &[Composition]) -> Result<Vec<Vec<Entry>>, Stopped> {
        all.iter()
            .map(|composition| self.looks(&composition.scene))
            .collect()
    }

    /// Does a composition's operation.
    fn operate(&mut self, composition: &mut Composition) -> Result<(), Stopped> {
        let is_shared = composition.child.is_some();
        composition.done = self.try_to_operate(composition.operation, &mut composition.scene, is_shared)?;
        composition.is_due = false;
        Ok(())
    }

    /// Does an operation; tells whether it succeeded.
    fn try_to_operate(
        &mut self,
        operation: Operation,
        scene: &mut Scene,
        is_shared: bool,
    ) -> Result<bool, Stopped> {
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
