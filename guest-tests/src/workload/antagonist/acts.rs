//! Antagonists that act on memory: compaction, reclaim, sweeps, swapoff, fork, caches.

use super::{Ground, Turn, write_now};
use crate::protocol::Seen;
use crate::sys::arena::Advice;
use crate::sys::{SysError, proc, soft_dirty, swap};
use crate::workload::stop::Stop;
use crate::workload::{CaseError, STEP_PATIENCE_S, swapoff};
use rand_core::Rng;
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// Where compaction is asked for.
pub const COMPACT: &str = "/proc/sys/vm/compact_memory";
/// Where caches are dropped.
pub const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Most pages of one sweep.
const SWEEP_PAGES_MAX: usize = 128;
/// Reclaim asks for 4 KiB times a power of two up to this.
const RECLAIM_SHIFT_MAX: u32 = 7;
/// Swap stays on for this long between two times off, and off for up to [`OFF_MS_MAX`].
const ON_MS: u64 = 300;
const OFF_MS_MAX: u64 = 60;

/// Compacts all memory once.
///
/// # Errors
/// Those of the kernel that don't only say "not now".
pub fn compact() -> Result<(), SysError> {
    write_now(COMPACT, "1")
}

pub(super) fn compaction(turn: &mut Turn<'_>) -> Result<(), SysError> {
    loop {
        compact()?;
        if !turn.goes_on() {
            return Ok(());
        }
    }
}

pub(super) fn reclaim(turn: &mut Turn<'_>) -> Result<(), SysError> {
    let Some(group) = turn.ground.group else {
        return Ok(());
    };
    while turn.goes_on() {
        let bytes = 4096 << (turn.rng.next_u32() % (RECLAIM_SHIFT_MAX + 1));
        match group.reclaim(bytes) {
            Err(e) if e.errno() != Some(libc::ENODEV) => return Err(e),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

pub(super) fn sweep(turn: &mut Turn<'_>) -> Result<(), SysError> {
    while turn.goes_on() {
        let which = turn.below(turn.ground.arenas.len());
        let arena = turn.ground.arenas[which];
        let start = turn.below(arena.pages());
        let end = arena.pages().min(start + 1 + turn.below(SWEEP_PAGES_MAX));
        let advice = if turn.rng.next_u32().is_multiple_of(4) {
            Advice::Cold
        } else {
            Advice::PageOut
        };
        arena.advise(start..end, advice)?;
    }
    Ok(())
}

/// Only one thread at a time switches swap off and on.
static CYCLE: Mutex<()> = Mutex::new(());

/// Switches one of the swap areas off and, after a pause, on again; `false` where another thread is at
/// it, or memory was short for it. `beat` says twice a second that this is still waited for.
///
/// # Errors
/// Those of the kernel; a `swapoff` that does not end is told as a hang first.
pub fn swap_cycle(
    ground: &Ground<'_>,
    rng: &mut Pcg64Mcg,
    stop: &Stop,
    beat: &dyn Fn(),
) -> Result<bool, CaseError> {
    let Ok(_alone) = CYCLE.try_lock() else {
        return Ok(false);
    };
    if ground.swaps.is_empty() {
        return Ok(false);
    }
    let area = &ground.swaps[rng.next_u64() as usize % ground.swaps.len()];
    let started = proc::uptime_ns();
    let mut go_on = || {
        beat();
        (proc::uptime_ns() - started) / 1_000_000_000 < u64::from(STEP_PATIENCE_S)
    };
    match swapoff::run(&area.device, &mut go_on) {
        Ok(()) => {}
        Err(e) if swapoff::is_excusable(&e) => return Ok(false),
        Err(e) => {
            if e.errno() == Some(libc::ETIMEDOUT) {
                let what = Seen::Hang {
                    worker: "swapoff".to_owned(),
                    stack: "see the kernel's log".to_owned(),
                };
                let title = format!("swapoff took more than {STEP_PATIENCE_S} s");
                ground.env.find(what, title, BTreeMap::new())?;
            }
            return Err(e.into());
        }
    }
    let _ = stop.wait(Duration::from_millis(rng.next_u64() % (OFF_MS_MAX + 1)));
    swap::on_with(&area.device, area.priority)?;
    beat();
    if let Some(refill) = ground.refill {
        refill()?;
    }
    Ok(true)
}

pub(super) fn swapoff(turn: &mut Turn<'_>) -> Result<(), CaseError> {
    loop {
        let (lane, over) = (turn.lane, turn.over);
        swap_cycle(turn.ground, &mut turn.rng, over, &|| {
            lane.inspect(|lane| lane.beat());
        })?;
        let pause = ON_MS + turn.rng.next_u64() % ON_MS;
        if turn.over.wait(Duration::from_millis(pause)) || !turn.goes_on() {
            return Ok(());
        }
    }
}

pub(super) fn fork(turn: &mut Turn<'_>) -> Result<(), CaseError> {
    let Some(heirs) = turn.ground.heirs else {
        return Ok(());
    };
    while turn.goes_on() {
        heirs.fork_and_check(turn.ground.env, &mut turn.rng)?;
    }
    Ok(())
}

pub(super) fn clear_refs(turn: &mut Turn<'_>) -> Result<(), SysError> {
    while turn.goes_on() {
        // 1 clears the referenced bits.
        let outcome = if turn.rng.next_u32().is_multiple_of(4) {
            write_now(soft_dirty::FILE, "1")
        } else {
            soft_dirty::clear()
        };
        match outcome {
            // Without CONFIG_MEM_SOFT_DIRTY there is nothing to clear.
            Err(e) if e.errno() == Some(libc::EINVAL) => {}
            other => other?,
        }
    }
    Ok(())
}

pub(super) fn drop_caches(turn: &mut Turn<'_>) -> Result<(), SysError> {
    // Drops nothing; the kernel does not log each further drop then.
    write_now(DROP_CACHES, "4")?;
    while turn.goes_on() {
        let what = ["1", "2", "3"][turn.below(3)];
        write_now(DROP_CACHES, what)?;
    }
    Ok(())
}
