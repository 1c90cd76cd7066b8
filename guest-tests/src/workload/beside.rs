//! What runs beside a workload's own threads: the engine's owners and the common antagonists.
//!
//! Both may run all the time, or by turns with a condition that the workload's own threads need
//! undisturbed (a swap area without a free slot, say): then the workload loosens it, they run for a
//! while, and it tightens it again.

use super::antagonist::{self, Antagonist, Ground, Heirs, SwapArea};
use super::engine::Engine;
use super::phase::{Phase, STACK_LEN, Stopped};
use super::stop::{Stop, StopOnDrop};
use super::{CaseError, Env};
use crate::agent::link::Told;
use crate::catalogue::antagonists::Choice;
use crate::protocol::Coverage;
use crate::sys::arena::Arena;
use crate::sys::board::Lane;
use crate::sys::cgroup::Cgroup;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Makes the engine of a case with so many owners, if any.
///
/// # Errors
/// Those of `mmap`.
pub fn engine(env: &Env<'_>, owners: u64, mix: &str) -> Result<Option<Engine>, CaseError> {
    let owners = usize::try_from(owners).unwrap_or(1);
    (owners > 0)
        .then(|| Engine::new(owners, env.job.run, env.job.case.seed, mix))
        .transpose()
}

/// A call of the workload's own.
pub type Call<'a> = &'a (dyn Fn() -> Result<(), CaseError> + Sync);

/// An act of the workload's own; it may wait for the end that it is given.
pub type Whim<'a> = &'a (dyn Fn(&Stop) -> Result<(), CaseError> + Sync);

/// Turns: how long each lasts, and what is done between them.
pub struct Turns<'a> {
    /// How long the workload is alone; it begins.
    pub alone: Duration,
    /// How long the others are beside it.
    pub beside: Duration,
    /// Makes room for them.
    pub loosen: Call<'a>,
    /// Takes it away again.
    pub tighten: Call<'a>,
}

/// What runs beside a workload.
pub struct Beside<'a> {
    /// The owners, where there are any.
    pub engine: Option<&'a Engine>,
    /// Which antagonists. Those that were named act all the time, turns or no turns.
    pub choice: Choice,
    /// Which ones `drawn` and `all` may choose.
    pub offered: &'a [Antagonist],
    /// Memory that may be swept and merged.
    pub arenas: &'a [&'a Arena],
    /// The group that is charged for it.
    pub group: Option<&'a Cgroup>,
    /// Swap areas in use.
    pub swaps: &'a [SwapArea],
    /// What makes swap as tight as it was, after a swapoff while the workload is alone.
    pub refill: Option<Call<'a>>,
    /// What forked children verify.
    pub heirs: Option<&'a (dyn Heirs + 'a)>,
    /// An act of the workload's own, repeated while it is not alone.
    pub whim: Option<Whim<'a>>,
    /// Turns; without any all of it runs all the time.
    pub turns: Option<Turns<'a>>,
}

