//! Antagonists: threads that disturb without changing any content.

use super::pressure::Pressure;
use crate::sys::SysError;
use crate::sys::process::{self, Policy};
use crate::workload::WORKER_PATIENCE_S;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
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

/// Longest time between two switches, in microseconds; they are drawn evenly from nothing to this.
const SWITCH_US_MAX: u64 = 1000;

/// Switches between the workers of one CPU at random instants until the pressure is over.
///
/// One of them competes for the CPU, the others run only when it waits. Left to itself the scheduler
/// takes the CPU away at its ticks, a few hundred times a second; a window of some microseconds is then
/// hit once in many seconds. This hits it at any instruction, thousands of times a second, and leaves
/// the thread there while the others go on.
///
/// # Errors
/// Those of the kernel.
pub fn switch(pressure: &Pressure<'_>, cpu: u32) -> Result<(), SysError> {
    process::pin(cpu)?;
    process::schedule(0, Policy::RealTime)?;
    let mut rng = Pcg64Mcg::seed_from_u64(pressure.env.job.case.seed ^ u64::from(cpu) << 32);
    let mut runs = None;
    loop {
        let pause = Duration::from_micros(rng.next_u64() % SWITCH_US_MAX);
        if pressure.stop.wait(pause) {
            break;
        }
        let workers = pressure.workers_of(cpu);
        if workers.len() < 2 {
            continue;
        }
        let next = workers[rng.next_u64() as usize % workers.len()];
        if runs == Some(next) {
            continue;
        }
        match runs {
            Some(tid) => drop(process::schedule(tid, Policy::Idle)?),
            None => workers
                .iter()
                .try_for_each(|&tid| process::schedule(tid, Policy::Idle).map(drop))?,
        }
        process::schedule(next, Policy::Normal)?;
        runs = Some(next);
    }
    // Whoever is still at work ends as fast as the others.
    for tid in pressure.workers_of(cpu) {
        process::schedule(tid, Policy::Normal)?;
    }
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
