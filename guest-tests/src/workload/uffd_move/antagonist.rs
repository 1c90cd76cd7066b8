//! Antagonists: threads that disturb without changing any content.

use super::phase::{Phase, Stopped};
use super::stage::Stage;
use crate::sys::file;
use crate::workload::WORKER_PATIENCE_S;
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
pub fn reclaim(phase: &Phase<'_>, stage: &Stage) -> Result<(), Stopped> {
    repeat(phase, "reclaim", RECLAIM_PAUSE, || {
        stage.group.reclaim(RECLAIM_BYTES)?;
        Ok(())
    })
}

/// Compacts all memory, again and again: pages migrate.
///
/// # Errors
/// Those of the kernel.
pub fn compact(phase: &Phase<'_>) -> Result<(), Stopped> {
    repeat(phase, "compaction", COMPACT_PAUSE, || {
        Ok(file::write("/proc/sys/vm/compact_memory", "1")?)
    })
}

fn repeat(
    phase: &Phase<'_>,
    name: &str,
    pause: Duration,
    mut act: impl FnMut() -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let lane = phase.env.board.lane(name);
    lane.inspect(|lane| lane.expect_within(WORKER_PATIENCE_S));
    while !phase.stop.wait(pause) {
        act()?;
        lane.inspect(|lane| lane.beat());
    }
    lane.inspect(|lane| lane.expect_within(0));
    Ok(())
}
