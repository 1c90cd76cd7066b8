//! A meddler: interferes with its mover's pages from another CPU. It keeps all content, except in a
//! duel, where it tells what it did.

use super::duel::{At, FILLS_MAX, Ring, Task};
use super::script::{self, Guess, Step};
use super::stage::{BYSTANDERS, Bystander, Pair, Stage};
use crate::catalogue::UffdMove;
use crate::model::{Act, Name, Side};
use crate::sys::arena::{Advice, Arena, PageWords};
use crate::sys::board::Lane;
use crate::sys::memory::{self, Access, Memory};
use crate::sys::pagemap::Pagemap;
use crate::sys::proc;
use crate::sys::racepoint::Hold;
use crate::workload::evidence::{History, Op};
use crate::workload::phase::{Phase, Stopped};
use crate::workload::tight;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::ops::Range;
use std::time::Duration;

/// Longest pause between two strikes outside of duels, in microseconds.
const NAP_US_MAX: u64 = 300;
/// How often the preparation of a duel asks for what it wants.
const TRIES: usize = 6;
/// What one request to reclaim asks for.
const SQUEEZE_BYTES: u64 = 4 << 10;
/// How long a page is given to be written before it is asked to leave the swap cache, in nanoseconds.
const WRITTEN_NS: u64 = 250_000;
/// Latest start of the meddling after the mover's, in nanoseconds.
const LATE_NS_MAX: u64 = 150_000;

/// One meddler.
pub struct Meddler<'a, 'p> {
    phase: &'a Phase<'p>,
    stage: &'a Stage,
    pair: Pair,
    ring: &'a Ring,
    lane: &'a Lane,
    /// It interferes between duels too.
    roams: bool,
    holds: Vec<Hold>,
    rng: Pcg64Mcg,
    memory: Memory,
    pagemap: Pagemap,
    history: History,
    page: Box<PageWords>,
}

/// One duel, from the meddler's side.
struct Meddling {
    task: Task,
    acts: Vec<Act>,
    fills: [u32; 2],
}

