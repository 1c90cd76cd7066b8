//! Antagonists: threads that disturb without changing any content.

use super::stage::Stage;
use crate::sys::board::Lane;
use crate::sys::file;
use crate::workload::phase::{Phase, Stopped};
use std::time::Duration;

/// How much one round of the reclaim pump asks for.
const RECLAIM_BYTES: u64 = 4 << 10;
/// Pause of the reclaim pump: it must not take a whole CPU from the pairs.
const RECLAIM_PAUSE: Duration = Duration::from_millis(10);
/// Pause between two compactions.
const COMPACT_PAUSE: Duration = Duration::from_millis(50);

/// Writes memory.reclaim of the pages' group: what is only cached leaves the swap cache.
///
/// # Errors
/// Those of the kernel that are not "there was nothing to reclaim".
pub fn reclaim(phase: &Phase<'_>, stage: &Stage, lane: &Lane) -> Result<(), Stopped> {
    while !phase.stop.wait(RECLAIM_PAUSE) {
        stage.group.reclaim(RECLAIM_BYTES)?;
        lane.beat();
    }
    Ok(())
}

/// Compacts all memory, again and again: pages migrate.
///
/// # Errors
/// Those of the kernel.
pub fn compact(phase: &Phase<'_>, lane: &Lane) -> Result<(), Stopped> {
    while !phase.stop.wait(COMPACT_PAUSE) {
        file::write("/proc/sys/vm/compact_memory", "1")?;
        lane.beat();
    }
    Ok(())
}
