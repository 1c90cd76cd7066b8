//! The search: trials in, next trial or answer out. Same trials in the same order, same answer to the bit.

use super::answer::{self, Answer, Ending, Learned};
use super::belief::Belief;
use super::choose;
use super::history::History;
use super::hits::Hits;
use super::problem::Problem;
use super::rule::Rule;
use super::step::{Choice, Purpose, Step, Tally};
use super::trial::{Outcome, Skip, Trial};
use std::collections::HashSet;

/// Trials without any word about the bug after which a commit counts as untestable.
const MISSING_MAX: u32 = 3;
/// The chance that somebody calls a bad commit good: their word, however many trials it stands for.
const WORD_MISSED: f64 = 0.1;
/// The part of the allowed error that is kept back for what the model may have wrong: hit rates are not
/// drawn from our prior. It costs a trial or two.
const KEPT_BACK: f64 = 0.2;
/// What the good end may still be suspected of when the search starts.
const GOOD_IS_BAD_MAX: f64 = 0.005;

/// A search under way.
#[derive(Debug, Clone)]
pub struct Search {
    pub(super) rule: Rule,
    pub(super) history: History,
    pub(super) hits: Hits,
    pub(super) belief: Belief,
    pub(super) tally: Vec<Tally>,
    log: Vec<Trial>,
    classes: Vec<Vec<usize>>,
    spent_s: f64,
    pub(super) ignores_cost: bool,
}

impl Search {
    /// Starts a search. `weights` are the candidates' prior weights, oldest first; all alike where empty.
    /// The good end has none: [`Rule::good_is_bad`] is its.
    ///
    /// # Errors
    /// [`Problem::Rule`] where the rule makes no sense.
    pub fn new(history: History, weights: &[f64], rule: Rule) -> Result<Self, Problem> {
        rule.check()?;
        let len = history.len();
        let mut prior = vec![0.0; len];
        for (candidate, prior) in prior.iter_mut().enumerate().skip(1) {
            // A weight shapes; it never excludes.
            let weight = weights.get(candidate - 1).copied().unwrap_or(1.0);
            *prior = if weight.is_finite() { weight.max(1e-3) } else { 1.0 };
        }
        let rest: f64 = prior.iter().sum();
        prior[0] = rest * rule.good_is_bad / (1.0 - rule.good_is_bad);
        let hits = Hits::new(rule.trial_s, rule.false_alarm);
        Ok(Self {
            belief: Belief::new(prior, &hits),
            classes: history.classes(&vec![false; len]),
            tally: vec![Tally::default(); len],
            log: Vec::new(),
            spent_s: 0.0,
            ignores_cost: false,
            rule,
            history,
            hits,
        })
    }

    /// Values each trial by its bits alone, whatever it costs: what a cost-blind search does, to compare.
    #[must_use]
    pub fn ignoring_cost(mut self) -> Self {
        self.ignores_cost = true;
        self
    }

    /// Takes a finished trial in.
    ///
    /// # Errors
    /// [`Problem::Log`] where it belongs to no commit of the range.
    pub fn record(&mut self, trial: Trial) -> Result<(), Problem> {
        let line = self.log.len() + 1;
        let refuse = |what: String| Problem::Log { line, what };
        let commit = self
            .history
            .find(&trial.commit)
            .ok_or_else(|| refuse(format!("{} is no commit of this range", trial.commit)))?;
        let times = [trial.build_s, trial.boot_s, trial.run_s];
        let at = match trial.outcome {
            Outcome::Found { after_s } => after_s,
            Outcome::Quiet { for_s } => for_s,
            Outcome::Skip { .. } | Outcome::Told { .. } => 0.0,
        };
        if times.iter().chain([&at]).any(|t| !t.is_finite() || *t < 0.0) {
            return Err(refuse(format!("a trial of {} took no valid time", trial.commit)));
        }
        let tally = &mut self.tally[commit];
        match trial.outcome {
            Outcome::Told { bad } => {
                let none = vec![if bad { 0.0 } else { WORD_MISSED.ln() }; self.hits.len()];
                let good = if bad { self.rule.false_alarm.ln() } else { 0.0 };
                self.belief.observe(&self.history, commit, &none, good);
            }
            Outcome::Found { after_s } => {
                tally.found += 1;
                tally.built = true;
                let (bad, good) = self.hits.found(after_s);
                self.belief.observe(&self.history, commit, &bad, good);
            }
            Outcome::Quiet { for_s } => {
                tally.quiet += 1;
                tally.built = true;
                tally.quiet_s += for_s;
                let (bad, good) = self.hits.stayed_quiet(for_s);
                self.belief.observe(&self.history, commit, &bad, good);
            }
            Outcome::Skip { why } => {
                tally.missing += 1;
                tally.built = why != Skip::Build;
                let silent = tally.found + tally.quiet == 0;
                if silent && (why.lasting() || tally.missing >= MISSING_MAX) {
                    tally.skip = Some(why);
                    let skipped: Vec<bool> = self.tally.iter().map(|t| t.skip.is_some()).collect();
                    self.classes = self.history.classes(&skipped);
                }
            }
        }
        self.spent_s += trial.took_s();
        self.log.push(trial);
        Ok(())
    }

