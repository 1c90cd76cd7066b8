//! zram under pressure, as swap and as a raw block device: zspages of several pages are freed in long
//! runs while their pages migrate, hot pages are rewritten while they are compressed, slots are written
//! back, recompressed and compacted, and allocations fail.
//!
//! Not here: zswap in front of zram, and the antagonists that every workload may have.

mod antagonist;
mod churn;
mod cold;
mod hand;
mod hot;
mod peer;
mod pressure;
mod raw;
mod stage;
mod teardown;
mod upkeep;

use super::stop::Stop;
use super::{CaseError, Env, STEP_PATIENCE_S};
use crate::agent::link::Finished;
use crate::catalogue::ZramWriteback;
use pressure::Pressure;

/// Runs the workload: set-up, pressure, teardown with its checks.
///
/// # Errors
/// When it could not be run to its end; nothing is said about the kernel then.
pub fn run(env: &Env<'_>, params: &ZramWriteback) -> Result<Finished, CaseError> {
    env.lane.expect_within(STEP_PATIENCE_S);
    let mut stage = stage::set(env, params)?;
    let stop = Stop::default();
    let pressure = Pressure::new(env, &stage, &stop)?;
    let totals = pressure.run(params);
    env.lane.beat();
    teardown::check(&pressure)?;
    drop(pressure);
    stage.calm();
    teardown::end(env, stage)?;
    env.lane.expect_within(0);
    Ok(totals?.finished())
}
