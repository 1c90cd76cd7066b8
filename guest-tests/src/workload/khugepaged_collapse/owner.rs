//! An owner: draws operations on its regions, does them, tells the model, and checks what it reads.

use super::draw::{Action, RUN_PAGES_MAX, Weights, below, run_of_pages};
use super::pressure::Pressure;
use super::region::Kind;
use super::view::Holding;
use crate::catalogue::Counter;
use crate::model::{self, Backing, Content, Fault, Mismatch, Name, Op, PageState};
use crate::sys::arena::{Advice, HUGE_PAGES, PAGE_WORDS};
use crate::sys::armed::Armed;
use crate::sys::board::Lane;
use crate::sys::pagemap::{Entry, Pagemap};
use crate::sys::peek::Peek;
use crate::sys::{SysError, forked};
use crate::workload::CaseError;
use crate::workload::evidence::{self, History};
use crate::workload::phase::Stopped;
use rand_core::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::ops::Range;

/// Pages that a forked child is asked about.
const FORK_PAGES: usize = 12;
/// Pages past the end of a truncated file that are looked at.
const BEYOND_PAGES: usize = 4;

/// An owner with its regions.
pub struct Owner<'a, 'p> {
    pressure: &'a Pressure<'p>,
    lane: &'a Lane,
    holdings: Vec<Holding<'p>>,
    rng: Pcg64Mcg,
    pagemap: Pagemap,
    peek: Peek,
    history: History,
    buffer: Box<[u64; PAGE_WORDS]>,
}

impl<'a, 'p> Owner<'a, 'p> {
    /// Makes the owner of some regions.
    ///
    /// # Errors
    /// When /proc lacks what is needed.
    pub fn new(
        pressure: &'a Pressure<'p>,
        lane: &'a Lane,
        holdings: Vec<Holding<'p>>,
        seed: u64,
    ) -> Result<Self, SysError> {
        Ok(Self {
            pressure,
            lane,
            holdings,
            rng: Pcg64Mcg::seed_from_u64(seed),
            pagemap: Pagemap::open()?,
            peek: Peek::open()?,
            history: History::default(),
            buffer: Box::new([0; PAGE_WORDS]),
        })
    }