    /// Says that a commit's kernel is in the cache.
    pub fn cached(&mut self, commit: usize) {
        if let Some(tally) = self.tally.get_mut(commit) {
            tally.built = true;
        }
    }

    /// What to do next, while trials of the `pending` commits are under way.
    #[must_use]
    pub fn step(&self, pending: &[usize]) -> Step {
        if let Some(step) = self.ends(pending) {
            return step;
        }
        if let Some(answer) = self.answer() {
            return if answer.named == [0] {
                Step::Bad(self.good_is_bad())
            } else {
                Step::Done(answer)
            };
        }
        let choice = if pending.is_empty() {
            choose::best(self, &self.belief)
        } else {
            choose::best(self, &self.supposing(pending))
        };
        match choice {
            Some(choice) => Step::Try(choice),
            None if pending.is_empty() => Step::Done(answer::answer(self, Ending::Exhausted)),
            None => Step::Wait,
        }
    }

    /// The belief as if the pending trials had stayed quiet: the likelier outcome, and what keeps others
    /// from trying the same again.
    fn supposing(&self, pending: &[usize]) -> Belief {
        let mut belief = self.belief.clone();
        let (bad, good) = self.hits.stayed_quiet(self.rule.trial_s);
        for &commit in pending.iter().filter(|&&c| c < self.history.len()) {
            belief.observe(&self.history, commit, &bad, good);
        }
        belief
    }

    /// The commits whose kernels are worth building while the `pending` trials run, best first: what would
    /// be tried next if they stayed quiet, and if the first of them found the bug.
    #[must_use]
    pub fn ahead(&self, pending: &[usize]) -> Vec<usize> {
        let mut ahead = Vec::new();
        let mut add = |choice: Option<Choice>| {
            if let Some(choice) = choice
                && !self.tally[choice.commit].built
                && !ahead.contains(&choice.commit)
            {
                ahead.push(choice.commit);
            }
        };
        add(choose::best(self, &self.supposing(pending)));
        if let Some(&first) = pending.first().filter(|&&c| c < self.history.len()) {
            let mut belief = self.belief.clone();
            let (bad, good) = self.hits.found(self.rule.trial_s / 2.0);
            belief.observe(&self.history, first, &bad, good);
            add(choose::best(self, &belief));
        }
        ahead
    }

