//! zswap under pressure: a small arena is paged out, verified and rewritten by several threads,
//! while a tiny zswap limit forces write-back and a nearly full swap area recycles slots at once.

mod antagonist;
mod frontier;
mod pressure;
mod stage;
mod teardown;
mod toggles;
mod worker;

use super::stop::Stop;
use super::{CaseError, Env, STEP_PATIENCE_S};
use crate::agent::link::Finished;
use crate::catalogue::ZswapPressure;
use pressure::Pressure;

/// Runs the workload: set-up, pressure, teardown with its checks.
///
/// # Errors
/// When it could not be run to its end; nothing is said about the kernel then.
pub fn run(env: &Env<'_>, params: &ZswapPressure) -> Result<Finished, CaseError> {
    env.lane.expect_within(STEP_PATIENCE_S);
    let stage = stage::set(env, params)?;
    let stop = Stop::default();
    let pressure = Pressure::new(env, &stage, &stop, params)?;
    let totals = pressure.run(params);
    env.lane.beat();
    teardown::check(&pressure)?;
    drop(pressure);
    teardown::end(env, stage)?;
    env.lane.expect_within(0);
    Ok(totals?.finished())
}
