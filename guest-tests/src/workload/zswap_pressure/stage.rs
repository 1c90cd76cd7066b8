//! Set-up: knobs, a small swap area filled with cold pages, control groups, the arena and its ledger.

use crate::catalogue::{Counter, ZswapPressure};
use crate::model::{Fill, FillPolicy, Ledger};
use crate::sys::arena::{Advice, Arena, PAGE_LEN, PAGE_WORDS};
use crate::sys::cgroup::Cgroup;
use crate::sys::knob::Knob;
use crate::sys::pagemap::Pagemap;
use crate::sys::vmstat::Vmstat;
use crate::sys::{process, zswap};
use crate::workload::areas::Areas;
use crate::workload::engine::Engine;
use crate::workload::evidence::Slots;
use crate::workload::phase::STACK_LEN;
use crate::workload::tight::{FILL_CHUNK, fill, loosen, refill, stamp};
use crate::workload::{CGROUP, CaseError, Env, beside};

/// How often the swap cache is asked for what it keeps, and how long it may write in between.
const RECLAIM_TRIES: usize = 10;
const RECLAIM_PAUSE_MS: u32 = 10;
/// Bytes that a thread takes, what the kernel keeps for it included.
const THREAD_LEN: usize = STACK_LEN + (48 << 10);
/// Antagonists, at most.
const ANTAGONISTS_MAX: u64 = 6;

/// Everything that the pressure stands on.
pub struct Stage {
    /// The memory under test.
    pub arena: Arena,
    /// What it must hold, and after it the cold pages.
    pub ledger: Ledger,
    /// Memory that fills the swap area and is left alone.
    pub cold: Option<Arena>,
    /// What runs beside the workers, where anything does.
    pub engine: Option<Engine>,
    /// Which pages were seen in which slot.
    pub slots: Slots,
    /// The swap areas.
    pub areas: Areas,
    /// Charged for the arena.
    pub arena_group: Cgroup,
    /// Charged for the cold pages.
    pub filler_group: Cgroup,
    /// zswap's pool limit.
    pub pool_percent: Knob,
    /// Above the two groups; dropped after them.
    pub top: Cgroup,
    /// Restored when the stage is dropped.
    _knobs: Vec<Knob>,
}

/// Says what the kernel lacks, if anything.
fn missing(params: &ZswapPressure) -> Option<&'static str> {
    let counts = Vmstat::read().is_ok_and(|v| v.has(Counter::ZswapWriteback));
    let lacks = [
        (!zswap::available(), "zswap (CONFIG_ZSWAP)"),
        (
            !counts,
            "a count of what zswap writes back (zswpwb in /proc/vmstat, or zswap's debugfs files)",
        ),
        (
            params.shrinker && !zswap::has("shrinker_enabled"),
            "zswap's shrinker",
        ),
        (
            Pagemap::open().is_err(),
            "/proc/PID/pagemap (CONFIG_PROC_PAGE_MONITOR)",
        ),
    ];
    lacks.into_iter().find_map(|(lacks, what)| lacks.then_some(what))
}

/// Sets the stage.
///
/// # Errors
/// [`CaseError::Missing`] for what the kernel lacks; others for what must not fail.
pub fn set(env: &Env<'_>, params: &ZswapPressure) -> Result<Stage, CaseError> {
    if let Some(what) = missing(params) {
        return Err(CaseError::Missing(what.to_owned()));
    }
    let areas = Areas::make(env, &params.swap, params.swap_area)?;
    let (knobs, pool_percent) = knobs(params)?;
    // zswap makes these files when it is switched on for the first time.
    if !zswap::observable() {
        return Err(CaseError::Missing(
            "zswap's debugfs files (CONFIG_DEBUG_FS)".to_owned(),
        ));
    }
    let top = Cgroup::top(CGROUP).map_err(|e| missing_cgroup(&e))?;
    let (filler_group, arena_group) = groups(&top, params)?;
    env.lane.beat();

    let pages = pages_of(params.arena);
    let cold_pages = cold_pages(areas.slots(), pages as u64, params);
    let ledger = ledger(env, pages + cold_pages, policy(params))?;
    let slots = Slots::new(areas.largest() as usize);
    let engine = beside::engine(env, params.engine, &params.engine_mix)?;
    // What exists now is the suite's own and stays in memory; the arenas must not, what comes after
    // them (stacks, buffers) must again.
    process::lock_what_is_mapped()?;
    let arena = Arena::map(pages)?;
    let cold = (cold_pages > 0).then(|| Arena::map(cold_pages)).transpose()?;
    process::lock_what_comes()?;
    env.board.note_arena(arena.address(0), pages);
    if let Some(engine) = &engine {
        engine.note_on(env.board);
    }

    areas.on()?;
    if let Some(cold) = &cold {
        filler_group.enter()?;
        fill(env, cold, &ledger, pages as u32)?;
    }
    arena_group.enter()?;
    populate(env, &arena, &ledger)?;
    limit(&filler_group, &arena_group, params)?;
    Ok(Stage {
        arena,
        ledger,
        cold,
        engine,
        slots,
        areas,
        arena_group,
        filler_group,
        pool_percent,
        top,
        _knobs: knobs,
    })
}

fn pages_of(bytes: u64) -> usize {
    usize::try_from(bytes / PAGE_LEN as u64).unwrap_or(usize::MAX)
}

/// How well pages compress.
fn policy(params: &ZswapPressure) -> FillPolicy {
    if params.content == "mixed" {
        FillPolicy::Mixed
    } else {
        FillPolicy::Fixed(Fill::SMALL)
    }
}