impl<'a, 'p> Meddler<'a, 'p> {
    /// Makes a pair's meddler; to be called in its thread. The first pair's has the racepoints that hold.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn new(
        phase: &'a Phase<'p>,
        stage: &'a Stage,
        pair: Pair,
        ring: &'a Ring,
        lane: &'a Lane,
        params: &UffdMove,
    ) -> Result<Self, Stopped> {
        let case = &phase.env.job.case;
        let held = case.racepoints.iter().filter(|arm| arm.hold_us_max > 0);
        let holds = held
            .filter(|_| pair.number == 0)
            .map(|arm| Hold::open(&arm.name, arm.hold_us_max))
            .collect::<Result<_, _>>()?;
        let seed = case.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Ok(Self {
            phase,
            stage,
            pair,
            ring,
            lane,
            roams: params.meddle,
            holds,
            rng: Pcg64Mcg::seed_from_u64(seed.wrapping_add(0x1000 + pair.number as u64)),
            memory: Memory::open()?,
            pagemap: Pagemap::open()?,
            history: History::default(),
            page: memory::page(),
        })
    }

    /// Meddles until the pressure is over.
    ///
    /// # Errors
    /// When it ended early.
    pub fn run(&mut self) -> Result<(), Stopped> {
        while !self.ring.is_over() {
            let nap = Duration::from_micros(self.rng.next_u64() % NAP_US_MAX);
            if let Some(task) = self.ring.next(nap) {
                self.duel(task)?;
            } else if self.roams {
                self.roam()?;
            }
            self.lane.beat();
        }
        Ok(())
    }

    fn below(&mut self, n: usize) -> usize {
        self.rng.next_u64() as usize % n.max(1)
    }

    /// The pair's own pages on each side.
    fn own(&self) -> Range<usize> {
        self.pair.number * self.pair.places..(self.pair.number + 1) * self.pair.places
    }

    fn arena(&self, at: At) -> &'a Arena {
        &self.stage.sides[at.0]
    }

    /// One strike outside of a duel: all content is kept.
    fn roam(&mut self) -> Result<(), Stopped> {
        let side = self.below(2);
        let own = self.own();
        let from = own.start + self.below(own.len());
        let some = from..own.end.min(from + 1 + self.below(4));
        let arena = &self.stage.sides[side];
        match self.rng.next_u32() % 8 {
            0..3 => {
                self.memory.touch(arena, from)?;
            }
            3..6 => arena.advise(some, Advice::PageOut)?,
            6 => arena.advise(some, Advice::WillNeed)?,
            _ => arena.advise(some, Advice::Cold)?,
        }
        Ok(())
    }

    fn duel(&mut self, task: Task) -> Result<(), Stopped> {
        self.prepare(&task)?;
        let guess = self.look(&task)?;
        let script = script::draw(&mut self.rng, guess);
        let mut meddling = Meddling {
            task,
            acts: Vec::new(),
            fills: [0; 2],
        };
        for at in 0..self.holds.len() {
            let times = 1 + u32::from(self.rng.next_u32().is_multiple_of(4));
            if !self.rng.next_u32().is_multiple_of(8) {
                self.holds[at].arm(task.tid, times)?;
            }
        }
        if !self.ring.ready() {
            return Ok(());
        }
        if self.holds.is_empty() {
            self.meddle_freely(&mut meddling, &script)?;
        } else {
            self.meddle_held(&mut meddling, &script)?;
        }
        self.ring.report(meddling.acts);
        self.aftermath(task.bystander)
    }

    /// Brings things where a duel is worth it: the page out (and, mostly, out of the swap cache too), the
    /// bystander in, no slot free.
    fn prepare(&mut self, task: &Task) -> Result<(), Stopped> {
        if self.rng.next_u32().is_multiple_of(8) {
            return Ok(());
        }
        let (side, page) = task.source;
        let arena = &self.stage.sides[side];
        let own = self.own();
        for _ in 0..TRIES {
            arena.advise(page..page + 1, Advice::PageOut)?;
            if !self.pagemap.entry(arena, page)?.present() {
                break;
            }
            // No slot was free: another page leaves its own.
            let other = own.start + self.below(own.len());
            self.memory.touch(&self.stage.sides[1 - side], other)?;
            self.memory.touch(arena, other)?;
        }
        self.memory
            .touch(self.stage.bystander(task.bystander), task.bystander.page)?;
        if !self.rng.next_u32().is_multiple_of(4) {
            for side in &self.stage.sides {
                side.advise(own.clone(), Advice::PageOut)?;
            }
        }
        if !self.rng.next_u32().is_multiple_of(3) {
            for _ in 0..TRIES {
                spin_ns(WRITTEN_NS);
                let mut resident = [0];
                arena.resident(page..page + 1, &mut resident)?;
                if resident[0] == 0 {
                    break;
                }
                self.stage.group.reclaim(SQUEEZE_BYTES)?;
            }
        }
        Ok(())
    }

    /// Where things are before the duel.
    fn look(&mut self, task: &Task) -> Result<Guess, Stopped> {
        let source = self.pagemap.entry(self.arena(task.source), task.source.1)?;
        let bystander = self.stage.bystander(task.bystander);
        let bystander = self.pagemap.entry(bystander, task.bystander.page)?;
        Ok(Guess {
            source_in: source.present(),
            source_gone: false,
            bystander_in: bystander.present(),
            free_slots: 0,
        })
    }

    /// Steps one after the other, from some moment near the mover's start on, mostly until it is done.
    fn meddle_freely(&mut self, meddling: &mut Meddling, script: &[Vec<Step>]) -> Result<(), Stopped> {
        if self.rng.next_u32().is_multiple_of(2) {
            spin_ns(self.rng.next_u64() % LATE_NS_MAX);
        }
        let goes_on = self.rng.next_u32().is_multiple_of(4);
        for step in script.iter().flatten() {
            self.step(meddling, *step)?;
            if !goes_on && !self.ring.is_moving() {
                break;
            }
        }
        Ok(())
    }

    /// A part of the script each time that the mover is held; then it is let go.
    fn meddle_held(&mut self, meddling: &mut Meddling, script: &[Vec<Step>]) -> Result<(), Stopped> {
        let mut parts = script.iter();
        while self.ring.is_moving() {
            for at in 0..self.holds.len() {
                if !self.holds[at].is_holding()? {
                    continue;
                }
                // Half of the time is for the steps: the last one may take long.
                let until = proc::uptime_ns() + u64::from(self.holds[at].timeout_us()) * 500;
                for step in parts.next().into_iter().flatten() {
                    if proc::uptime_ns() > until {
                        break;
                    }
                    self.step(meddling, *step)?;
                }
                self.holds[at].go()?;
            }
        }
        for hold in &self.holds {
            hold.disarm()?;
        }
        Ok(())
    }

    /// Takes one step. While a mover is held, nothing here may wait for a grace period of RCU.
    fn step(&mut self, meddling: &mut Meddling, step: Step) -> Result<(), Stopped> {
        let Task {
            source,
            destination,
            bystander,
            ..
        } = meddling.task;
        let advise = |at: At, advice| self.arena(at).advise(at.1..at.1 + 1, advice);
        match step {
            Step::ReadSource => self.read(meddling, Side::Source)?,
            Step::ReadDestination => self.read(meddling, Side::Destination)?,
            Step::PageOutSource => advise(source, Advice::PageOut)?,
            Step::PageOutDestination => advise(destination, Advice::PageOut)?,
            Step::WillNeedSource => advise(source, Advice::WillNeed)?,
            Step::DropSource => {
                advise(source, Advice::DontNeed)?;
                meddling.acts.push(Act::Drop(Side::Source));
            }
            Step::FillSource => self.fill(meddling, Side::Source),
            Step::FillDestination => self.fill(meddling, Side::Destination),
            Step::ReadBystander => self.verify(bystander)?,
            Step::PageOutBystander => self.page_out(bystander)?,
            Step::Squeeze => {
                self.stage.group.reclaim(SQUEEZE_BYTES)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, meddling: &mut Meddling, side: Side) -> Result<(), Stopped> {
        let at = match side {
            Side::Source => meddling.task.source,
            Side::Destination => meddling.task.destination,
        };
        let access = self.memory.read(&self.stage.sides[at.0], at.1, &mut self.page)?;
        let data = (access == Access::Done).then(|| self.page.clone());
        meddling.acts.push(Act::Read(side, data));
        Ok(())
    }

    fn fill(&mut self, meddling: &mut Meddling, side: Side) {
        let at = match side {
            Side::Source => meddling.task.source,
            Side::Destination => meddling.task.destination,
        };
        let (used, first) = (
            &mut meddling.fills[side as usize],
            meddling.task.names[side as usize],
        );
        if *used == FILLS_MAX {
            return;
        }
        let name = Name {
            generation: first.generation + *used,
            ..first
        };
        *used += 1;
        self.stage
            .origin()
            .stamp(name.page, name.generation)
            .write(&mut self.page);
        let reply = self.stage.uffd.copy(self.arena(at), at.1, &self.page, false);
        meddling.acts.push(Act::Fill(side, name, reply.errno));
    }

    fn page_out(&self, which: Bystander) -> Result<(), Stopped> {
        let arena = self.stage.bystander(which);
        Ok(arena.advise(which.page..which.page + 1, Advice::PageOut)?)
    }

    /// Reads a bystander, which nobody else touches.
    fn verify(&mut self, which: Bystander) -> Result<(), Stopped> {
        let number = self.stage.bystander_number(which);
        let arena = self.stage.bystander(which);
        let generation = self.stage.ledger.generation(number);
        let before = self.pagemap.entry(arena, which.page)?;
        self.lane.note_page(number, generation);
        arena.read(which.page, &mut self.page);
        self.history.note(Op::Verify, number, generation, before.slot());
        match self.stage.ledger.check_owner(number, &self.page) {
            Ok(_) => Ok(()),
            Err(mismatch) => {
                let after = self.pagemap.entry(arena, which.page).ok();
                Err(self
                    .phase
                    .mismatch(*mismatch, number, (before, after), &self.history))
            }
        }
    }

    /// After a duel the bystander is unmapped in one way or another, and verified: a folio that was
    /// taken for another one shows when it leaves its page table.
    fn aftermath(&mut self, which: Bystander) -> Result<(), Stopped> {
        let arena = self.stage.bystander(which);
        if which.shared && self.rng.next_u32().is_multiple_of(2) {
            arena.advise(which.page..which.page + 1, Advice::DontNeed)?;
        } else {
            self.page_out(which)?;
        }
        self.verify(which)?;
        if self.rng.next_u32().is_multiple_of(16) {
            let number = self.stage.bystander_number(which);
            tight::stamp(arena, which.page, &self.stage.ledger, number, &mut self.page);
        }
        Ok(())
    }
}

/// Waits on the CPU for a time that is too short to sleep.
fn spin_ns(ns: u64) {
    let until = proc::uptime_ns() + ns;
    while proc::uptime_ns() < until {
        std::hint::spin_loop();
    }
}

/// A pair's bystanders, by number.
pub fn bystander(pair: Pair, n: usize) -> Bystander {
    Bystander {
        shared: n % 2 == 1,
        page: pair.number * BYSTANDERS + n / 2 % BYSTANDERS,
    }
}
