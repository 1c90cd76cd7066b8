//! The end: what must agree at rest, pages that must still be able to leave, every page once more, and
//! nothing left behind.

use super::mover::Mover;
use super::stage::{Bystander, Stage};
use crate::model::{Content, Holds, PageState};
use crate::protocol::Seen;
use crate::sys::arena::{Advice, Arena, PAGE_WORDS};
use crate::sys::pagemap::Pagemap;
use crate::sys::{cgroup, proc, process, zswap};
use crate::workload::evidence::History;
use crate::workload::phase::{Phase, Stopped};
use crate::workload::{CaseError, Env, rest};
use std::collections::BTreeMap;

/// How often a page is asked to leave before it counts as one that can't.
const ASKED: usize = 8;
/// Pause between two rounds of asking: what is being written, or read by somebody, is let go.
const PAUSE_MS: u32 = 20;

/// Checks what must agree now that no thread runs, switches swap off and verifies every page.
///
/// # Errors
/// When a call failed that must not.
pub fn check(phase: &Phase<'_>, stage: &Stage, movers: &mut [Mover<'_>]) -> Result<(), CaseError> {
    let env = phase.env;
    for mover in movers.iter_mut() {
        mover.child = None;
    }
    let [here, there] = &stage.sides;
    let private: Vec<&Arena> = [here, there, &stage.bystanders[0]]
        .into_iter()
        .chain(stage.cold.as_ref())
        .collect();
    let shared = stage.bystanders[1].pages() as u64;
    rest::conservation(env, &private, shared, &[&stage.top])?;
    env.lane.beat();
    if let Some(cold) = &stage.cold {
        verify(phase, stage, cold, stage.first_cold())?;
        cold.advise(0..cold.pages(), Advice::DontNeed)?;
    }
    reclaimable(phase, stage, movers)?;
    stage.areas.off_if_it_fits(env)?;
    for mover in movers.iter_mut() {
        // The finding, if any, is told; the case goes on to its end.
        phase.keep(mover.verify_all(phase));
        env.lane.beat();
    }
    for shared in [false, true] {
        let which = Bystander { shared, page: 0 };
        verify(
            phase,
            stage,
            stage.bystander(which),
            stage.bystander_number(which),
        )?;
    }
    phase.broken()
}

impl Mover<'_> {
    /// Verifies every place once more.
    fn verify_all(&mut self, phase: &Phase<'_>) -> Result<(), Stopped> {
        let lane = self.env.lane;
        (0..self.states.len()).try_for_each(|place| self.verify(phase, lane, place))
    }

    /// The pages that must be able to leave, as arena and page: those that surely hold a stamp.
    fn must_leave(&self) -> Vec<(&Arena, usize)> {
        let surely = |s: &PageState| matches!(s.content, Content::Is(Holds::Stamp(_)));
        let places = (0..self.states.len()).filter(|&place| surely(&self.states[place]));
        places.map(|place| self.at(place)).collect()
    }
}

/// Asks every page that holds data to leave, again and again, with every CPU's batches drained and slots
/// to spare. One that never does while a new page in the same batch goes out each time has lost its way
/// back to its page table.
fn reclaimable(phase: &Phase<'_>, stage: &Stage, movers: &[Mover<'_>]) -> Result<(), CaseError> {
    let mut pages: Vec<(&Arena, usize)> = movers.iter().flat_map(Mover::must_leave).collect();
    pages.extend((0..stage.bystanders[0].pages()).map(|page| (&stage.bystanders[0], page)));
    let control = &stage.control;
    let pagemap = Pagemap::open()?;
    let mut went_out = 0;
    for _ in 0..ASKED {
        control.poke(0, 0, proc::uptime_ns() | 1);
        for cpu in 0..proc::cpus() {
            process::pin(cpu)?;
            control.advise(0..1, Advice::Cold)?;
        }
        let mut stay = Vec::with_capacity(pages.len());
        for (arena, page) in pages {
            arena.advise(page..page + 1, Advice::PageOut)?;
            if pagemap.entry(arena, page)?.present() {
                stay.push((arena, page));
            }
        }
        control.advise(0..1, Advice::PageOut)?;
        went_out += usize::from(pagemap.entry(control, 0)?.swapped());
        pages = stay;
        phase.env.lane.beat();
        if pages.is_empty() {
            break;
        }
        process::pause_ms(PAUSE_MS)?;
    }
    process::unpin()?;
    if pages.is_empty() || went_out < ASKED {
        return Ok(());
    }
    let mut context = BTreeMap::new();
    for (arena, page) in &pages {
        let entry = pagemap.entry(arena, *page)?.to_string();
        context.insert(format!("address {:#x}", arena.address(*page)), entry);
    }
    let left = pages.len() as u64;
    let what = "pages that can't be swapped out any more".to_owned();
    let title = format!("{left} {what}, asked {ASKED} times, while another page went out each time");
    let _ = phase.find(Seen::Leak { what, left }, title, context);
    Ok(())
}

/// Verifies memory that the ledger knows from page `first` on.
fn verify(phase: &Phase<'_>, stage: &Stage, memory: &Arena, first: u32) -> Result<(), CaseError> {
    let pagemap = Pagemap::open()?;
    let mut data = Box::new([0u64; PAGE_WORDS]);
    for page in 0..memory.pages() {
        let number = first + page as u32;
        let entry = pagemap.entry(memory, page)?;
        phase.env.lane.note_page(number, stage.ledger.generation(number));
        memory.read(page, &mut data);
        if let Err(mismatch) = stage.ledger.check_owner(number, &data) {
            let after = pagemap.entry(memory, page).ok();
            let _ = phase.mismatch(*mismatch, number, (entry, after), &History::default());
        }
        if page.is_multiple_of(256) {
            phase.env.lane.beat();
        }
    }
    Ok(())
}

/// Unmaps everything and checks that nothing is left: first swap, then what hangs on it.
///
/// # Errors
/// When a call failed that must not.
pub fn end(env: &Env<'_>, stage: Stage) -> Result<(), CaseError> {
    let Stage {
        sides,
        bystanders,
        cold,
        uffd,
        areas,
        group,
        filler,
        ..
    } = stage;
    drop((uffd, sides, bystanders, cold));
    areas.off(env)?;
    env.lane.beat();
    if zswap::observable() {
        rest::settle(env, "pages in zswap", 0, || Ok(zswap::pool()?.stored_pages))?;
    }
    for (group, what) in [
        (&group, "bytes of swap charged to the pages"),
        (&filler, "bytes of swap charged to the cold pages"),
    ] {
        rest::settle(env, what, 0, || Ok(group.number("memory.swap.current")?))?;
    }
    Ok(cgroup::leave()?)
}
