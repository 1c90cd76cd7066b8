//! The racepoints of a case, armed for its length: named ones all the time, random ones by rounds.
//!
//! The supervisor holds the control files, so that they are closed however the case ends.

use super::frames::Frames;
use super::link::Job;
use crate::protocol::{Arm, End, Outcome, RANDOM};
use crate::sys::racepoint::{self, Racepoint};
use crate::sys::{SysError, proc};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;

/// How long one draw stays armed, in nanoseconds.
const ROUND_NS: u64 = 2_000_000_000;
/// How many are armed at once, at most.
const AT_ONCE_MAX: u64 = 3;

/// The racepoints of a case.
#[derive(Default)]
pub struct Races {
    named: Vec<Racepoint>,
    rounds: Option<Rounds>,
}

/// Random racepoints: each round arms one to three, drawn by the seed, each with a delay of its own.
struct Rounds {
    rng: Pcg64Mcg,
    /// The delays that may be drawn.
    within: Arm,
    names: Vec<String>,
    armed: Vec<Racepoint>,
    until_ns: u64,
    hits: BTreeMap<String, u64>,
    timed_out: u64,
}

impl Races {
    /// Arms what a case asks for.
    ///
    /// # Errors
    /// How the case ends without it.
    pub fn arm(job: &Job) -> Result<Self, Outcome> {
        let is_random = |arm: &&Arm| arm.name == RANDOM;
        let named = || job.case.racepoints.iter().filter(|arm| !is_random(arm));
        let skipped = |why: String| Outcome::Skipped { why };
        if let Some(missing) = named().find(|arm| !racepoint::exists(&arm.name)) {
            return Err(skipped(format!("this kernel has no racepoint {}", missing.name)));
        }
        let failed = |e: SysError| Outcome::Failed { error: e.to_string() };
        let armed = named()
            .map(Racepoint::arm)
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let Some(within) = job.case.racepoints.iter().find(is_random) else {
            return Ok(Self {
                named: armed,
                rounds: None,
            });
        };
        let taken: Vec<&str> = named().map(|arm| arm.name.as_str()).collect();
        let mut names = racepoint::all().map_err(failed)?;
        names.retain(|name| !taken.contains(&name.as_str()));
        if names.is_empty() {
            return Err(skipped("this kernel has no racepoints to draw from".to_owned()));
        }
        let mut races = Self {
            named: armed,
            rounds: Some(Rounds {
                rng: Pcg64Mcg::seed_from_u64(job.case.seed ^ 0x07ac_e901),
                within: within.clone(),
                names,
                armed: Vec::new(),
                until_ns: 0,
                hits: BTreeMap::new(),
                timed_out: 0,
            }),
        };
        races.tick(proc::uptime_ns()).map_err(failed)?;
        Ok(races)
    }

    /// Begins the next round, where its time has come.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn tick(&mut self, now_ns: u64) -> Result<(), SysError> {
        match &mut self.rounds {
            Some(rounds) if now_ns >= rounds.until_ns => {
                rounds.until_ns = now_ns + ROUND_NS;
                rounds.settle()?;
                for arm in draw(&mut rounds.rng, &rounds.names, &rounds.within) {
                    rounds.armed.push(Racepoint::arm(&arm)?);
                }
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Notes in a case's end what was hit. What can't be read is not told, and a control without hits
    /// counts for nothing.
    pub fn note(mut self, end: &mut End, frames: &mut Frames) {
        for race in &self.named {
            match race.stat() {
                Ok(stat) => {
                    end.racepoint_hits.insert(race.name().to_owned(), stat.hits);
                    end.holds_timed_out += stat.timed_out;
                }
                Err(e) => frames.log(&e.to_string()),
            }
        }
        if let Some(rounds) = &mut self.rounds {
            if let Err(e) = rounds.settle() {
                frames.log(&e.to_string());
            }
            let all = rounds.hits.values().sum();
            end.racepoint_hits.append(&mut rounds.hits);
            end.racepoint_hits.insert(RANDOM.to_owned(), all);
            end.holds_timed_out += rounds.timed_out;
        }
    }
}

impl Rounds {
    /// Disarms what is armed and keeps what it counted.
    fn settle(&mut self) -> Result<(), SysError> {
        for race in std::mem::take(&mut self.armed) {
            let stat = race.stat()?;
            *self.hits.entry(race.name().to_owned()).or_default() += stat.hits;
            self.timed_out += stat.timed_out;
        }
        Ok(())
    }
}

/// Draws one round: other racepoints each, and for each a part of the delays allowed.
fn draw(rng: &mut Pcg64Mcg, names: &[String], within: &Arm) -> Vec<Arm> {
    let mut left: Vec<&String> = names.iter().collect();
    let wanted = 1 + rng.next_u64() % AT_ONCE_MAX;
    let mut arms = Vec::new();
    while (arms.len() as u64) < wanted && !left.is_empty() {
        let name = left.swap_remove(rng.next_u64() as usize % left.len());
        let span = within.delay_us_max - within.delay_us_min + 1;
        let (one, other) = (rng.next_u32() % span, rng.next_u32() % span);
        arms.push(Arm {
            name: name.clone(),
            delay_us_min: within.delay_us_min + one.min(other),
            delay_us_max: within.delay_us_min + one.max(other),
            hold_us_max: 0,
        });
    }
    arms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_follows_the_seed_and_stays_within_what_is_allowed() {
        let names: Vec<String> = (0..9).map(|n| format!("point{n}")).collect();
        let within = Arm {
            name: RANDOM.into(),
            delay_us_min: 10,
            delay_us_max: 300,
            hold_us_max: 0,
        };
        let rounds = |seed, names: &[String]| {
            let mut rng = Pcg64Mcg::seed_from_u64(seed);
            (0..300)
                .map(|_| draw(&mut rng, names, &within))
                .collect::<Vec<_>>()
        };
        assert_eq!(rounds(1, &names), rounds(1, &names));
        assert_ne!(rounds(1, &names), rounds(2, &names));
        let mut met = std::collections::BTreeSet::new();
        for arms in rounds(1, &names) {
            assert!((1..=3).contains(&arms.len()));
            let different: std::collections::BTreeSet<_> = arms.iter().map(|arm| &arm.name).collect();
            assert_eq!(different.len(), arms.len());
            for arm in &arms {
                assert!(
                    10 <= arm.delay_us_min && arm.delay_us_min <= arm.delay_us_max && arm.delay_us_max <= 300
                );
                met.insert(arm.name.clone());
            }
        }
        assert_eq!(met.len(), names.len());
        assert!(rounds(1, &names[..1]).iter().all(|arms| arms.len() == 1));
    }
}