    /// Gives the regions back.
    #[must_use]
    pub fn into_holdings(self) -> Vec<Holding<'p>> {
        self.holdings
    }

    /// Works until the pressure is over.
    ///
    /// # Errors
    /// When it ended early.
    pub fn run(&mut self, weights: &Weights) -> Result<(), Stopped> {
        while !self.pressure.phase.stop.is_set() {
            let at = below(&mut self.rng, self.holdings.len());
            let view = below(&mut self.rng, self.holdings[at].views.len());
            let action = weights.draw(&mut self.rng);
            let run = run_of_pages(&mut self.rng, HUGE_PAGES);
            self.act(action, at, view, run)?;
            self.lane.beat();
        }
        Ok(())
    }

    fn act(&mut self, action: Action, at: usize, view: usize, run: Range<usize>) -> Result<(), Stopped> {
        let backing = self.holdings[at].views[view].states[0].backing;
        match (self.allowed(action, at, backing), backing) {
            (Action::Store, _) => {
                self.verify(at, view, run.clone())?;
                self.store(at, view, run)
            }
            (Action::DontNeed, _) => {
                self.advise(at, view, run.clone(), Advice::DontNeed)?;
                self.holdings[at].apply(view, run.clone(), Op::DontNeed);
                self.note(at, view, run.clone(), evidence::Op::Drop);
                self.verify(at, view, run)
            }
            (Action::Free, Backing::PrivateAnon) => {
                self.advise(at, view, run.clone(), Advice::Free)?;
                self.holdings[at].apply(view, run.clone(), Op::Free);
                self.note(at, view, run, evidence::Op::Free);
                Ok(())
            }
            (Action::Punch, Backing::Shared | Backing::PrivateFile) => self.punch(at, run),
            (Action::Truncate, Backing::Shared | Backing::PrivateFile) => self.truncate(at, run.start),
            (Action::Move, Backing::PrivateAnon) => self.remap(at),
            (Action::Arm, Backing::PrivateAnon) => self.arm(at, run),
            (Action::Collapse, _) => self.collapse(at, view),
            (Action::Refault, _) => self.refault(at, view, run.start.is_multiple_of(2)),
            (Action::PageOut, _) => {
                self.advise(at, view, run.clone(), Advice::PageOut)?;
                self.note(at, view, run, evidence::Op::PageOut);
                Ok(())
            }
            (Action::Protect, _) => self.protect(at, view, run),
            (Action::ReadBack, Backing::Shared | Backing::PrivateFile) => self.read_back(at, run),
            (Action::Fork, _) => self.fork(),
            (Action::Verify, _)
            | (Action::Free, Backing::Shared | Backing::PrivateFile)
            | (Action::Punch | Action::Truncate | Action::ReadBack, Backing::PrivateAnon)
            | (Action::Move | Action::Arm, Backing::Shared | Backing::PrivateFile) => {
                self.verify(at, view, run)
            }
        }
    }

    /// What is done instead of changing a file that is not to be changed.
    fn allowed(&self, action: Action, at: usize, backing: Backing) -> Action {
        let is_file = matches!(self.holdings[at].region.kind, Kind::File(_));
        let changes = matches!(action, Action::Punch | Action::Truncate)
            || (action == Action::Store && backing == Backing::Shared);
        if is_file && changes && !self.pressure.params.file_writes {
            Action::ReadBack
        } else {
            action
        }
    }

    /// The places of some pages of a view.
    fn places(&self, at: usize, view: usize, run: &Range<usize>) -> Range<usize> {
        let start = self.holdings[at].place(view).start;
        start + run.start..start + run.end
    }

    fn advise(&mut self, at: usize, view: usize, run: Range<usize>, advice: Advice) -> Result<(), SysError> {
        if run.len() < HUGE_PAGES && matches!(advice, Advice::DontNeed | Advice::Free) {
            self.holdings[at].broken = true;
        }
        let places = self.places(at, view, &run);
        self.pressure.stage.space.advise(places, advice)
    }

    fn note(&mut self, at: usize, view: usize, run: Range<usize>, op: evidence::Op) {
        for page in run {
            let name = self.holdings[at].views[view].name(page);
            self.history.note(op, name.page, name.generation, None);
        }
    }

    /// Stores the next generation to each page; what is mapped read-only is written to its file.
    fn store(&mut self, at: usize, view: usize, run: Range<usize>) -> Result<(), Stopped> {
        let region = self.holdings[at].region;
        match &region.kind {
            Kind::File(file) if self.holdings[at].views[view].states[0].backing == Backing::Shared => {
                let mut pages = Vec::with_capacity(run.len());
                for page in run.clone() {
                    let name = self.holdings[at].views[view].next(page);
                    let stamp = self.pressure.origin.stamp(name.page, name.generation);
                    stamp.write(&mut self.buffer);
                    pages.push(self.buffer.clone());
                }
                file.write(run.start, &pages)?;
                for page in run {
                    let name = self.holdings[at].views[view].name(page);
                    self.wrote(at, view, page, name);
                }
                Ok(())
            }
            Kind::File(_) | Kind::Shared(_) | Kind::Anonymous => {
                self.store_mapped(at, view, run);
                Ok(())
            }
        }
    }

    /// Tells the model and the counters of one store.
    fn wrote(&mut self, at: usize, view: usize, page: usize, name: Name) {
        self.holdings[at].stored(view, page, name);
        self.history
            .note(evidence::Op::Rewrite, name.page, name.generation, None);
        self.pressure.phase.count(Counter::PagesWritten, 1);
    }

    fn store_mapped(&mut self, at: usize, view: usize, run: Range<usize>) {
        for page in run {
            let place = self.places(at, view, &(page..page + 1)).start;
            let name = self.holdings[at].views[view].next(page);
            let stamp = self.pressure.origin.stamp(name.page, name.generation);
            stamp.write(&mut self.buffer);
            self.lane.note_page(place as u32, name.generation);
            self.pressure.stage.space.write(place, &self.buffer);
            self.wrote(at, view, page, name);
        }
    }

    /// Reads the file of a region as a file.
    fn read_back(&mut self, at: usize, run: Range<usize>) -> Result<(), Stopped> {
        for page in run {
            for (how, data) in self.holdings[at].region.read_file(page)? {
                let judged = self.holdings[at].views[0].states[page].read(self.pressure.origin, &data);
                self.judged(at, 0, page, how, Entry::default(), judged)?;
            }
        }
        Ok(())
    }

    fn punch(&mut self, at: usize, run: Range<usize>) -> Result<(), Stopped> {
        self.holdings[at].region.punch(run.clone())?;
        self.holdings[at].apply_to_file(run.clone(), Op::Punch);
        for view in 0..self.holdings[at].views.len() {
            self.note(at, view, run.clone(), evidence::Op::Punch);
            self.verify(at, view, run.clone())?;
        }
        Ok(())
    }

    fn truncate(&mut self, at: usize, end: usize) -> Result<(), Stopped> {
        let gone = end..HUGE_PAGES;
        let region = self.holdings[at].region;
        region.resize(end)?;
        self.holdings[at].apply_to_file(gone.clone(), Op::Truncate);
        for view in 0..self.holdings[at].views.len() {
            self.note(at, view, gone.clone(), evidence::Op::Truncate);
            self.verify(at, view, end..HUGE_PAGES.min(end + BEYOND_PAGES))?;
        }
        region.resize(HUGE_PAGES)?;
        self.holdings[at].apply_to_file(gone.clone(), Op::Extend);
        for view in 0..self.holdings[at].views.len() {
            self.verify(at, view, end..HUGE_PAGES.min(end + RUN_PAGES_MAX))?;
        }
        Ok(())
    }

    fn remap(&mut self, at: usize) -> Result<(), Stopped> {
        let region = self.holdings[at].region;
        let to = region.elsewhere();
        self.pressure.stage.space.remap(region.main(), to)?;
        region.moved_to(to);
        let moved = Op::Remap {
            keeps_userfaults: false,
        };
        self.holdings[at].apply(0, 0..HUGE_PAGES, moved);
        self.note(at, 0, 0..1, evidence::Op::Move);
        let run = run_of_pages(&mut self.rng, HUGE_PAGES);
        self.verify(at, 0, run)
    }

    /// Arms a region for missing pages, empties some and looks: whoever collapses it must leave holes alone.
    fn arm(&mut self, at: usize, run: Range<usize>) -> Result<(), Stopped> {
        self.settle_freed(at);
        // A hole of before may have been filled until now.
        self.holdings[at].apply(0, 0..HUGE_PAGES, Op::Collapse);
        let place = self.holdings[at].place(0);
        let armed = Armed::missing(&self.pressure.stage.space, &place)?;
        let missing = model::Armed {
            missing: true,
            ..model::Armed::default()
        };
        self.holdings[at].apply(0, 0..HUGE_PAGES, Op::Register(missing));
        self.advise(at, 0, run.clone(), Advice::DontNeed)?;
        self.holdings[at].apply(0, run.clone(), Op::DontNeed);
        self.note(at, 0, run.clone(), evidence::Op::Drop);
        let _refused = self.pressure.stage.space.hint(place, Advice::Collapse);
        self.verify(at, 0, run)?;
        let other = run_of_pages(&mut self.rng, HUGE_PAGES);
        self.verify(at, 0, other)?;
        drop(armed);
        self.holdings[at].apply(0, 0..HUGE_PAGES, Op::Unregister);
        Ok(())
    }

    /// Stores to every lazily freed page what it holds: from then on it is that.
    fn settle_freed(&mut self, at: usize) {
        let start = self.holdings[at].place(0).start;
        for page in 0..HUGE_PAGES {
            if matches!(self.holdings[at].views[0].states[page].content, Content::Freed(_)) {
                let space = &self.pressure.stage.space;
                space.poke(start + page, 0, space.peek(start + page, 0));
                self.holdings[at].apply(0, page..page + 1, Op::Touch);
            }
        }
    }

    fn collapse(&mut self, at: usize, view: usize) -> Result<(), Stopped> {
        let places = self.holdings[at].place(view);
        // It may fail for many reasons, and preserves content in any case.
        let done = self.pressure.stage.space.hint(places, Advice::Collapse);
        self.note(at, view, 0..1, evidence::Op::Collapse);
        let was_broken = std::mem::replace(&mut self.holdings[at].broken, !done);
        if done && was_broken && self.holdings[at].views[view].states[0].backing == Backing::PrivateAnon {
            self.holdings[at].region.collapsed();
        }
        let run = run_of_pages(&mut self.rng, HUGE_PAGES);
        self.verify(at, view, run)
    }

    /// From now on pages one by one, or huge ones again.
    fn refault(&mut self, at: usize, view: usize, small: bool) -> Result<(), Stopped> {
        let advice = if small {
            Advice::NoHugePage
        } else {
            Advice::HugePage
        };
        self.advise(at, view, 0..HUGE_PAGES, advice)?;
        if small && self.holdings[at].views[view].states[0].backing == Backing::Shared {
            // What is shared keeps its content, and comes back by small pages.
            self.advise(at, view, 0..HUGE_PAGES, Advice::DontNeed)?;
        }
        let run = run_of_pages(&mut self.rng, HUGE_PAGES);
        self.verify(at, view, run)
    }

    fn protect(&mut self, at: usize, view: usize, run: Range<usize>) -> Result<(), Stopped> {
        let places = self.places(at, view, &run);
        self.holdings[at].broken = true;
        self.pressure.stage.space.protect(places.clone(), false)?;
        self.verify(at, view, run)?;
        Ok(self.pressure.stage.space.protect(places, true)?)
    }

    /// Forks a child and judges what it saw: it has everything as it was.
    fn fork(&mut self) -> Result<(), Stopped> {
        let mut asked = Vec::with_capacity(FORK_PAGES);
        for _ in 0..FORK_PAGES {
            let at = below(&mut self.rng, self.holdings.len());
            let view = below(&mut self.rng, self.holdings[at].views.len());
            asked.push((at, view, below(&mut self.rng, HUGE_PAGES)));
        }
        let places: Vec<_> = asked
            .iter()
            .map(|&(at, view, page)| self.holdings[at].place(view).start + page)
            .collect();
        let copies = forked::copies(&self.pressure.stage.space, &places)?;
        for ((at, view, page), copy) in asked.into_iter().zip(copies) {
            let (parent, child) = self.holdings[at].views[view].states[page].fork(false);
            self.holdings[at].views[view].states[page] = parent;
            let judged = match copy {
                Some(data) => child.read(self.pressure.origin, &data),
                None => child.fault(self.pressure.origin, Fault::Sigbus),
            };
            self.judged(at, view, page, "in a forked child", Entry::default(), judged)?;
        }
        Ok(())
    }

    /// Verifies some pages of a view.
    fn verify(&mut self, at: usize, view: usize, run: Range<usize>) -> Result<(), Stopped> {
        let mut entries = [Entry::default(); HUGE_PAGES];
        let places = self.places(at, view, &run);
        self.pagemap
            .read(&self.pressure.stage.space, places.clone(), &mut entries)?;
        for ((page, place), entry) in run.zip(places).zip(entries) {
            let name = self.holdings[at].views[view].name(page);
            self.history
                .note(evidence::Op::Verify, name.page, name.generation, entry.slot());
            if self.holdings[at].views[view].may_fault(page) {
                self.verify_carefully(at, view, page, place, entry)?;
                continue;
            }
            self.lane.note_page(place as u32, name.generation);
            self.pressure.stage.space.read(place, &mut self.buffer);
            let judged = self.holdings[at].views[view].states[page].read(self.pressure.origin, &self.buffer);
            if let Some(state) = self.judged(at, view, page, "by its owner", entry, judged)? {
                self.holdings[at].views[view].states[page] = state;
            }
        }
        Ok(())
    }

    /// Looks where a fault may be right. Past the end of a file a huge page across it may show zeros until
    /// it is split: what is read there settles nothing.
    fn verify_carefully(
        &mut self,
        at: usize,
        view: usize,
        page: usize,
        place: usize,
        entry: Entry,
    ) -> Result<(), Stopped> {
        let is_beyond = self.holdings[at].views[view].is_beyond(page);
        let state = self.holdings[at].views[view].states[page].apply(Op::Collapse);
        let judged = match self.peek.read(&self.pressure.stage.space, place)? {
            Some(data) => state.read(self.pressure.origin, &data),
            None => state.fault(self.pressure.origin, Fault::Sigbus),
        };
        let how = if is_beyond {
            "past the end of its file"
        } else {
            "where missing pages are armed"
        };
        let settled = self.judged(at, view, page, how, entry, judged)?;
        if let Some(state) = settled.filter(|_| !is_beyond) {
            self.holdings[at].views[view].states[page] = state;
        }
        Ok(())
    }

    /// Counts a reading that is right, tells one that is wrong.
    fn judged(
        &mut self,
        at: usize,
        view: usize,
        page: usize,
        how: &str,
        entry: Entry,
        judged: Result<PageState, Box<Mismatch>>,
    ) -> Result<Option<PageState>, Stopped> {
        match judged {
            Ok(state) => {
                let collapses = self.holdings[at].region.collapses();
                let came_back = self.holdings[at].views[view].look(page, collapses) || entry.swapped();
                let phase = &self.pressure.phase;
                phase.count(Counter::PagesVerified, 1);
                phase.count(Counter::RoundTrips, u64::from(came_back));
                Ok(Some(state))
            }
            Err(mismatch) => {
                let place = self.holdings[at].place(view).start + page;
                let after = self.pagemap.entry(&self.pressure.stage.space, place).ok();
                let whose = self.holdings[at].views[view].words();
                let place = format!("page {page} of {whose} (place {place}), read {how}");
                self.pressure
                    .found(*mismatch, place, (entry, after), &self.history);
                Err(Stopped::Found)
            }
        }
    }

    /// Verifies every page; goes on after a mismatch.
    ///
    /// # Errors
    /// When a call failed that must not.
    pub fn verify_all(&mut self) -> Result<(), CaseError> {
        for at in 0..self.holdings.len() {
            for view in 0..self.holdings[at].views.len() {
                match self.verify(at, view, 0..HUGE_PAGES) {
                    Ok(()) | Err(Stopped::Found) => {}
                    Err(Stopped::Case(e)) => return Err(e),
                }
                self.lane.beat();
            }
        }
        Ok(())
    }
}
