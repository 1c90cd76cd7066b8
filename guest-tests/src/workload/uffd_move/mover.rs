//! A mover: owns its pages, knows what each place may hold, and makes every call that changes it.

use super::duel::Ring;
use super::stage::{Pair, Stage};
use crate::catalogue::{Counter, UffdMove};
use crate::model::{Content, Fault, Holds, Mismatch, MoveReply, Name, PageState, Protection, moved_pages};
use crate::protocol::Seen;
use crate::sys::arena::{Advice, Arena, PageWords};
use crate::sys::board::Lane;
use crate::sys::fork::Forked;
use crate::sys::memory::{self, Access, Memory};
use crate::sys::pagemap::{Entry, Pagemap};
use crate::sys::process;
use crate::sys::uffd::Reply;
use crate::workload::evidence::{History, Op};
use crate::workload::phase::{Phase, Stopped};
use crate::workload::{CaseError, Env};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;

/// Pages that are filled and paged out at once when a mover populates its range.
const POPULATE_CHUNK: usize = 32;
/// Draws of a place before a mover takes what it gets.
const DRAWS: usize = 12;

/// One mover.
pub struct Mover<'a> {
    pub(super) env: &'a Env<'a>,
    pub(super) stage: &'a Stage,
    pub(super) pair: Pair,
    pub(super) ring: &'a Ring,
    pub(super) params: UffdMove,
    pub(super) rng: Pcg64Mcg,
    pub(super) memory: Memory,
    pub(super) pagemap: Pagemap,
    pub(super) history: History,
    pub(super) page: Box<PageWords>,
    /// What each place may hold: those of the first side, then those of the second.
    pub(super) states: Vec<PageState>,
    /// The newest generation that was made for each place.
    generations: Vec<u32>,
    /// A child that shares the pages, and for how many more operations.
    pub(super) child: Option<(Forked, u32)>,
}

