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
mod script;
mod stage;
mod teardown;

use super::antagonist::Antagonist;
use super::beside::{Beside, Turns};
use super::engine::Engine;
use super::phase::{Phase, Task, Totals};
use super::stop::Stop;
use super::{CaseError, Env, STEP_PATIENCE_S};
use crate::agent::link::Finished;
use crate::catalogue::antagonists::Choice;
use crate::catalogue::{Counter, UffdMove};
use crate::sys::process;
use duel::Ring;
use meddler::Meddler;
use mover::Mover;
use stage::Stage;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the threads count beside what all workloads do.
const COUNTED: [Counter; 5] = [
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
    let source = || Ok(stage.engine.as_ref().map_or_else(BTreeMap::new, Engine::counters));
    let phase = Phase::new(env, &stop, Box::new(source))?.counting(&COUNTED);
    let totals = press(&phase, &stage, &mut movers, &rings, params);
    env.lane.beat();
    teardown::check(&phase, &stage, &mut movers)?;
    drop(movers);
    drop(phase);
    teardown::end(env, stage)?;
    env.lane.expect_within(0);
    Ok(totals?.finished())
}

/// Keeps up the pressure.
fn press(
    phase: &Phase<'_>,
    stage: &Stage,
    movers: &mut [Mover<'_>],
    rings: &[Ring],
    params: &UffdMove,
) -> Result<Totals, CaseError> {
    let loosen = || {
        stage.loosen();
        Ok(())
    };
    let refill = || stage.refill();
    let beside = Beside {
        engine: stage.engine.as_ref(),
        choice: Choice::parse(&params.antagonists),
        offered: &Antagonist::ALL,
        arenas: &[],
        group: Some(&stage.group),
        swaps: &stage.areas.list,
        refill: Some(&refill),
        // A child would share the pages, and a page that is shared is not moved.
        heirs: None,
        whim: None,
        turns: Some(Turns {
            alone: Duration::from_millis(params.alone_ms),
            beside: Duration::from_millis(params.beside_ms),
            loosen: &loosen,
            tighten: &refill,
        }),
    };
    let mut tasks = Vec::new();
    for ((mover, ring), pair) in movers.iter_mut().zip(rings).zip(stage.pairs()) {
        let go = move |lane: &_| {
            let _over = ring.over_on_drop();
            mover.run(phase, lane)
        };
        tasks.push(Task::new(format!("mover {}", pair.number), go).on(pair.cpu));
        let go = move |lane: &_| {
            let _over = ring.over_on_drop();
            Meddler::new(phase, stage, pair, ring, lane, params)?.run()
        };
        tasks.push(Task::new(format!("meddler {}", pair.number), go).on(pair.other_cpu));
    }
    if params.reclaim {
        tasks.push(Task::new("reclaim", |lane| {
            antagonist::reclaim(phase, stage, lane)
        }));
    }
    if params.compaction {
        let task = Task::new("compaction", |lane| antagonist::compact(phase, lane));
        tasks.push(task.within(STEP_PATIENCE_S));
    }
    // A script that holds a thread inside an RCU read-side section must go on in time, and nobody may wait for
    // a grace period meanwhile.
    let holds = phase
        .env
        .job
        .case
        .racepoints
        .iter()
        .any(|arm| arm.hold_us_max > 0);
    if !beside.is_empty() && !holds {
        tasks.push(Task::new("beside", |lane| beside.keep_up(phase, lane)));
    }
    let totals = phase.run(tasks);
    process::unpin()?;
    beside.tell_coverage(phase)?;
    totals
}
