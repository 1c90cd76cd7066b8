//! Set-up: zram devices, the swap area, what allocations fail, memory and its ledgers.

use crate::catalogue::{Counter, ZramWriteback};
use crate::model::{Fill, FillPolicy, Ledger};
use crate::sys::arena::{Advice, Arena, PAGE_LEN, PAGE_WORDS};
use crate::sys::block::Direct;
use crate::sys::cgroup::Cgroup;
use crate::sys::failslab::{self, Failslab};
use crate::sys::knob::Knob;
use crate::sys::pagemap::Pagemap;
use crate::sys::vmstat::Vmstat;
use crate::sys::zram::{self, Setup, Zram};
use crate::sys::{process, swap};
use crate::workload::engine::Engine;
use crate::workload::evidence::Slots;
use crate::workload::{CGROUP, CaseError, Env, beside};
use std::ops::Range;
use std::path::Path;

/// Pages that are written and paged out at once.
const FILL_CHUNK: usize = 128;
/// Random words of a page of the churn: it compresses to 1.0–3.3 KB, so that zspages have several pages.
const CHURN_FILL: FillPolicy = FillPolicy::Spread { from: 32, to: 300 };
/// Random words of a hot page, by turns, and of its cold neighbours: a hot page that is compressed
/// again while it changes may need more than the room that a neighbour's size has.
const HOT_FILL: FillPolicy = FillPolicy::Alternate {
    even: Fill::Random { words: 120 },
    odd: Fill::Random { words: 200 },
};
const COLD_FILL: FillPolicy = FillPolicy::Fixed(Fill::Random { words: 120 });

/// A part of the arena with a ledger of its own. Pages are numbered through the whole arena.
pub struct Field {
    /// Its pages.
    pub pages: Range<usize>,
    /// What they must hold.
    pub ledger: Ledger,
}

impl Field {
    fn new(env: &Env<'_>, first: usize, pages: usize, policy: FillPolicy) -> Result<Self, CaseError> {
        let too_many = |_| CaseError::Broken(format!("an arena of {pages} pages"));
        let (number, len) = (
            u32::try_from(first).map_err(too_many)?,
            u32::try_from(pages).map_err(too_many)?,
        );
        Ok(Self {
            pages: first..first + pages,
            ledger: Ledger::new(env.job.run, number, len, policy, env.job.case.seed),
        })
    }
}

/// Everything that the pressure stands on.
pub struct Stage {
    /// What is made to fail; dropped before the pools that it names.
    failing: Option<Failslab>,
    /// The memory under test.
    pub arena: Arena,
    /// Paged out and dropped in long runs.
    pub churn: Field,
    /// Verified in turn.
    pub cold: Field,
    /// Rewritten while they are compressed.
    pub hot: Field,
    /// Which pages were seen in which slot.
    pub slots: Slots,
    /// Charged for the arena.
    pub group: Cgroup,
    /// The raw device's own handle; closed before the device goes.
    pub raw_disk: Option<Direct>,
    /// Pages that the swap area held before it was one: its header.
    pub header_pages: u64,
    _stable: Knob,
    _knobs: Vec<Knob>,
    /// The swap area.
    pub swap: Zram,
    /// The raw device.
    pub raw: Option<Zram>,
    /// What runs beside the other threads, where anything does.
    pub engine: Option<Engine>,
    /// Above the group; dropped after it.
    pub top: Cgroup,
}

impl Stage {
    /// All parts of the arena.
    pub fn fields(&self) -> [&Field; 3] {
        [&self.churn, &self.cold, &self.hot]
    }

    /// All devices.
    pub fn devices(&self) -> impl Iterator<Item = &Zram> {
        std::iter::once(&self.swap).chain(&self.raw)
    }

    /// Ends the failing of allocations.
    pub fn calm(&mut self) {
        self.failing = None;
    }
}

