//! What a search is told before it starts.

use super::problem::Problem;
use serde::{Deserialize, Serialize};

/// How sure an answer has to be, and what things cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The probability that the named set has to reach.
    pub confidence: f64,
    /// The probability that the bug is older than the good end, before anything was tried.
    pub good_is_bad: f64,
    /// How often the bad end has to fail before the search starts: what the hit rate is learned from. Each
    /// finding here saves trials later, since a silence is worth what is known of the rate. By simulation
    /// the sum is least near four; six cost a twentieth more in all, and the stated confidence is truer.
    pub found_at_bad: u32,
    /// Most trials of an end.
    pub end_trials_max: u32,
    /// A trial's length where nothing is found, in seconds.
    pub trial_s: f64,
    /// A build, in seconds, until real ones were measured.
    pub build_s: f64,
    /// A boot, in seconds, until real ones were measured.
    pub boot_s: f64,
    /// The chance of a finding in a trial of a good kernel.
    pub false_alarm: f64,
    /// Seconds of machine time after which the search ends with what it knows.
    pub budget_s: Option<f64>,
}

impl Default for Rule {
    /// Nineteen in twenty, trials of half a minute, no limit.
    fn default() -> Self {
        Self {
            confidence: 0.95,
            good_is_bad: 0.02,
            found_at_bad: 6,
            end_trials_max: 200,
            trial_s: 30.0,
            build_s: 60.0,
            boot_s: 3.0,
            false_alarm: 1e-4,
            budget_s: None,
        }
    }
}

impl Rule {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// [`Problem::Rule`] names the first setting that is out of bounds.
    pub fn check(&self) -> Result<(), Problem> {
        let bounds = [
            ("the confidence", self.confidence, 0.5, 0.9999),
            (
                "the probability that the good end is bad",
                self.good_is_bad,
                0.0,
                0.5,
            ),
            (
                "the number of findings at the bad end",
                f64::from(self.found_at_bad),
                1.0,
                100.0,
            ),
            (
                "the number of trials of an end",
                f64::from(self.end_trials_max),
                1.0,
                100_000.0,
            ),
            ("a trial's length", self.trial_s, 0.1, 86_400.0),
            ("a build's length", self.build_s, 0.0, 86_400.0),
            ("a boot's length", self.boot_s, 0.0, 3_600.0),
            ("the rate of false alarms", self.false_alarm, 1e-9, 0.1),
            ("the budget", self.budget_s.unwrap_or(1.0), 0.0, 1e9),
        ];
        for (what, value, least, most) in bounds {
            if value.is_nan() || value < least || value > most {
                return Err(Problem::Rule { what, least, most });
            }
        }
        Ok(())
    }
}
