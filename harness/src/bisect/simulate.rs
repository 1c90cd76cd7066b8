//! A simulated range with a culprit, so that the search can be measured: thousands of bisections with
//! known answers. Used by tests and by `cargo xtask bench bisect`; no real trial ever comes from here.

use super::history::History;
use super::problem::Problem;
use super::rule::Rule;
use super::search::Search;
use super::step::{Purpose, Step};
use super::trial::{Outcome, Skip, Trial};

/// A small generator of its own (splitmix64): the same trials on every machine.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Starts it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly between 0 (included) and 1 (not).
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Evenly below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and n"
        )]
        let at = (self.unit() * n as f64) as usize;
        at.min(n.saturating_sub(1))
    }
}

/// What the simulated ranges are like.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Candidates.
    pub commits: usize,
    /// The chance of a full trial of a bad kernel to find the bug.
    pub rate: f64,
    /// How the findings lie in time.
    pub shape: Shape,
    /// The share of commits that do not build, ends excepted.
    pub unbuildable: f64,
    /// The chance of a finding in a trial of a good kernel.
    pub false_alarm: f64,
    /// A build, in seconds, one that fails as well.
    pub build_s: f64,
    /// A full trial, in seconds.
    pub trial_s: f64,
}

/// How findings lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Somewhere between the other two, drawn anew for each range.
    Mixed,
    /// The same hazard in every trial and at any moment of it.
    Steady,
    /// Luck of the boot: the bug shows within a second or so, or not in this trial.
    Sudden,
}

/// A range with a culprit.
#[derive(Debug, Clone)]
pub struct World {
    setting: Setting,
    /// The commit that made the bug; commit 0 is the good end.
    pub culprit: usize,
    hazard: f64,
    builds: Vec<bool>,
    built: Vec<bool>,
    chance: Chance,
}

/// Hazards in units of one trial, at most.
const HAZARD_MAX: f64 = 30.0;

impl World {
    /// Draws one.
    #[must_use]
    pub fn new(setting: Setting, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let culprit = 1 + chance.below(setting.commits);
        let mut builds: Vec<bool> = (0..=setting.commits)
            .map(|_| chance.unit() >= setting.unbuildable)
            .collect();
        for end in [0, setting.commits] {
            builds[end] = true;
        }
        // A rate of 1 leaves no room for quiet trials: there the hazard is what it takes.
        let steady = if setting.rate < 1.0 {
            -(1.0 - setting.rate).ln()
        } else {
            8.0
        };
        let hazard = match setting.shape {
            Shape::Steady => steady,
            Shape::Sudden => HAZARD_MAX,
            Shape::Mixed => steady * (HAZARD_MAX / steady).powf(chance.unit()),
        };
        Self {
            culprit,
            hazard,
            built: vec![false; builds.len()],
            builds,
            chance,
            setting,
        }
    }

    /// Whether a kernel is there already.
    #[must_use]
    pub fn built(&self, commit: usize) -> bool {
        self.built[commit]
    }

    /// Whether a commit builds.
    #[must_use]
    pub fn builds(&self, commit: usize) -> bool {
        self.builds[commit]
    }

    /// Tries a commit; builds it first where that was not done.
    pub fn attempt(&mut self, commit: usize) -> (Outcome, f64, f64) {
        let build_s = if self.built[commit] {
            0.0
        } else {
            self.setting.build_s
        };
        if !self.builds[commit] {
            let why = Skip::Build;
            return (Outcome::Skip { why }, build_s, 0.0);
        }
        self.built[commit] = true;
        let (length, rate) = (self.setting.trial_s, self.setting.rate);
        if commit >= self.culprit && self.chance.unit() < rate {
            // Exponential, given that it shows within the trial.
            let within = 1.0 - (-self.hazard).exp();
            let after_s = -(1.0 - self.chance.unit() * within).ln() / self.hazard * length;
            return (Outcome::Found { after_s }, build_s, after_s);
        }
        if self.setting.false_alarm > 0.0 && self.chance.unit() < self.setting.false_alarm {
            let after_s = self.chance.unit() * length;
            return (Outcome::Found { after_s }, build_s, after_s);
        }
        (Outcome::Quiet { for_s: length }, build_s, length)
    }
}

/// What one simulated search came to.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The named set; empty where the range was given up.
    pub named: Vec<usize>,
    /// The stated probability.
    pub confidence: f64,
    /// Whether the culprit is among the named.
    pub right: bool,
    /// Seconds from known ends to the answer.
    pub search_s: f64,
    /// Seconds for the check of both ends, before.
    pub ends_s: f64,
    /// Seconds for the verification, after: the parent quiet for long enough, the culprit found again.
    pub verify_s: f64,
    /// Trials between known ends and answer.
    pub trials: u32,
    /// Builds between known ends and answer.
    pub builds: u32,
}

/// Searches one simulated range to its end.
///
/// # Errors
/// Where the rule makes no sense.
pub fn run(setting: Setting, rule: Rule, seed: u64, ignoring_cost: bool) -> Result<Ran, Problem> {
    let mut world = World::new(setting, seed);
    let ids = (0..=setting.commits).map(|c| c.to_string()).collect();
    let mut search = Search::new(History::linear(ids)?, &[], rule)?;
    if ignoring_cost {
        search = search.ignoring_cost();
    }
    let mut ran = Ran {
        named: Vec::new(),
        confidence: 0.0,
        right: false,
        search_s: 0.0,
        ends_s: 0.0,
        verify_s: 0.0,
        trials: 0,
        builds: 0,
    };
    loop {
        let choice = match search.step(&[]) {
            Step::Try(choice) => choice,
            Step::Done(answer) => {
                ran.right = answer.named.contains(&world.culprit);
                ran.named = answer.named;
                ran.confidence = answer.confidence;
                break;
            }
            Step::Bad(_) | Step::Wait => break,
        };
        let trial = attempt(&mut world, &search, choice.commit);
        if choice.purpose == Purpose::Search {
            ran.search_s += trial.took_s();
            ran.trials += u32::from(trial.run_s > 0.0);
            ran.builds += u32::from(trial.build_s > 0.0);
        } else {
            ran.ends_s += trial.took_s();
        }
        search.record(trial)?;
    }
    ran.verify_s = verify(&mut world, &search, &ran.named);
    Ok(ran)
}

fn attempt(world: &mut World, search: &Search, commit: usize) -> Trial {
    let (outcome, build_s, run_s) = world.attempt(commit);
    Trial {
        commit: search.history().id(commit).to_owned(),
        nth: search.tally(commit).trials(),
        outcome,
        build_s,
        boot_s: 0.0,
        run_s,
        seen: None,
    }
}

/// Seconds until the parent of the named set was quiet as long as the learned rate demands (or failed), and
/// its newest commit was found bad once more (or stayed quiet as long).
fn verify(world: &mut World, search: &Search, named: &[usize]) -> f64 {
    let (Some(&first), Some(&last)) = (named.first(), named.last()) else {
        return 0.0;
    };
    let trials = search.learned().quiet_trials;
    let mut spent_s = 0.0;
    for commit in [first.saturating_sub(1), last] {
        for _ in 0..trials {
            let (outcome, build_s, run_s) = world.attempt(commit);
            spent_s += build_s + run_s;
            if !matches!(outcome, Outcome::Quiet { .. }) {
                break;
            }
        }
    }
    spent_s
}