    /// Whether the ends still have to be checked, and how.
    fn ends(&self, pending: &[usize]) -> Option<Step> {
        let bad = self.history.bad();
        let (at_bad, at_good) = (self.tally[bad], self.tally[0]);
        for (end, commit) in [("bad", bad), ("good", 0)] {
            if let Some(why) = self.tally[commit].skip {
                return Some(Step::Bad(Problem::Untestable {
                    end,
                    commit: self.history.id(commit).to_owned(),
                    why: format!("it {}", why.words()),
                }));
            }
        }
        let waiting = |commit: usize| pending.iter().filter(|&&c| c == commit).count() as u32;
        let max = self.rule.end_trials_max;
        let look = |commit: usize, tally: Tally, purpose: Purpose| {
            let left = max.saturating_sub(tally.trials());
            if waiting(commit) >= left {
                return Step::Wait;
            }
            Step::Try(Choice {
                commit,
                repeats: left,
                purpose,
            })
        };
        if at_bad.found < self.rule.found_at_bad && at_bad.trials() < max {
            return Some(look(bad, at_bad, Purpose::BadEnd));
        }
        let trials = at_bad.quiet;
        if at_bad.found == 0 && at_good.found > 0 {
            return Some(Step::Bad(Problem::BadIsGood { trials }));
        }
        if at_bad.found == 0 && at_good.trials() >= max {
            // The rule of three, exactly: (1 − rate)^trials = 0.05.
            let rate = 1.0 - 0.05f64.powf(1.0 / f64::from(trials.max(1)));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 100"
            )]
            let rate_percent = (rate * 100.0).ceil() as u32;
            return Some(Step::Bad(Problem::Nothing { trials, rate_percent }));
        }
        let suspicion = self.belief.candidates()[0];
        if suspicion >= self.rule.confidence {
            return Some(Step::Bad(self.good_is_bad()));
        }
        let open = at_bad.found == 0 || suspicion > GOOD_IS_BAD_MAX;
        (open && at_good.trials() < max).then(|| look(0, at_good, Purpose::GoodEnd))
    }

    fn good_is_bad(&self) -> Problem {
        Problem::GoodIsBad {
            found: self.tally[0].found,
            trials: self.tally[0].trials(),
        }
    }

    /// The answer, once it is sure enough or the budget is used up.
    fn answer(&self) -> Option<Answer> {
        let error_max = (1.0 - KEPT_BACK) * (1.0 - self.rule.confidence);
        if answer::confidence(self) >= 1.0 - error_max {
            return Some(answer::answer(self, Ending::Sure));
        }
        self.rule
            .budget_s
            .is_some_and(|budget| self.spent_s >= budget)
            .then(|| answer::answer(self, Ending::Budget))
    }

    /// The range.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Every trial so far.
    #[must_use]
    pub fn log(&self) -> &[Trial] {
        &self.log
    }

    /// What is known of a commit.
    #[must_use]
    pub fn tally(&self, commit: usize) -> Tally {
        self.tally.get(commit).copied().unwrap_or_default()
    }

    /// The number of the next trial of a commit: the first that neither the log nor `started` has.
    #[must_use]
    pub fn next_nth(&self, commit: usize, started: &[u32]) -> u32 {
        let id = self.history.id(commit);
        let own = self
            .log
            .iter()
            .filter(|t| t.commit == id && !matches!(t.outcome, Outcome::Told { .. }));
        let used: HashSet<u32> = own.map(|t| t.nth).chain(started.iter().copied()).collect();
        (0..).find(|nth| !used.contains(nth)).unwrap_or(u32::MAX)
    }

    /// Seconds of machine time so far.
    #[must_use]
    pub fn spent_s(&self) -> f64 {
        self.spent_s
    }

    /// The posterior of each candidate, the good end ("it was there before") first; sums to 1.
    #[must_use]
    pub fn candidates(&self) -> Vec<f64> {
        self.belief.candidates()
    }

    /// The sets of candidates that no testable commit separates.
    #[must_use]
    pub fn classes(&self) -> &[Vec<usize>] {
        &self.classes
    }

    /// For each commit the probability that it is bad.
    #[must_use]
    pub fn bad(&self) -> Vec<f64> {
        self.history.sums(&self.belief.candidates())
    }

    /// What is known of the hit rate of a bad kernel in one trial.
    #[must_use]
    pub fn learned(&self) -> Learned {
        Learned::new(&self.hits, &self.belief.behaviour(), self.rule.trial_s)
    }

    /// Seconds of machine time that the search proper is likely to take from here on: the bits that are missing,
    /// at the pace of the best commit that has to be built. None while the ends are checked, and where no trial tells anything.
    #[must_use]
    pub fn left_s(&self) -> Option<f64> {
        if self.ends(&[]).is_some() {
            return None;
        }
        let candidates = self.belief.candidates();
        let masses = self
            .classes
            .iter()
            .map(|class| class.iter().map(|&c| candidates[c]).sum::<f64>());
        let bits: f64 = masses.filter(|m| *m > 0.0).map(|m| -m * m.log2()).sum();
        let missing = bits - choose::entropy(self.rule.confidence);
        let pace = choose::pace(self, &self.belief);
        let rate = match pace {
            Some(pace) => pace,
            None => choose::best_rated(self, &self.belief)?.0,
        };
        (rate > 0.0).then(|| (missing / rate).max(0.0))
    }

    /// Mean seconds of what was measured, the rule's word counted as one measurement.
    pub(super) fn costs(&self) -> (f64, f64) {
        let mean = |first: f64, each: &dyn Fn(&Trial) -> f64| {
            let measured = self.log.iter().map(each).filter(|&s| s > 0.0);
            let (n, sum) = measured.fold((1.0, first), |(n, sum), s| (n + 1.0, sum + s));
            sum / n
        };
        (
            mean(self.rule.build_s, &|t| t.build_s),
            mean(self.rule.boot_s, &|t| t.boot_s),
        )
    }
}
