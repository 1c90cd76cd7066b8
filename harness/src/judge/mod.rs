//! Whether a patched kernel is worse than its base, from repeated trials whose outcomes vary by chance.
//!
//! Trials come in pairs: the same cell with the same seed on base and on patched. A pair in which both
//! fail, or neither does, says nothing about the difference; of the others, on equally good kernels
//! each side is the failing one half of the time, whatever the rate at which either fails. That makes
//! Wald's sequential test of double dichotomies exact about its errors without knowing those rates
//! (A. Wald, *Sequential Analysis*, 1947, chapter 6): a kernel that is no worse is called worse with a
//! chance of at most [`Rule::false_blame`], one whose odds of failing are [`Rule::odds`] times the base's
//! is called no worse with a chance of at most about [`Rule::false_clear`].
//!
//! Pure: it runs nothing and knows no kernel. Not here: what counts as a finding, and as the same one.

/// How sure a judgement has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Greatest chance of blaming a series that is no worse than its base.
    pub false_blame: f64,
    /// Greatest chance of clearing a series that is worse by [`Self::odds`].
    pub false_clear: f64,
    /// The odds ratio that must not be missed: how many times the base's odds of failing.
    pub odds: f64,
    /// The hit rate that must not be missed where neither side fails any more.
    pub rate: f64,
    /// Most pairs; what is undecided then is said to be.
    pub pairs_max: u32,
}

impl Default for Rule {
    /// One wrong blame in a hundred, one wrong all-clear in twenty.
    fn default() -> Self {
        Self {
            false_blame: 0.01,
            false_clear: 0.05,
            odds: 10.0,
            rate: 0.1,
            pairs_max: 120,
        }
    }
}

/// Why a rule is impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum RuleError {
    /// A chance of error outside of (0, 0.5).
    #[error("chances of error must lie between 0 and 0.5")]
    Errors,
    /// An odds ratio that is no difference.
    #[error("the odds ratio must be greater than 1")]
    Odds,
    /// A rate outside of (0, 1).
    #[error("the hit rate must lie between 0 and 1")]
    Rate,
    /// Fewer pairs than any decision takes.
    #[error("at least {least} pairs are needed before anything can be decided")]
    #[diagnostic(help("allow more pairs, or larger chances of error"))]
    Pairs {
        /// How many.
        least: u32,
    },
}

/// What the trials so far say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Judgement {
    /// Go on with another pair.
    Open,
    /// Patched is worse than base.
    Worse,
    /// Patched is not worse, by the rule's odds.
    NotWorse,
    /// Neither failed often enough to compare; a rate of [`Rule::rate`] would have shown.
    Quiet,
    /// The pairs are used up.
    Undecided,
}

/// The outcome of one pair: whether each side had the finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// On the base.
    pub base: bool,
    /// On the patched kernel.
    pub patched: bool,
}

/// Counts of pairs, and the judgement over them.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    rule: Rule,
    both: u32,
    neither: u32,
    base_only: u32,
    patched_only: u32,
}

impl Comparison {
    /// Starts a comparison.
    ///
    /// # Errors
    /// [`RuleError`] where the rule cannot be kept.
    pub fn new(rule: Rule) -> Result<Self, RuleError> {
        let chance = |p: f64| p > 0.0 && p < 0.5;
        if !(chance(rule.false_blame) && chance(rule.false_clear)) {
            return Err(RuleError::Errors);
        }
        if rule.odds.is_nan() || rule.odds <= 1.0 {
            return Err(RuleError::Odds);
        }
        if !(rule.rate > 0.0 && rule.rate < 1.0) {
            return Err(RuleError::Rate);
        }
        let new = Self {
            rule,
            both: 0,
            neither: 0,
            base_only: 0,
            patched_only: 0,
        };
        let least = new.least();
        if rule.pairs_max < least {
            return Err(RuleError::Pairs { least });
        }
        Ok(new)
    }

    /// Fewest pairs after which patched can be called worse.
    #[must_use]
    pub fn least(&self) -> u32 {
        let (patched, _) = self.steps();
        count((self.worse_at() / patched).ceil())
    }

    /// Pairs without a finding after which it is quiet: a rate of [`Rule::rate`] on the patched kernel
    /// would have shown before, but for a chance of [`Rule::false_clear`].
    #[must_use]
    pub fn quiet_after(&self) -> u32 {
        count((self.rule.false_clear.ln() / (1.0 - self.rule.rate).ln()).ceil())
    }

    /// Takes one more pair in.
    pub fn add(&mut self, pair: Pair) {
        let cell = match (pair.base, pair.patched) {
            (true, true) => &mut self.both,
            (false, false) => &mut self.neither,
            (true, false) => &mut self.base_only,
            (false, true) => &mut self.patched_only,
        };
        *cell += 1;
    }

    /// Pairs so far.
    #[must_use]
    pub fn pairs(&self) -> u32 {
        self.both + self.neither + self.base_only + self.patched_only
    }

    /// Findings so far: on base, on patched.
    #[must_use]
    pub fn findings(&self) -> (u32, u32) {
        (self.both + self.base_only, self.both + self.patched_only)
    }

    /// Judges what is known.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        let (patched, base) = self.steps();
        let evidence = f64::from(self.patched_only) * patched + f64::from(self.base_only) * base;
        if evidence >= self.worse_at() {
            Judgement::Worse
        } else if evidence <= self.clear_at() {
            Judgement::NotWorse
        } else if self.patched_only + self.both == 0 && self.pairs() >= self.quiet_after() {
            Judgement::Quiet
        } else if self.pairs() >= self.rule.pairs_max {
            Judgement::Undecided
        } else {
            Judgement::Open
        }
    }

    /// Log-likelihood of "worse" against "the same" for a pair in which only patched failed, only base did.
    fn steps(&self) -> (f64, f64) {
        let worse = self.rule.odds / (1.0 + self.rule.odds);
        ((worse / 0.5).ln(), ((1.0 - worse) / 0.5).ln())
    }

    fn worse_at(&self) -> f64 {
        ((1.0 - self.rule.false_clear) / self.rule.false_blame).ln()
    }

    fn clear_at(&self) -> f64 {
        (self.rule.false_clear / (1.0 - self.rule.false_blame)).ln()
    }
}

fn count(n: f64) -> u32 {
    // Negative and endless numbers of pairs cannot come out of a checked rule.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and that is right here"
    )]
    {
        n as u32
    }
}

#[cfg(test)]
mod tests;