/// Says what the kernel lacks, if anything.
fn missing(params: &ZramWriteback) -> Option<&'static str> {
    let migrates = Vmstat::read().is_ok_and(|v| v.has(Counter::PagesMigrated));
    let lacks = [
        (!zram::available(), "zram, or adding devices to it (CONFIG_ZRAM)"),
        (
            params.compaction && !migrates,
            "compaction or its counters (CONFIG_COMPACTION, CONFIG_VM_EVENT_COUNTERS)",
        ),
        (
            params.failslab > 0 && !failslab::available(),
            "failslab (CONFIG_FAILSLAB, CONFIG_FAULT_INJECTION_DEBUG_FS)",
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
pub fn set(env: &Env<'_>, params: &ZramWriteback) -> Result<Stage, CaseError> {
    if let Some(what) = missing(params) {
        return Err(CaseError::Missing(what.to_owned()));
    }
    if let Some(area) = swap::active()?.first() {
        return Err(CaseError::Broken(format!(
            "{} is in use as swap: pages might go there instead of zram",
            area.path
        )));
    }
    let knobs = vec![Knob::set("/proc/sys/vm/page-cluster", "0")?];
    let top = Cgroup::top(CGROUP)
        .map_err(|e| CaseError::Missing(format!("memory control groups, version 2 ({e})")))?;
    let group = top.child("arena")?;
    let swap = device(env, params, "swap", params.disk)?;
    let raw = (params.raw > 0)
        .then(|| device(env, params, "raw", params.raw))
        .transpose()?;
    let stable = swap.stable_writes(params.stable_writes)?;
    let area_pages = u32::try_from(pages_of(params.disk)).unwrap_or(u32::MAX);
    swap::format(swap.device(), area_pages)?;
    let header_pages = swap.usage()?.pages;
    swap::on(swap.device())?;
    env.lane.beat();

    let (churn, cold) = (pages_of(params.churn), pages_of(params.cold));
    let hot = usize::try_from(params.hot).unwrap_or(0);
    let churn = Field::new(env, 0, churn, CHURN_FILL)?;
    let cold = Field::new(env, churn.pages.end, cold, COLD_FILL)?;
    let hot = Field::new(env, cold.pages.end, hot, HOT_FILL)?;
    let slots = Slots::new(area_pages as usize);
    let engine = beside::engine(env, params.engine, &params.engine_mix)?;
    // What exists now is the suite's own and stays in memory; the arena must not, what comes after it
    // (stacks, buffers) must again.
    process::lock_what_is_mapped()?;
    let arena = Arena::map(hot.pages.end)?;
    process::lock_what_comes()?;
    env.board.note_arena(arena.address(0), arena.pages());
    if let Some(engine) = &engine {
        engine.note_on(env.board);
    }
    group.enter()?;
    for field in [&cold, &hot] {
        populate(env, &arena, field)?;
    }
    let raw_disk = raw.as_ref().map(|raw| Direct::open(raw.device())).transpose()?;
    let failing = failing(params, std::iter::once(&swap).chain(&raw))?;
    Ok(Stage {
        failing,
        arena,
        churn,
        cold,
        hot,
        slots,
        group,
        raw_disk,
        header_pages,
        _stable: stable,
        _knobs: knobs,
        swap,
        raw,
        engine,
        top,
    })
}

fn pages_of(bytes: u64) -> usize {
    usize::try_from(bytes / PAGE_LEN as u64).unwrap_or(usize::MAX)
}

fn no_disk() -> CaseError {
    CaseError::Broken("there is no disk for zram's backing device".to_owned())
}

/// Makes one of the devices.
fn device(env: &Env<'_>, params: &ZramWriteback, which: &str, len: u64) -> Result<Zram, CaseError> {
    let zram = Zram::add()?;
    let (swap_disk, data_disk) = (env.job.swap_disk.as_deref(), env.job.data_disk.as_deref());
    let backing = match (params.backing.as_str(), which) {
        ("both", "raw") => data_disk,
        ("both", _) => Some(swap_disk.ok_or_else(no_disk)?),
        (chosen, _) if chosen == which => Some(swap_disk.ok_or_else(no_disk)?),
        _ => None,
    };
    let recompressor = Some(params.recompressor.as_str()).filter(|name| *name != "none");
    let lacks = [
        (
            backing.is_some() && !zram.has("backing_dev"),
            "CONFIG_ZRAM_WRITEBACK",
        ),
        (
            recompressor.is_some() && !zram.has("recomp_algorithm"),
            "CONFIG_ZRAM_MULTI_COMP",
        ),
    ];
    if let Some((_, option)) = lacks.into_iter().find(|(lacks, _)| *lacks) {
        return Err(CaseError::Missing(format!("a part of zram ({option})")));
    }
    let setup = Setup {
        len,
        compressor: Some(&params.compressor),
        recompressor,
        backing,
        mem_limit: params.mem_limit,
    };
    match zram.start(&setup) {
        // An unknown compressor is told like that; nothing else of the set-up is.
        Err(e) if e.errno() == Some(libc::EINVAL) => Err(CaseError::Missing(format!("a compressor ({e})"))),
        other => Ok(other.map(|()| zram)?),
    }
}

fn failing<'z>(
    params: &ZramWriteback,
    devices: impl Iterator<Item = &'z Zram>,
) -> Result<Option<Failslab>, CaseError> {
    if params.failslab == 0 {
        return Ok(None);
    }
    // Handles only: the allocation that decides whether zram compresses once more.
    let caches: Vec<String> = devices.map(|zram| zram.caches()[0].clone()).collect();
    if let Some(cache) = caches.iter().find(|cache| !failslab::can_choose(cache)) {
        return Err(CaseError::Missing(format!(
            "a switch for failing allocations of {cache} (CONFIG_SLUB_DEBUG without SLUB_TINY, boot with slab_nomerge)"
        )));
    }
    Ok(Some(Failslab::arm(&caches, params.failslab)?))
}

/// Writes every page of a part for the first time and has it paged out.
fn populate(env: &Env<'_>, arena: &Arena, field: &Field) -> Result<(), CaseError> {
    // The new pages wait in a batch of the CPU that touched them; stay on it.
    process::pin(0)?;
    let mut data = Box::new([0; PAGE_WORDS]);
    for start in field.pages.clone().step_by(FILL_CHUNK) {
        let chunk = start..field.pages.end.min(start + FILL_CHUNK);
        for page in chunk.clone() {
            let intent = field.ledger.begin(page as u32);
            intent.stamp.write(&mut data);
            arena.write(page, &data);
            intent.commit();
        }
        arena.advise(chunk, Advice::PageOut)?;
        env.lane.beat();
    }
    Ok(process::unpin()?)
}

/// Whether a device is a swap area at this moment.
///
/// # Errors
/// Those of the kernel.
pub fn is_swap(device: &Path) -> Result<bool, CaseError> {
    let path = device.to_string_lossy();
    Ok(swap::active()?.iter().any(|area| area.path == path))
}
