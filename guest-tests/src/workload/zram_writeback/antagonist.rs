//! Antagonists: threads that disturb without changing any content.

use super::pressure::Pressure;
use crate::sys::board::Lane;
use crate::sys::file;
use crate::workload::phase::Stopped;
use std::time::Duration;

/// How much one round of the reclaim pump asks for, and its pause.
const RECLAIM_BYTES: u64 = 64 << 10;
const RECLAIM_PAUSE: Duration = Duration::from_millis(10);
/// How long each limit of zram's memory lasts.
const FLIP_EVERY: Duration = Duration::from_millis(5);
/// Pause between two compactions: one that finds nothing to do returns at once.
const COMPACT_PAUSE: Duration = Duration::from_micros(200);

/// Has all memory compacted in a loop until the phase is over.
///
/// # Errors
/// Those of the kernel.
pub fn compact(pressure: &Pressure<'_>, lane: &Lane) -> Result<(), Stopped> {
    while !pressure.phase.stop.wait(COMPACT_PAUSE) {
        file::write("/proc/sys/vm/compact_memory", "1")?;
        lane.beat();
    }
    Ok(())
}

/// Writes memory.reclaim of the arena's group until the phase is over.
///
/// # Errors
/// Those of the kernel that are not "there was nothing to reclaim".
pub fn reclaim(pressure: &Pressure<'_>, lane: &Lane) -> Result<(), Stopped> {
    while !pressure.phase.stop.wait(RECLAIM_PAUSE) {
        pressure.stage.group.reclaim(RECLAIM_BYTES)?;
        lane.beat();
    }
    Ok(())
}

/// Flips the swap area's memory limit between `limit` (0: a half of what it takes) and none.
///
/// # Errors
/// Those of the kernel.
pub fn flip_limit(pressure: &Pressure<'_>, lane: &Lane, limit: u64) -> Result<(), Stopped> {
    let zram = &pressure.stage.swap;
    let mut low = false;
    while !pressure.phase.stop.wait(FLIP_EVERY) {
        low = !low;
        let bytes = match (low, limit) {
            (false, _) => 0,
            (true, 0) => zram.usage()?.memory / 2,
            (true, limit) => limit,
        };
        zram.set("mem_limit", &bytes.to_string())?;
        lane.beat();
    }
    Ok(zram.set("mem_limit", "0")?)
}
