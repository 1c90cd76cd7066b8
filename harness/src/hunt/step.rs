//! One step of a search that somebody else drives: `git bisect run patchproof step …`.
//!
//! git has no word for "probably": a step tries the kernel several times, and calls it good only when all of
//! them stayed quiet. Not here: the search that knows how much that is worth (that is `bisect`).

use super::bench::Came;
use super::bug::{Bug, Wanted};
use super::event::came_to;
use super::trials::judged;
use crate::bisect::{Outcome, Skip, Trial};
use crate::kernel::Request;
use crate::plan::{self, Cell};
use crate::run::{Event, Made, Single};
use serde::Serialize;
use tokio::sync::{mpsc, watch};

/// What a step comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Said {
    /// Every trial stayed quiet.
    Good {
        /// Trials.
        trials: u32,
    },
    /// The bug showed.
    Bad {
        /// What was seen.
        seen: String,
    },
    /// Nothing can be said: another bug, no build, no boot, nothing proved.
    Skip {
        /// Why.
        why: String,
    },
    /// The harness or the host broke.
    Broken {
        /// How.
        why: String,
    },
}

impl Said {
    /// The exit code that `git bisect run` understands: good, bad, cannot be tested, end the search.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::Good { .. } => 0,
            Self::Bad { .. } => 1,
            Self::Skip { .. } => 125,
            Self::Broken { .. } => 128,
        }
    }
}

/// Events that may wait to be shown.
const EVENTS_WAITING_MAX: usize = 256;

/// Tries one kernel up to `trials` times, and stops at the first finding that counts.
pub async fn step(
    single: &Single,
    request: Request,
    cell: &Cell,
    trials: u32,
    wanted: &Wanted,
    mut show: impl FnMut(&Event),
    cancel: watch::Receiver<bool>,
) -> Said {
    let (events, mut heard) = mpsc::channel(EVENTS_WAITING_MAX);
    let mut work = Box::pin(work(single, request, cell, trials, wanted, events, cancel));
    loop {
        tokio::select! {
            biased;
            Some(event) = heard.recv() => show(&event),
            said = &mut work => return said,
        }
    }
}

async fn work(
    single: &Single,
    request: Request,
    cell: &Cell,
    trials: u32,
    wanted: &Wanted,
    events: mpsc::Sender<Event>,
    cancel: watch::Receiver<bool>,
) -> Said {
    let kernel = cell.kernel.clone();
    let _ = events.send(Event::KernelStarted { kernel }).await;
    let bug = Bug::new(wanted.clone());
    let stopped = || Said::Broken {
        why: "stopped on request".to_owned(),
    };
    let built = match single
        .kernel(&cell.kernel, request, events.clone(), cancel.clone())
        .await
    {
        Made::Ready { built, record } => {
            let _ = events.send(Event::KernelReady(record)).await;
            built
        }
        Made::Failed(_) if *cancel.borrow() => return stopped(),
        Made::Failed(verdict) => return failed(judged("HEAD", 0, Came::failed(verdict), &bug)),
    };
    let mut silent: Vec<String> = Vec::new();
    let mut quiet = 0;
    for nth in 0..trials {
        let cell = Cell {
            id: format!("{}.{nth}", cell.kernel),
            group: cell.kernel.clone(),
            seed: plan::seed(cell.case.spec.seed, nth.saturating_add(1)),
            expect: None,
            ..cell.clone()
        };
        let Some(record) = single.boot(&cell, &built, &events, cancel.clone()).await else {
            return stopped();
        };
        let trial = match judged("HEAD", nth, Came::of(record), &bug) {
            Ok(Some(trial)) => trial,
            Ok(None) => return stopped(),
            Err(why) => return Said::Broken { why },
        };
        match next(&trial, &mut quiet, &mut silent) {
            Some(said) => return said,
            None => continue,
        }
    }
    ended(quiet, silent)
}

/// What a trial decides by itself.
fn next(trial: &Trial, quiet: &mut u32, silent: &mut Vec<String>) -> Option<Said> {
    match trial.outcome {
        Outcome::Found { .. } | Outcome::Told { bad: true } => Some(Said::Bad { seen: came_to(trial) }),
        Outcome::Quiet { .. } | Outcome::Told { bad: false } => {
            *quiet += 1;
            None
        }
        Outcome::Skip { why } if why.lasting() => Some(Said::Skip { why: came_to(trial) }),
        Outcome::Skip {
            why: Skip::Build | Skip::Boot | Skip::Lacks | Skip::Other | Skip::Inconclusive,
        } => {
            silent.push(came_to(trial));
            None
        }
    }
}

/// What all trials together come to: one that said nothing is no quiet one.
fn ended(quiet: u32, mut silent: Vec<String>) -> Said {
    match silent.pop() {
        None => Said::Good { trials: quiet },
        Some(last) => Said::Skip {
            why: format!(
                "{} of {} trials said nothing: {last}",
                silent.len() + 1,
                quiet as usize + silent.len() + 1
            ),
        },
    }
}

fn failed(judged: Result<Option<Trial>, String>) -> Said {
    match judged {
        Ok(Some(trial)) => Said::Skip { why: came_to(&trial) },
        Ok(None) => Said::Broken {
            why: "stopped on request".to_owned(),
        },
        Err(why) => Said::Broken { why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(outcome: Outcome) -> Trial {
        Trial {
            commit: "HEAD".to_owned(),
            nth: 0,
            outcome,
            build_s: 0.0,
            boot_s: 0.0,
            run_s: 0.0,
            seen: None,
        }
    }

    /// What a row of trials comes to, and how many were made.
    fn row(outcomes: &[Outcome]) -> (u8, usize) {
        let (mut quiet, mut silent) = (0, Vec::new());
        for (made, outcome) in outcomes.iter().enumerate() {
            if let Some(said) = next(&trial(*outcome), &mut quiet, &mut silent) {
                return (said.exit(), made + 1);
            }
        }
        (ended(quiet, silent).exit(), outcomes.len())
    }

    #[test]
    fn a_step_is_good_only_when_every_trial_was() {
        let quiet = Outcome::Quiet { for_s: 30.0 };
        let found = Outcome::Found { after_s: 1.0 };
        let other = Outcome::Skip { why: Skip::Other };
        let build = Outcome::Skip { why: Skip::Build };
        assert_eq!(row(&[quiet, quiet, quiet]), (0, 3));
        assert_eq!(row(&[quiet, found, quiet]), (1, 2), "the first finding ends it");
        assert_eq!(row(&[quiet, other, quiet]), (125, 3), "another bug is no good");
        assert_eq!(row(&[other, found]), (1, 2));
        assert_eq!(row(&[build, found]), (125, 1), "it never will");
        assert_eq!(failed(Err("no space".into())).exit(), 128);
    }
}
