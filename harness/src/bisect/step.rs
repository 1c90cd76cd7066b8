//! What a search says to do next, and what it knows of each commit.

use super::answer::Answer;
use super::problem::Problem;
use super::trial::Skip;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Try this commit.
    Try(Choice),
    /// Nothing is worth starting before a pending trial has ended.
    Wait,
    /// That is the answer.
    Done(Answer),
    /// The range cannot be searched.
    Bad(Problem),
}

/// Why a commit is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To see that the bug shows at the bad end, and how often.
    BadEnd,
    /// To see that the good end is free of it.
    GoodEnd,
    /// To find the culprit.
    Search,
}

/// A trial that is worth most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Which commit.
    pub commit: usize,
    /// How many trials of it are planned before another commit is thought of, as things look now.
    pub repeats: u32,
    /// What for.
    pub purpose: Purpose,
}

/// What is known of one commit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Trials with the finding.
    pub found: u32,
    /// Trials without.
    pub quiet: u32,
    /// Seconds of pressure in those.
    pub quiet_s: f64,
    /// Trials that said nothing.
    pub missing: u32,
    /// Why it can't be tested.
    pub skip: Option<Skip>,
    /// Whether its kernel is there.
    pub built: bool,
}

impl Tally {
    /// All trials.
    #[must_use]
    pub fn trials(&self) -> u32 {
        self.found + self.quiet + self.missing
    }
}