fn ledger(env: &Env<'_>, pages: usize, policy: FillPolicy) -> Result<Ledger, CaseError> {
    let pages = u32::try_from(pages).map_err(|_| CaseError::Broken(format!("an arena of {pages} pages")))?;
    Ok(Ledger::new(env.job.run, 0, pages, policy, env.job.case.seed))
}

fn missing_cgroup(e: &crate::sys::SysError) -> CaseError {
    CaseError::Missing(format!("memory control groups, version 2 ({e})"))
}

fn knobs(params: &ZswapPressure) -> Result<(Vec<Knob>, Knob), CaseError> {
    let mut knobs = vec![
        Knob::set("/proc/sys/vm/page-cluster", "0")?,
        zswap::set("zpool", &params.zpool)?,
        zswap::set("compressor", &params.compressor)?,
    ];
    if zswap::has("shrinker_enabled") {
        knobs.push(zswap::set(
            "shrinker_enabled",
            if params.shrinker { "Y" } else { "N" },
        )?);
    }
    let pool_percent = zswap::set("max_pool_percent", &params.pool_percent.to_string())?;
    knobs.push(zswap::set("enabled", "Y")?);
    Ok((knobs, pool_percent))
}

fn groups(top: &Cgroup, params: &ZswapPressure) -> Result<(Cgroup, Cgroup), CaseError> {
    let filler = top.child("filler")?;
    filler
        .set("memory.zswap.max", "0")
        .map_err(|e| missing_cgroup(&e))?;
    let arena = top.child("arena")?;
    arena.set("memory.zswap.max", &params.zswap_max.to_string())?;
    Ok((filler, arena))
}

/// How many cold pages fill so many slots that the arena is as short of them as is asked for.
fn cold_pages(slots: u64, arena_pages: u64, params: &ZswapPressure) -> usize {
    let cold = match (params.short_slots, params.free_slots) {
        (0, 0) => 0,
        (0, free) => slots.saturating_sub(arena_pages + free),
        (short, _) => slots.saturating_sub(arena_pages.saturating_sub(short)),
    };
    usize::try_from(cold).unwrap_or(usize::MAX)
}

/// Takes what was paged out of the swap cache as well, and limits what of the arena can be in memory.
/// Without a limit most slots keep a copy in the swap cache: nothing is read back, and a slot that was
/// written behind its owner's back is hardly ever looked at.
fn limit(filler: &Cgroup, arena: &Cgroup, params: &ZswapPressure) -> Result<(), CaseError> {
    for group in [filler, arena] {
        // As far as it goes: what is locked stays, and so does what is being written at this moment.
        for _ in 0..RECLAIM_TRIES {
            let before = group.number("memory.current")?;
            group.reclaim(before)?;
            if group.value("memory.stat", "swapcached")? == 0 {
                break;
            }
            process::pause_ms(RECLAIM_PAUSE_MS)?;
        }
    }
    if params.memory_max == 0 {
        return Ok(());
    }
    // The suite's own memory is charged to the same group. Its locked part is there already, but for
    // the stacks of the threads that are to come.
    let threads = params.threads + params.readers + ANTAGONISTS_MAX;
    let own = arena.number("memory.current")? + threads * THREAD_LEN as u64;
    Ok(arena.set("memory.max", &(own + params.memory_max).to_string())?)
}

/// Writes every page of the arena for the first time and has it paged out, so that each has a slot and
/// the swap area is tight from the beginning.
fn populate(env: &Env<'_>, arena: &Arena, ledger: &Ledger) -> Result<(), CaseError> {
    process::pin(0)?;
    let mut data = Box::new([0; PAGE_WORDS]);
    for start in (0..arena.pages()).step_by(FILL_CHUNK) {
        let chunk = start..arena.pages().min(start + FILL_CHUNK);
        for page in chunk.clone() {
            stamp(arena, page, ledger, page as u32, &mut data);
        }
        arena.advise(chunk, Advice::PageOut)?;
        env.lane.beat();
    }
    Ok(process::unpin()?)
}

impl Stage {
    /// Makes room in the swap area ([`loosen`]).
    pub fn loosen(&self) {
        if let Some(cold) = &self.cold {
            loosen(cold, &self.ledger, self.arena.pages() as u32);
        }
    }

    /// Has the cold pages paged out once more, after they came back: the swap area is as tight then as
    /// it was. Those that stay leave slots free, which is no failure in the midst of pressure.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn refill(&self) -> Result<(), CaseError> {
        match &self.cold {
            Some(cold) => refill(cold),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn plan(slots: u64, change: impl FnOnce(&mut ZswapPressure)) -> usize {
        let mut params = ZswapPressure {
            short_slots: 0,
            ..ZswapPressure::default()
        };
        change(&mut params);
        cold_pages(slots, params.arena / 4096, &params)
    }

    #[test]
    fn cold_pages_leave_the_arena_and_the_free_slots() {
        let sized = |p: &mut ZswapPressure| (p.arena, p.free_slots) = (4 * MIB, 32);
        assert_eq!(plan(2047, sized), 2047 - 1024 - 32);
        assert_eq!(plan(767, sized), 0);
    }

    #[test]
    fn cold_pages_take_what_the_arena_is_to_lack() {
        let sized = |p: &mut ZswapPressure| (p.arena, p.short_slots) = (4 * MIB, 24);
        assert_eq!(plan(2047, sized), 2047 - 1000);
        assert_eq!(plan(767, sized), 0);
    }

    #[test]
    fn no_free_slots_asked_for_fills_nothing() {
        let sized = |p: &mut ZswapPressure| (p.arena, p.free_slots) = (4 * MIB, 0);
        assert_eq!(plan(16384, sized), 0);
    }
}
