//! A duel from the mover's side: the call, and which of its legal outcomes came about.

use super::duel::{FILLS_MAX, Task};
use super::meddler;
use super::mover::Mover;
use super::stage::Bystander;
use crate::catalogue::Counter;
use crate::model::{Content, Fault, Holds, OneMove, PageState, Protection, Unexplained, duel};
use crate::sys::board::Lane;
use crate::sys::memory::Access;
use crate::sys::pagemap::Entry;
use crate::workload::evidence::Op;
use crate::workload::phase::{Phase, Stopped};
use rand_core::Rng;

impl Mover<'_> {
    /// One page is moved while the meddler acts on it.
    pub(super) fn duel(&mut self, phase: &Phase<'_>, lane: &Lane) -> Result<(), Stopped> {
        let from = self.draw(|s| matches!(s.content, Content::Is(Holds::Stamp(_))));
        let to = self.draw(|s| s.content == Content::Is(Holds::Hole));
        if from == to {
            return Ok(());
        }
        let bystander: Bystander = meddler::bystander(self.pair, self.rng.next_u32() as usize % 8);
        let task = Task {
            source: self.side(from),
            destination: self.side(to),
            bystander,
            tid: lane.tid(),
            names: [self.names(from, FILLS_MAX), self.names(to, FILLS_MAX)],
        };
        let holes = self.rng.next_u32().is_multiple_of(4);
        let ((source, page), (destination, other)) = (self.at(from), self.at(to));
        let uffd = &self.stage.uffd;
        let call = || uffd.r#move((source, page..page + 1), (destination, other..other + 1), holes);
        let Some((reply, acts)) = self.ring.fight(task, call) else {
            return Ok(());
        };
        let moved = self.moved(phase, 4096, reply, &[from, to])?;
        phase.count(Counter::Duels, 1);
        phase.count(Counter::Moves, moved);
        let start = [self.states[from].clone(), self.states[to].clone()];
        let one = OneMove {
            errno: reply.errno,
            holes,
        };
        self.note(Op::Duel, from, None);
        self.note(Op::Duel, to, None);
        match duel(&self.stage.origin(), &start, one, &acts) {
            Ok(outcomes) => self.settle(phase, [from, to], &outcomes),
            Err(Unexplained::Reading(mismatch)) => Err(self.wrong(phase, *mismatch, from, Entry::default())),
            Err(Unexplained::Replies) => {
                Err(self.impossible(phase, "UFFDIO_MOVE in a duel", reply, &[from, to]))
            }
        }
    }

    /// Reads both ends of a duel: one of the legal outcomes must explain them.
    fn settle(
        &mut self,
        phase: &Phase<'_>,
        places: [usize; 2],
        outcomes: &[[PageState; 2]],
    ) -> Result<(), Stopped> {
        let mut left: Vec<[PageState; 2]> = outcomes.to_vec();
        let origin = self.stage.origin();
        for (end, place) in places.into_iter().enumerate() {
            let (arena, page) = self.at(place);
            let entry = self.pagemap.entry(arena, page)?;
            let access = self.memory.read(arena, page, &mut self.page)?;
            let mut wrong = None;
            let narrowed: Vec<[PageState; 2]> = left
                .into_iter()
                .filter_map(|mut ends| {
                    let judged = match access {
                        Access::Done => ends[end].read(&origin, &self.page),
                        Access::Faulted => ends[end].fault(&origin, Fault::Sigbus),
                    };
                    match judged {
                        Ok(state) => ends[end] = state,
                        Err(mismatch) => {
                            wrong.get_or_insert(mismatch);
                            return None;
                        }
                    }
                    Some(ends)
                })
                .collect();
            phase.count(Counter::PagesVerified, 1);
            if let (true, Some(mismatch)) = (narrowed.is_empty(), wrong) {
                return Err(self.wrong(phase, *mismatch, place, entry));
            }
            left = narrowed;
        }
        if let Some(ends) = left.into_iter().next() {
            for (place, state) in places.into_iter().zip(ends) {
                // Orders that lead to the same content may differ in this.
                self.states[place] = PageState {
                    protection: Protection::Unspecified,
                    ..state
                };
            }
        }
        Ok(())
    }
}
