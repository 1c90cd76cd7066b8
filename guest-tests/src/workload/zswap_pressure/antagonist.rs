//! Antagonists: threads that disturb without changing any content.

use super::pressure::Pressure;
use crate::sys::board::Lane;
use crate::workload::phase::Stopped;
use std::time::Duration;

/// How much one round of the reclaim pump asks for.
const RECLAIM_BYTES: u64 = 16 << 10;
/// Pause of the reclaim pump: it must not take a whole CPU from the workers.
const RECLAIM_PAUSE: Duration = Duration::from_millis(10);
/// How long each limit of the pool lasts.
const FLIP_EVERY: Duration = Duration::from_millis(5);

/// Writes memory.reclaim of the arena's group until the pressure is over.
///
/// # Errors
/// Those of the kernel that are not "there was nothing to reclaim".
pub fn reclaim(pressure: &Pressure<'_>, lane: &Lane) -> Result<(), Stopped> {
    while !pressure.phase.stop.wait(RECLAIM_PAUSE) {
        pressure.stage.arena_group.reclaim(RECLAIM_BYTES)?;
        lane.beat();
    }
    Ok(())
}

/// Flips zswap's pool limit between nothing (the pool is always full) and `percent`.
///
/// # Errors
/// Those of the kernel.
pub fn flip_pool(pressure: &Pressure<'_>, lane: &Lane, percent: u64) -> Result<(), Stopped> {
    let knob = &pressure.stage.pool_percent;
    let mut low = false;
    while !pressure.phase.stop.wait(FLIP_EVERY) {
        low = !low;
        knob.change(&if low { 0 } else { percent }.to_string())?;
        lane.beat();
    }
    Ok(knob.change(&percent.to_string())?)
}