impl Beside<'_> {
    fn ground<'g>(&'g self, phase: &'g Phase<'_>, stop: &'g Stop, is_tight: bool) -> Ground<'g> {
        Ground {
            env: phase.env,
            stop,
            offered: self.offered,
            arenas: self.arenas,
            group: self.group,
            swaps: self.swaps,
            refill: self.refill.filter(|_| is_tight).map(|call| call as _),
            heirs: self.heirs,
        }
    }

    /// Whether there is nothing to keep up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.engine.is_none() && self.choice == Choice::None && self.whim.is_none()
    }

    /// Tells what the engine's compositions met.
    ///
    /// # Errors
    /// When the supervisor has gone.
    pub fn tell_coverage(&self, phase: &Phase<'_>) -> Result<(), CaseError> {
        let Some(engine) = self.engine else {
            return Ok(());
        };
        let coverage = Coverage {
            case: phase.env.job.case.id.clone(),
            met: engine.coverage.map(),
        };
        Ok(phase.env.link.tell(Told::Coverage(coverage))?)
    }

    /// Keeps all of it up until the phase is over. Runs on a thread of its own.
    ///
    /// # Errors
    /// When a call failed that must not.
    pub fn keep_up(&self, phase: &Phase<'_>, lane: &Lane) -> Result<(), Stopped> {
        lane.expect_within(0);
        let named = matches!(self.choice, Choice::These(_) | Choice::All);
        std::thread::scope(|scope| {
            let always = std::thread::Builder::new().stack_size(STACK_LEN);
            let always = always.spawn_scoped(scope, || {
                let _ends = StopOnDrop(phase.stop);
                if named {
                    let ground = self.ground(phase, phase.stop, self.turns.is_some());
                    return antagonist::keep_up(&ground, &self.choice, phase.env.job.case.seed);
                }
                let _ = phase.stop.wait(Duration::MAX / 4);
                Ok(())
            })?;
            let _ends = StopOnDrop(phase.stop);
            let outcome = self.take_turns(phase);
            phase.stop.set();
            let always = always
                .join()
                .map_err(|_| CaseError::Broken("an antagonist panicked".to_owned()))?;
            outcome.and(always.map_err(Stopped::from))
        })
    }

    fn take_turns(&self, phase: &Phase<'_>) -> Result<(), Stopped> {
        let lanes = Lanes::default();
        for stretch in 0.. {
            let alone = self.turns.as_ref().map_or(Duration::ZERO, |t| t.alone);
            if phase.stop.wait(alone) {
                return Ok(());
            }
            match &self.turns {
                None => self.stretch(phase, &lanes, stretch, Duration::MAX / 4)?,
                Some(turns) => {
                    (turns.loosen)()?;
                    self.stretch(phase, &lanes, stretch, turns.beside)?;
                    if !phase.stop.is_set() {
                        (turns.tighten)()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// One stretch of time in which everything runs.
    fn stretch<'p>(
        &self,
        phase: &Phase<'p>,
        lanes: &Lanes<'p>,
        number: u64,
        lasts: Duration,
    ) -> Result<(), Stopped> {
        let stop = Stop::default();
        let ground = self.ground(phase, &stop, false);
        let broken: Mutex<Option<CaseError>> = Mutex::default();
        let keep = |outcome: Result<(), CaseError>| {
            if let Err(e) = outcome {
                broken
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(e);
                phase.stop.set();
            }
        };
        std::thread::scope(|scope| {
            let _ends = StopOnDrop(&stop);
            let thread = || std::thread::Builder::new().stack_size(STACK_LEN);
            let owners = self.engine.map_or(0, Engine::owners);
            for owner in 0..owners {
                let (ground, keep) = (&ground, &keep);
                thread().spawn_scoped(scope, move || {
                    let name = format!("engine {owner}");
                    let Some(engine) = self.engine else { return };
                    let Some(lane) = lanes.take(phase, owner, &name) else {
                        keep(Err(CaseError::Broken("the board is full".to_owned())));
                        return;
                    };
                    keep(engine.work(owner, number, ground, lane).map(|found| {
                        if found {
                            phase.stop.set();
                        }
                    }));
                })?;
            }
            if self.choice == Choice::Drawn {
                let seed = phase.seed_of(0xa000 + number);
                let (ground, keep) = (&ground, &keep);
                thread().spawn_scoped(scope, move || {
                    keep(antagonist::keep_up(ground, &Choice::Drawn, seed));
                })?;
            }
            if let Some(whim) = self.whim {
                let (stop, keep) = (&stop, &keep);
                thread().spawn_scoped(scope, move || {
                    while !stop.is_set() {
                        let outcome = whim(stop);
                        let over = outcome.is_err();
                        keep(outcome);
                        if over {
                            return;
                        }
                    }
                })?;
            }
            let _ = phase.stop.wait(lasts);
            Ok::<_, std::io::Error>(())
        })?;
        match broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(e) => Err(e.into()),
            None => Ok(()),
        }
    }
}

/// Places on the board: an owner keeps its own over all stretches.
#[derive(Default)]
struct Lanes<'a>(Mutex<std::collections::BTreeMap<usize, &'a Lane>>);

impl<'a> Lanes<'a> {
    fn take(&self, phase: &Phase<'a>, owner: usize, name: &str) -> Option<&'a Lane> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = taken.get(&owner) {
            lane.rename(name);
            return Some(*lane);
        }
        let lane = phase.env.board.lane(name)?;
        taken.insert(owner, lane);
        Some(lane)
    }
}
