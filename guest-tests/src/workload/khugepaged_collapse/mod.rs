//! Huge pages made and broken: regions the size of one huge page, of anonymous and shared memory, are
//! stored to, zapped, punched, truncated, forked and moved by their owners, while khugepaged and
//! antagonists collapse, retract, split and reclaim them. Every page is judged by the model.

mod antagonist;
mod draw;
mod owner;
mod pressure;
mod region;
mod stage;
mod teardown;
mod view;

use super::stop::Stop;
use super::{CaseError, Env, STEP_PATIENCE_S};
use crate::agent::link::Finished;
use crate::catalogue::KhugepagedCollapse;
use pressure::Pressure;

/// Unmounts what a case left mounted whose process has died.
pub fn clean_up() {
    drop(crate::sys::ext4::Mounted::left_at(std::path::Path::new(
        stage::FILES_AT,
    )));
}

/// Runs the workload: set-up, pressure, teardown with its checks.
///
/// # Errors
/// When it could not be run to its end; nothing is said about the kernel then.
pub fn run(env: &Env<'_>, params: &KhugepagedCollapse) -> Result<Finished, CaseError> {
    env.lane.expect_within(STEP_PATIENCE_S);
    let stage = stage::set(env, params)?;
    let stop = Stop::default();
    let pressure = Pressure::new(env, &stage, &stop, params)?;
    let (totals, views) = pressure.run()?;
    env.lane.beat();
    teardown::check(&pressure, views)?;
    let has_found = pressure.phase.has_found();
    drop(pressure);
    teardown::end(env, stage, has_found)?;
    env.lane.expect_within(0);
    Ok(totals.finished())
}
