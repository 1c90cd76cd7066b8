//! The operations of a mover, drawn by their weights.

use super::mover::Mover;
use crate::catalogue::Counter;
use crate::model::{self, Content, Fault, Holds, PageState, Protection, fill_replied, replied};
use crate::protocol::Seen;
use crate::sys::arena::{Advice, PAGE_LEN};
use crate::sys::board::Lane;
use crate::sys::memory::Access;
use crate::sys::pagemap::Entry;
use crate::sys::{fork, process};
use crate::workload::evidence::Op;
use crate::workload::phase::{Phase, Stopped};
use rand_core::Rng;
use std::collections::BTreeMap;
use std::ops::Range;

/// Most pages of one move.
const MOVE_MAX: usize = 8;
/// How long a child stays at most: in operations, and in milliseconds.
const CHILD_OPERATIONS: u32 = 8;
const CHILD_MS: u32 = 50;

/// What a mover does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Duel,
    Move,
    Read,
    Write,
    PageOut,
    Fill,
    Drop,
    Protect,
    Poison,
    Fork,
}

impl Mover<'_> {
    /// Draws one operation and does it.
    ///
    /// # Errors
    /// When the kernel broke a promise, or a call failed that must not.
    pub(super) fn operate(&mut self, phase: &Phase<'_>, lane: &Lane) -> Result<(), Stopped> {
        match self.kind() {
            Kind::Duel => self.duel(phase, lane),
            Kind::Move => self.move_some(phase),
            Kind::Read => {
                for place in self.some(4) {
                    self.verify(phase, lane, place)?;
                }
                Ok(())
            }
            Kind::Write => {
                let place = self.draw(|s| !s.may_be_filled());
                self.rewrite(phase, place)
            }
            Kind::PageOut => self.page_out(),
            Kind::Fill => self.fill(phase),
            Kind::Drop => self.drop_some(),
            Kind::Protect => self.protect(),
            Kind::Poison => self.poison(phase),
            Kind::Fork => self.fork(),
        }
    }

    fn kind(&mut self) -> Kind {
        let p = &self.params;
        let weights = [
            (Kind::Duel, p.duels),
            (Kind::Move, p.moves),
            (Kind::Read, p.reads),
            (Kind::Write, p.writes),
            (Kind::PageOut, p.pageouts),
            (Kind::Fill, p.fills),
            (Kind::Drop, p.drops),
            (Kind::Protect, p.protects),
            (Kind::Poison, p.poisons),
            (Kind::Fork, p.forks),
        ];
        let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut left = self.rng.next_u64() % total.max(1);
        for (kind, weight) in weights {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        Kind::Read
    }

    /// Some neighbouring places of one side.
    fn some(&mut self, max: usize) -> Range<usize> {
        let start = self.below(self.states.len());
        self.from(start, max)
    }

    /// Some neighbouring places from `start` on, of its side.
    fn from(&mut self, start: usize, max: usize) -> Range<usize> {
        let places = self.pair.places;
        let end_of_side = (start / places + 1) * places;
        start..end_of_side.min(start + 1 + self.below(max))
    }

    /// Places that surely hold a page that needs a swap slot to leave: zeros, poison and what the kernel
    /// may have taken need none, and too few others would leave slots free.
    fn populated(&self) -> usize {
        let is = |s: &&PageState| matches!(s.content, Content::Is(Holds::Stamp(_)));
        self.states.iter().filter(is).count()
    }

    /// Moves several pages, and what a short move left once more.
    fn move_some(&mut self, phase: &Phase<'_>) -> Result<(), Stopped> {
        let from = self.draw(|s| s.content != Content::Is(Holds::Hole));
        let to = self.draw(|s| s.content == Content::Is(Holds::Hole));
        let len = self.from(from, MOVE_MAX).len().min(self.from(to, MOVE_MAX).len());
        // A page can't be moved to itself, and of ranges that overlap nothing is promised.
        if from.abs_diff(to) < len {
            return Ok(());
        }
        let holes = self.rng.next_u32().is_multiple_of(2);
        let done = self.move_once(phase, from..from + len, to, holes)?;
        if done > 0 && done < len {
            self.move_once(phase, from + done..from + len, to + done, holes)?;
        }
        Ok(())
    }

    /// One call; returns how many pages were moved.
    fn move_once(
        &mut self,
        phase: &Phase<'_>,
        from: Range<usize>,
        to: usize,
        holes: bool,
    ) -> Result<usize, Stopped> {
        let len = from.len();
        let ((source, page), (destination, other)) = (self.at(from.start), self.at(to));
        let (mut entries, mut resident) = ([Entry::default(); MOVE_MAX], [0; MOVE_MAX]);
        self.pagemap.read(source, page..page + len, &mut entries)?;
        source.resident(page..page + len, &mut resident)?;
        let reply = self.stage.uffd.r#move(
            (source, page..page + len),
            (destination, other..other + len),
            holes,
        );
        let places: Vec<usize> = from.clone().chain(to..to + len).collect();
        let moved = self.moved(phase, (len * PAGE_LEN) as u64, reply, &places)?;
        let moved = usize::try_from(moved).unwrap_or(len);
        for n in 0..moved {
            let (one, two) = (from.start + n, to + n);
            let Some(states) = replied(&self.states[one], &self.states[two], None, holes) else {
                return Err(self.impossible(phase, "UFFDIO_MOVE", reply, &[one, two]));
            };
            let swapped = entries[n].swapped();
            phase.count(Counter::Moves, 1);
            phase.count(Counter::MovesSwapped, u64::from(swapped));
            phase.count(Counter::MovesCached, u64::from(swapped && resident[n] == 1));
            self.note(Op::MovedAway, one, Some(entries[n]));
            (self.states[one], self.states[two]) = states;
            self.note(Op::MovedHere, two, None);
        }
        // The cause of a short move shows when the rest is tried again.
        if moved == 0 && reply.errno.is_some() {
            let (one, two) = (from.start, to);
            let states = replied(&self.states[one], &self.states[two], reply.errno, holes);
            let Some(states) = states else {
                return Err(self.impossible(phase, "UFFDIO_MOVE", reply, &[one, two]));
            };
            (self.states[one], self.states[two]) = states;
        }
        Ok(moved)
    }

    /// Stores to a page, protected or not.
    pub(super) fn rewrite(&mut self, phase: &Phase<'_>, place: usize) -> Result<(), Stopped> {
        let name = self.next_name(place);
        let (arena, page) = self.at(place);
        self.stage
            .origin()
            .stamp(name.page, name.generation)
            .write(&mut self.page);
        let access = self.memory.write(arena, page, &self.page)?;
        let state = &self.states[place];
        self.states[place] = match access {
            Access::Done if state.protection == Protection::On => {
                let title = "a store to it succeeded";
                return Err(self.unprotected(phase, place, title));
            }
            Access::Done => {
                phase.count(Counter::PagesWritten, 1);
                state.apply(model::Op::Store(name))
            }
            Access::Faulted if state.protection == Protection::Off => {
                match state.fault(&self.stage.origin(), Fault::Sigbus) {
                    Ok(state) => state,
                    Err(mismatch) => {
                        let entry = self.pagemap.entry(arena, page)?;
                        let number = self.number(place);
                        return Err(phase.mismatch(*mismatch, number, (entry, None), &self.history));
                    }
                }
            }
            Access::Faulted => return Ok(()),
        };
        self.note(Op::Rewrite, place, None);
        Ok(())
    }

    /// Tells of protection that got lost, and how it showed.
    pub(super) fn unprotected(&self, phase: &Phase<'_>, place: usize, how: &str) -> Stopped {
        let what = Seen::Conservation {
            what: "write-protected pages that are not protected any more".to_owned(),
            one: 0,
            other: 1,
        };
        let number = self.number(place);
        let mut context = BTreeMap::new();
        let told = self.history.tell(|e| e.page == number);
        context.insert("last operations on the page".to_owned(), told);
        let title = format!("page {number} was write-protected and is no more: {how}");
        phase.find(what, title, context)
    }

    fn page_out(&mut self) -> Result<(), Stopped> {
        let some = self.some(16);
        let (arena, page) = self.at(some.start);
        let advice = match self.rng.next_u32() % 8 {
            0 => Advice::Cold,
            1 => Advice::WillNeed,
            _ => Advice::PageOut,
        };
        // Drains this CPU's batch of new pages first, so that they can be reclaimed elsewhere too.
        arena.advise(page..page + 1, Advice::Cold)?;
        arena.advise(page..page + some.len(), advice)?;
        for place in some {
            self.note(Op::PageOut, place, None);
        }
        Ok(())
    }

    /// Fills a place with a stamp or with zeros, unless enough places are filled.
    fn fill(&mut self, phase: &Phase<'_>) -> Result<(), Stopped> {
        if self.populated() >= self.pair.places {
            return Ok(());
        }
        let place = self.draw(PageState::may_be_filled);
        let (arena, page) = self.at(place);
        if self.rng.next_u32().is_multiple_of(8) {
            let reply = self.stage.uffd.zero(arena, page..page + 1);
            let state = self.states[place].apply(model::Op::ZeroPage);
            self.populate_with(phase, place, reply, "UFFDIO_ZEROPAGE", state)?;
        } else {
            let protected = self.rng.next_u32().is_multiple_of(8);
            let name = self.next_name(place);
            let reply = self.fill_with(place, name, protected);
            let Some(state) = fill_replied(&self.states[place], name, reply.errno) else {
                return Err(self.impossible(phase, "UFFDIO_COPY", reply, &[place]));
            };
            self.states[place] = if protected && reply.errno.is_none() {
                state.apply(model::Op::WriteProtect)
            } else {
                state
            };
        }
        self.note(Op::Fill, place, None);
        Ok(())
    }

    /// Takes over what a call made of an empty place, where it succeeded.
    fn populate_with(
        &mut self,
        phase: &Phase<'_>,
        place: usize,
        reply: crate::sys::uffd::Reply,
        call: &str,
        state: PageState,
    ) -> Result<(), Stopped> {
        let was = &self.states[place];
        match reply.errno {
            None if was.may_be_hole() => {
                self.states[place] = PageState {
                    protection: Protection::Off,
                    ..state
                }
            }
            Some(libc::EEXIST) if was.content != Content::Is(Holds::Hole) => {}
            Some(libc::EAGAIN | libc::ENOMEM) => {}
            _ => return Err(self.impossible(phase, call, reply, &[place])),
        }
        Ok(())
    }

    fn poison(&mut self, phase: &Phase<'_>) -> Result<(), Stopped> {
        if !self.stage.can_poison {
            return Ok(());
        }
        let place = self.draw(PageState::may_be_hole);
        let (arena, page) = self.at(place);
        let reply = self.stage.uffd.poison(arena, page..page + 1);
        let state = self.states[place].apply(model::Op::Poison);
        self.populate_with(phase, place, reply, "UFFDIO_POISON", state)?;
        self.note(Op::Poison, place, None);
        Ok(())
    }

    /// Drops some pages, now or when the kernel likes to, unless few are left.
    fn drop_some(&mut self) -> Result<(), Stopped> {
        let few = self.pair.places - self.pair.places / 16;
        let poisoned = self.draw(|s| s.content == Content::Is(Holds::Poisoned));
        let (op, advice) = if self.rng.next_u32().is_multiple_of(4) {
            (model::Op::Free, Advice::Free)
        } else {
            (model::Op::DontNeed, Advice::DontNeed)
        };
        let some = if self.states[poisoned].content == Content::Is(Holds::Poisoned) {
            poisoned..poisoned + 1
        } else if self.populated() > few {
            self.some(3)
        } else {
            return Ok(());
        };
        let (arena, page) = self.at(some.start);
        arena.advise(page..page + some.len(), advice)?;
        for place in some {
            self.note(Op::Drop, place, None);
            self.states[place] = self.states[place].apply(op);
        }
        Ok(())
    }

    fn protect(&mut self) -> Result<(), Stopped> {
        let some = self.some(MOVE_MAX);
        let (arena, page) = self.at(some.start);
        let on = self.rng.next_u32().is_multiple_of(2);
        let op = if on {
            model::Op::WriteProtect
        } else {
            model::Op::WriteUnprotect
        };
        let done = match self.stage.uffd.protect((arena, page..page + some.len()), on) {
            Ok(()) => true,
            Err(e) if matches!(e.errno(), Some(libc::EAGAIN | libc::ENOMEM)) => false,
            Err(e) => return Err(e.into()),
        };
        for place in some {
            self.note(Op::Protect, place, None);
            let state = self.states[place].apply(op);
            self.states[place] = PageState {
                protection: if done {
                    state.protection
                } else {
                    Protection::Unspecified
                },
                ..state
            };
        }
        Ok(())
    }

    /// Forks a child that shares the pages for a while: they can't be moved meanwhile.
    fn fork(&mut self) -> Result<(), Stopped> {
        if self.child.is_some() {
            return Ok(());
        }
        let stays = || u8::from(process::pause_ms(CHILD_MS).is_err());
        match fork::child(stays) {
            Ok(child) => self.child = Some((child, CHILD_OPERATIONS)),
            // Short memory is no finding.
            Err(e) if matches!(e.errno(), Some(libc::ENOMEM | libc::EAGAIN)) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }
}
