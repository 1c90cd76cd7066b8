//! Antagonists that act on memory: compaction, reclaim, sweeps, swapoff, fork, caches.

use super::{Turn, write_now};
use crate::sys::arena::Advice;
use crate::sys::{SysError, swap};
use crate::workload::{CaseError, STEP_PATIENCE_S, swapoff};
use rand_core::Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where compaction is asked for.
pub const COMPACT: &str = "/proc/sys/vm/compact_memory";
/// Where soft-dirty and referenced bits are cleared.
pub const CLEAR_REFS: &str = "/proc/self/clear_refs";
/// Where caches are dropped.
pub const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Most pages of one sweep.
const SWEEP_PAGES_MAX: usize = 128;
/// Reclaim asks for 4 KiB times a power of two up to this.
const RECLAIM_SHIFT_MAX: u32 = 7;
/// Swap stays on for this long between two times off, and off for up to [`OFF_MS_MAX`].
const ON_MS: u64 = 300;
const OFF_MS_MAX: u64 = 60;

pub(super) fn compaction(turn: &mut Turn<'_>) -> Result<(), SysError> {
    loop {
        write_now(COMPACT, "1")?;
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

pub(super) fn swapoff(turn: &mut Turn<'_>) -> Result<(), CaseError> {
    let ground = turn.ground;
    loop {
        let which = turn.below(ground.swaps.len());
        let area = &ground.swaps[which];
        let started = crate::sys::proc::uptime_ns();
        let lane = turn.lane;
        let mut go_on = || {
            lane.inspect(|lane| lane.beat());
            (crate::sys::proc::uptime_ns() - started) / 1_000_000_000 < u64::from(STEP_PATIENCE_S)
        };
        match swapoff::run(&area.device, &mut go_on) {
            Ok(()) => {
                let pause = turn.rng.next_u64() % (OFF_MS_MAX + 1);
                let _ = turn.over.wait(Duration::from_millis(pause));
                swap::on_with(&area.device, area.priority)?;
                if let Some(refill) = ground.refill {
                    refill()?;
                }
            }
            Err(e) if swapoff::is_excusable(&e) => {}
            Err(e) if e.errno() == Some(libc::ETIMEDOUT) => {
                let what = crate::protocol::Seen::Hang {
                    worker: "swapoff".to_owned(),
                    stack: "see the kernel's log".to_owned(),
                };
                let title = format!("swapoff took more than {STEP_PATIENCE_S} s");
                ground.env.find(what, title, BTreeMap::new())?;
                return Err(e.into());
            }
            Err(e) => return Err(e.into()),
        }
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
        // 4 clears the soft-dirty bits, 1 the referenced ones.
        let what = if turn.rng.next_u32().is_multiple_of(4) {
            "1"
        } else {
            "4"
        };
        match write_now(CLEAR_REFS, what) {
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
