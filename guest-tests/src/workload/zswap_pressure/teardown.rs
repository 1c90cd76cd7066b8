//! The end: what must agree at rest, every page once more, and nothing left behind.

use super::pressure::Pressure;
use super::stage::Stage;
use crate::sys::arena::{Arena, PAGE_WORDS};
use crate::sys::pagemap::{Entry, PAGES_PER_READ_MAX, Pagemap};
use crate::sys::{cgroup, zswap};
use crate::workload::evidence::{History, Op};
use crate::workload::{CaseError, Env, rest};

/// Checks what must agree now that no thread runs, switches swap off and verifies every page.
///
/// # Errors
/// When a call failed that must not.
pub fn check(pressure: &Pressure<'_>) -> Result<(), CaseError> {
    let (env, stage) = (pressure.phase.env, pressure.stage);
    let arenas: Vec<&Arena> = std::iter::once(&stage.arena).chain(&stage.cold).collect();
    rest::conservation(env, &arenas, 0, &[&stage.top])?;
    env.lane.beat();
    stage.areas.off_if_it_fits(env)?;
    verify(pressure, &stage.arena, 0)?;
    // Cold pages were never touched again, and no slot of theirs was ever to be written.
    match &stage.cold {
        Some(cold) => verify(pressure, cold, stage.arena.pages()),
        None => Ok(()),
    }
}

/// Verifies every page of some memory, whose first page the ledger knows as `first`.
fn verify(pressure: &Pressure<'_>, memory: &Arena, first: usize) -> Result<(), CaseError> {
    let (env, stage) = (pressure.phase.env, pressure.stage);
    let pagemap = Pagemap::open()?;
    let mut data = Box::new([0u64; PAGE_WORDS]);
    let mut entries = [Entry::default(); PAGES_PER_READ_MAX];
    let mut history = History::default();
    for start in (0..memory.pages()).step_by(PAGES_PER_READ_MAX) {
        let range = start..memory.pages().min(start + PAGES_PER_READ_MAX);
        pagemap.read(memory, range.clone(), &mut entries)?;
        for (page, entry) in range.zip(entries) {
            let number = (first + page) as u32;
            let generation = stage.ledger.generation(number);
            env.lane.note_page(number, generation);
            memory.read(page, &mut data);
            history.note(Op::Verify, number, generation, entry.slot());
            if let Err(mismatch) = stage.ledger.check_owner(number, &data) {
                pressure.found(*mismatch, entry, pagemap.entry(memory, page).ok(), &history);
            }
        }
        env.lane.beat();
    }
    Ok(())
}

/// Unmaps everything and checks that nothing is left: first swap, then what hangs on it.
///
/// # Errors
/// When a call failed that must not.
pub fn end(env: &Env<'_>, stage: Stage) -> Result<(), CaseError> {
    let Stage {
        arena,
        cold,
        arena_group,
        filler_group,
        areas,
        ..
    } = stage;
    drop((arena, cold));
    areas.off(env)?;
    env.lane.beat();
    rest::settle(env, "pages in zswap", 0, || Ok(zswap::pool()?.stored_pages))?;
    rest::settle(env, "bytes in zswap's pool", 0, || Ok(zswap::pool()?.bytes))?;
    rest::settle(env, "bytes of swap charged to the arena", 0, || {
        Ok(arena_group.number("memory.swap.current")?)
    })?;
    rest::settle(env, "bytes of swap charged to the cold pages", 0, || {
        Ok(filler_group.number("memory.swap.current")?)
    })?;
    cgroup::leave()?;
    Ok(())
}
