//! Antagonists: threads that disturb without changing any content.

use super::pressure::Pressure;
use crate::sys::SysError;
use crate::workload::WORKER_PATIENCE_S;
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
pub fn reclaim(pressure: &Pressure<'_>) -> Result<(), SysError> {
    let lane = pressure.env.board.lane("reclaim");
    lane.inspect(|lane| lane.expect_within(WORKER_PATIENCE_S));
    while !pressure.stop.wait(RECLAIM_PAUSE) {
        pressure.stage.arena_group.reclaim(RECLAIM_BYTES)?;
        lane.inspect(|lane| lane.beat());
    }
    lane.inspect(|lane| lane.expect_within(0));
    Ok(())
}

/// Flips zswap's pool limit between nothing (the pool is always full) and `percent`.
///
/// # Errors
/// Those of the kernel.
pub fn flip_pool(pressure: &Pressure<'_>, percent: u64) -> Result<(), SysError> {
    let lane = pressure.env.board.lane("pool flips");
    lane.inspect(|lane| lane.expect_within(WORKER_PATIENCE_S));
    let knob = &pressure.stage.pool_percent;
    let mut low = false;
    while !pressure.stop.wait(FLIP_EVERY) {
        low = !low;
        knob.change(&if low { 0 } else { percent }.to_string())?;
        lane.inspect(|lane| lane.beat());
    }
    knob.change(&percent.to_string())?;
    lane.inspect(|lane| lane.expect_within(0));
    Ok(())
}