impl<'a> Mover<'a> {
    /// Makes a pair's mover; none of its places is populated.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn new(
        env: &'a Env<'a>,
        stage: &'a Stage,
        pair: Pair,
        ring: &'a Ring,
        params: &UffdMove,
    ) -> Result<Self, CaseError> {
        let places = pair.places;
        let own =
            (0..2 * places).map(|place| stage.fresh(place / places, pair.number * places + place % places));
        let seed = env.job.case.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Ok(Self {
            env,
            stage,
            pair,
            ring,
            params: params.clone(),
            rng: Pcg64Mcg::seed_from_u64(seed.wrapping_add(pair.number as u64)),
            memory: Memory::open()?,
            pagemap: Pagemap::open()?,
            history: History::default(),
            page: memory::page(),
            states: own.collect(),
            generations: vec![0; 2 * places],
            child: None,
        })
    }

    /// Fills the first side and has it paged out.
    ///
    /// # Errors
    /// When a call failed that must not.
    pub fn populate(&mut self) -> Result<(), CaseError> {
        process::pin(0)?;
        for place in 0..self.pair.places {
            let name = self.next_name(place);
            let reply = self.fill_with(place, name, false);
            if let Some(errno) = reply.errno {
                let e = std::io::Error::from_raw_os_error(errno);
                return Err(CaseError::Broken(format!("filling a page with UFFDIO_COPY: {e}")));
            }
            self.states[place] = self.states[place].apply(crate::model::Op::Store(name));
            if (place + 1).is_multiple_of(POPULATE_CHUNK) {
                let (arena, page) = self.at(place);
                arena.advise(page + 1 - POPULATE_CHUNK..page + 1, Advice::PageOut)?;
            }
        }
        Ok(process::unpin()?)
    }

    /// Works until the pressure is over.
    ///
    /// # Errors
    /// When it ended early.
    pub fn run(&mut self, phase: &Phase<'_>, lane: &Lane) -> Result<(), Stopped> {
        while !phase.stop.is_set() && !self.ring.is_over() {
            self.operate(phase, lane)?;
            self.outlive_child(phase)?;
            lane.beat();
        }
        self.child = None;
        Ok(())
    }

    /// Counts an operation beside a child; after the last one the child goes, and storing to what it
    /// shared makes the pages the mover's own again.
    fn outlive_child(&mut self, phase: &Phase<'_>) -> Result<(), Stopped> {
        let Some((child, left)) = self.child.take() else {
            return Ok(());
        };
        if left > 0 {
            self.child = Some((child, left - 1));
            return Ok(());
        }
        drop(child);
        for place in 0..self.states.len() {
            if !self.states[place].may_be_filled() {
                self.rewrite(phase, place)?;
            }
        }
        Ok(())
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        // The bias of a remainder is far below anything that matters here.
        self.rng.next_u64() as usize % n.max(1)
    }

    /// A place's arena and page.
    pub(super) fn at(&self, place: usize) -> (&'a Arena, usize) {
        let (side, page) = self.side(place);
        (&self.stage.sides[side], page)
    }

    /// A place's side and page.
    pub(super) fn side(&self, place: usize) -> (usize, usize) {
        let places = self.pair.places;
        (place / places, self.pair.number * places + place % places)
    }

    /// A place's number: what its own stamps carry.
    pub(super) fn number(&self, place: usize) -> u32 {
        self.states[place].page
    }

    /// Draws a place whose state `wanted` says yes to, or any.
    pub(super) fn draw(&mut self, wanted: impl Fn(&PageState) -> bool) -> usize {
        let mut place = 0;
        for _ in 0..DRAWS {
            place = self.below(self.states.len());
            if wanted(&self.states[place]) {
                break;
            }
        }
        place
    }

    /// The name of what a place is filled with or rewritten to next.
    pub(super) fn next_name(&mut self, place: usize) -> Name {
        self.names(place, 1)
    }

    /// The first of some names.
    pub(super) fn names(&mut self, place: usize, count: u32) -> Name {
        let first = self.generations[place] + 1;
        self.generations[place] += count;
        Name {
            page: self.number(place),
            generation: first,
        }
    }

    /// Fills one place with a stamp.
    pub(super) fn fill_with(&mut self, place: usize, name: Name, protected: bool) -> Reply {
        self.stage
            .origin()
            .stamp(name.page, name.generation)
            .write(&mut self.page);
        let (arena, page) = self.at(place);
        self.stage.uffd.copy(arena, page, &self.page, protected)
    }

    /// Remembers an operation for whoever has to understand a finding.
    pub(super) fn note(&mut self, op: Op, place: usize, entry: Option<Entry>) {
        let generation = if let Content::Is(Holds::Stamp(name)) = self.states[place].content {
            name.generation
        } else {
            0
        };
        let slot = entry.and_then(Entry::slot);
        self.history.note(op, self.number(place), generation, slot);
    }

    /// Reads a place, judges what is there and narrows its state.
    pub(super) fn verify(&mut self, phase: &Phase<'_>, lane: &Lane, place: usize) -> Result<(), Stopped> {
        let (arena, page) = self.at(place);
        let entry = self.pagemap.entry(arena, page)?;
        if self.states[place].protection == Protection::On
            && (entry.present() || entry.swapped())
            && !entry.uffd_wp()
        {
            return Err(self.unprotected(phase, place, &format!("its page table entry is {entry}")));
        }
        let mut resident = [0];
        arena.resident(page..page + 1, &mut resident)?;
        if let Content::Is(Holds::Stamp(name)) = self.states[place].content {
            lane.note_page(name.page, name.generation);
        }
        // A fault is the mover's own where something must be there: half of them by instructions.
        let surely = matches!(
            self.states[place].content,
            Content::Is(Holds::Stamp(_) | Holds::Zero)
        );
        let access = if surely && self.rng.next_u32().is_multiple_of(2) {
            arena.read(page, &mut self.page);
            Access::Done
        } else {
            self.memory.read(arena, page, &mut self.page)?
        };
        self.note(Op::Verify, place, Some(entry));
        let (origin, state) = (self.stage.origin(), &self.states[place]);
        let judged = match access {
            Access::Done => state.read(&origin, &self.page),
            Access::Faulted => state.fault(&origin, Fault::Sigbus),
        };
        match judged {
            Ok(state) => {
                self.states[place] = state;
                phase.count(Counter::PagesVerified, 1);
                let came_back = access == Access::Done && entry.swapped() && resident[0] == 0;
                phase.count(Counter::RoundTrips, u64::from(came_back));
                Ok(())
            }
            Err(mismatch) => Err(self.wrong(phase, *mismatch, place, entry)),
        }
    }

    /// Tells of a mismatch.
    pub(super) fn wrong(
        &self,
        phase: &Phase<'_>,
        mismatch: Mismatch,
        place: usize,
        before: Entry,
    ) -> Stopped {
        let (arena, page) = self.at(place);
        let after = self.pagemap.entry(arena, page).ok();
        phase.mismatch(mismatch, self.number(place), (before, after), &self.history)
    }

    /// Tells of a reply that the states of the places rule out.
    pub(super) fn impossible(
        &self,
        phase: &Phase<'_>,
        call: &str,
        reply: Reply,
        places: &[usize],
    ) -> Stopped {
        let errno = reply.errno.map_or("success".to_owned(), |e| {
            std::io::Error::from_raw_os_error(e).to_string()
        });
        let mut context = BTreeMap::new();
        for &place in places {
            let (arena, page) = self.at(place);
            let state = format!("{:?}", self.states[place]);
            let entry = self.pagemap.entry(arena, page);
            let entry = entry.map_or_else(|e| e.to_string(), |entry| entry.to_string());
            context.insert(
                format!("place {}", self.number(place)),
                format!("{entry}; {state:.400}"),
            );
        }
        context.insert(
            "last operations of the thread".into(),
            self.history.tell(|_| true),
        );
        let what = Seen::Conservation {
            what: format!("{call} and its reply"),
            one: places.len() as u64,
            other: u64::try_from(reply.bytes).unwrap_or(0) / 4096,
        };
        let title = format!(
            "{call} replied {errno} ({} bytes), which what it was asked for rules out",
            reply.bytes
        );
        phase.find(what, title, context)
    }

    /// How many pages a reply says were moved.
    pub(super) fn moved(
        &self,
        phase: &Phase<'_>,
        asked_bytes: u64,
        reply: Reply,
        places: &[usize],
    ) -> Result<u64, Stopped> {
        if matches!(reply.errno, Some(libc::EAGAIN | libc::EBUSY)) {
            phase.count(Counter::MovesContended, 1);
        }
        let said = MoveReply {
            errno: reply.errno,
            moved_bytes: reply.bytes,
        };
        moved_pages(asked_bytes, said).map_err(|_| self.impossible(phase, "UFFDIO_MOVE", reply, places))
    }
}
