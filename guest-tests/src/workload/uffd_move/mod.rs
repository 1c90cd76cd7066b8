//! UFFDIO_MOVE under pressure: pages go back and forth between two ranges while they are swapped out,
//! cached, read back, shared, protected and fought over.
//!
//! Each pair of threads is a *mover*, who owns its pages and knows of each what it may hold, and a
//! *meddler* on the next CPU, who keeps all content, except in a duel: then both act on one page at the
//! same time, and [`crate::model::duel`] says which outcomes are legal.

mod antagonist;
mod contest;
mod duel;
mod meddler;
mod mover;
mod operations;
mod phase;
mod script;
mod stage;
mod teardown;

use super::stop::Stop;
use super::{CaseError, Env, STEP_PATIENCE_S};
use crate::agent::link::Finished;
use crate::catalogue::{Counter, UffdMove};
use crate::protocol::Outcome;
use crate::sys::process;
use duel::Ring;
use meddler::Meddler;
use mover::Mover;
use phase::Phase;
use stage::{Pair, STACK_LEN, Stage};

/// What the threads count.
const COUNTED: [Counter; 8] = [
    Counter::PagesVerified,
    Counter::RoundTrips,
    Counter::PagesWritten,
    Counter::Moves,
    Counter::MovesSwapped,
    Counter::MovesCached,
    Counter::MovesContended,
    Counter::Duels,
];

/// Runs the workload: set-up, pressure, teardown with its checks.
///
/// # Errors
/// When it could not be run to its end; nothing is said about the kernel then.
pub fn run(env: &Env<'_>, params: &UffdMove) -> Result<Finished, CaseError> {
    env.lane.expect_within(STEP_PATIENCE_S);
    let stage = stage::set(env, params)?;
    let stop = Stop::default();
    let rings: Vec<Ring> = stage.pairs().map(|_| Ring::default()).collect();
    let mut movers = Vec::new();
    for (pair, ring) in stage.pairs().zip(&rings) {
        movers.push(Mover::new(env, &stage, pair, ring, params)?);
    }
    for mover in &mut movers {
        mover.populate()?;
    }
    env.lane.beat();
    let phase = Phase::begin(env, &stop, &COUNTED)?;
    let totals = press(&phase, &stage, &mut movers, &rings, params);
    env.lane.beat();
    teardown::check(&phase, &stage, &mut movers)?;
    drop(movers);
    drop(phase);
    teardown::end(env, stage)?;
    env.lane.expect_within(0);
    let totals = totals?;
    Ok(Finished {
        outcome: Outcome::Completed,
        pressure_ms: totals.elapsed_ms,
        counters: totals.counters,
        steal_ms: totals.steal_ms,
    })
}

/// Keeps up the pressure.
fn press(
    phase: &Phase<'_>,
    stage: &Stage,
    movers: &mut [Mover<'_>],
    rings: &[Ring],
    params: &UffdMove,
) -> Result<phase::Totals, CaseError> {
    let pairs: Vec<Pair> = stage.pairs().collect();
    let totals = std::thread::scope(|scope| {
        let thread = || std::thread::Builder::new().stack_size(STACK_LEN);
        for ((mover, ring), pair) in movers.iter_mut().zip(rings).zip(pairs) {
            thread().spawn_scoped(scope, move || {
                let _over = ring.over_on_drop();
                let _ = phase.keep(mover.run(phase));
            })?;
            thread().spawn_scoped(scope, move || {
                let _over = ring.over_on_drop();
                let meddle = || Meddler::new(phase, stage, pair, ring, params)?.run();
                let _ = phase.keep(meddle());
            })?;
        }
        if params.reclaim {
            thread().spawn_scoped(scope, || phase.keep(antagonist::reclaim(phase, stage)))?;
        }
        if params.compaction {
            thread().spawn_scoped(scope, || phase.keep(antagonist::compact(phase)))?;
        }
        phase.watch()
    });
    process::unpin()?;
    phase.broken()?;
    totals
}
