//! The first patch of a series with which a finding shows: a search over its prefixes (pure).
//!
//! The search is `bisect`'s: it knows by the comparison how often base and the whole series show the finding,
//! and asks for runs of prefixes until the named patch is sure enough, repeats included. Not here: building
//! and booting prefixes.

use crate::bisect::{Ending, History, Outcome, Rule, Search, Skip, Step, Trial};
use serde::{Deserialize, Serialize};

/// A search for the patch to blame. Prefix 0 is the base, prefix `n` the whole series of `n` patches.
pub struct Culprit {
    search: Search,
    patches: usize,
}

/// What came of a run of a prefix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tried {
    /// The finding, after so many seconds.
    Found(f64),
    /// Not the finding, in so many seconds.
    Quiet(f64),
    /// Nothing was learned.
    Nothing,
    /// It does not build.
    Unbuilt,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Run this prefix; its runs are counted from 0.
    Run {
        /// How many patches.
        prefix: usize,
        /// Which run of it.
        nth: u32,
    },
    /// That is the answer.
    Named(Named),
}

/// The patch to blame, or the few that nothing tells apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Their numbers, counted from 1, in order; empty where none could be named.
    pub patches: Vec<usize>,
    /// The probability that the culprit is among them.
    pub confidence: f64,
    /// Runs of prefixes that the search asked for.
    pub runs: u32,
}

/// Runs that the search may ask for, beside those of the comparison.
const RUNS_MAX: u32 = 200;

fn id(prefix: usize) -> String {
    format!("{prefix}")
}

impl Culprit {
    /// Starts a search over a series of `patches` patches; a run without the finding lasts `trial_s` seconds.
    #[must_use]
    pub fn new(patches: usize, trial_s: f64) -> Option<Self> {
        let history = History::linear((0..=patches).map(id).collect()).ok()?;
        let rule = Rule {
            // The comparison has shown it more often than this.
            found_at_bad: 1,
            trial_s: trial_s.clamp(1.0, 86_400.0),
            build_s: 0.0,
            ..Rule::default()
        };
        let mut search = Search::new(history, &[], rule).ok()?;
        for prefix in 0..=patches {
            search.cached(prefix);
        }
        Some(Self { search, patches })
    }

    /// Takes in what came of a run of a prefix, whoever asked for it.
    pub fn take(&mut self, prefix: usize, tried: Tried) {
        let (outcome, run_s) = match tried {
            Tried::Found(after_s) => (Outcome::Found { after_s }, after_s),
            Tried::Quiet(for_s) => (Outcome::Quiet { for_s }, for_s),
            Tried::Nothing => (
                Outcome::Skip {
                    why: Skip::Inconclusive,
                },
                0.0,
            ),
            Tried::Unbuilt => (Outcome::Skip { why: Skip::Build }, 0.0),
        };
        // A trial that is no trial of this range cannot come from us.
        let _ = self.search.record(Trial {
            commit: id(prefix),
            nth: self.search.next_nth(prefix, &[]),
            outcome,
            build_s: 0.0,
            boot_s: 2.0,
            run_s,
            seen: None,
        });
    }

    /// What to do next, after `runs` runs that it has asked for.
    #[must_use]
    pub fn next(&self, runs: u32) -> Ask {
        let none = Named {
            patches: Vec::new(),
            confidence: 0.0,
            runs,
        };
        match self.search.step(&[]) {
            Step::Try(choice) if runs < RUNS_MAX => Ask::Run {
                prefix: choice.commit,
                nth: self.search.next_nth(choice.commit, &[]),
            },
            Step::Done(answer) => {
                let sure = answer.ending == Ending::Sure || answer.named.len() < self.patches;
                let patches = answer.named.into_iter().filter(|&n| n > 0).collect();
                Ask::Named(Named {
                    patches: if sure { patches } else { Vec::new() },
                    confidence: answer.confidence,
                    runs,
                })
            }
            Step::Try(_) | Step::Wait | Step::Bad(_) => Ask::Named(none),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a series whose patch `culprit` brings a bug that shows by `hit`; returns what was named.
    fn search(patches: usize, culprit: usize, unbuilt: &[usize], mut hit: impl FnMut() -> bool) -> Named {
        let mut it = Culprit::new(patches, 6.0).expect("a series");
        let tried = |found| {
            if found {
                Tried::Found(1.5)
            } else {
                Tried::Quiet(6.0)
            }
        };
        for _ in 0..16 {
            it.take(0, tried(false));
            it.take(patches, tried(hit()));
        }
        for &prefix in unbuilt {
            it.take(prefix, Tried::Unbuilt);
        }
        let mut runs = 0;
        loop {
            match it.next(runs) {
                Ask::Named(named) => return named,
                Ask::Run { prefix, .. } => {
                    assert!(!unbuilt.contains(&prefix), "prefix {prefix} does not build");
                    runs += 1;
                    it.take(prefix, tried(prefix >= culprit && hit()));
                }
            }
        }
    }

    #[test]
    fn the_first_patch_that_shows_it_is_named() {
        for patches in [1, 2, 5, 10] {
            for culprit in 1..=patches {
                let named = search(patches, culprit, &[], || true);
                assert_eq!(named.patches, [culprit], "of {patches}: {named:?}");
                assert!(
                    named.confidence >= 0.95 && named.runs <= 12,
                    "of {patches}: {named:?}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_named_together() {
        let named = search(5, 3, &[3], || true);
        assert_eq!(named.patches, [3, 4]);
    }

    #[test]
    fn a_bug_that_shows_in_half_of_the_runs_takes_repeats() {
        let mut coin = 0_u32;
        let named = search(5, 4, &[], || {
            coin = coin.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            coin >> 31 == 1
        });
        assert!(named.patches.contains(&4), "{named:?}");
    }
}
