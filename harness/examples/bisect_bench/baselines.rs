//! What others do: git bisect with a fixed number of trials a step, and how votes are counted.

use harness::bisect::Outcome;
use harness::bisect::simulate::{Setting, World};

/// A search with a fixed number of trials of each commit.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    /// Trials of each commit.
    pub trials: u32,
    /// Findings that make it bad; it stops there. Fewer, but some, say nothing: it is skipped.
    pub bad_at: u32,
}

impl Fixed {
    /// (a) git bisect run: one trial.
    pub const ONE: Self = Self { trials: 1, bad_at: 1 };

    /// (b) so many runs, with votes: bad needs max(2, n/6) findings, good needs none.
    pub fn votes(trials: u32) -> Self {
        Self {
            trials,
            bad_at: (trials / 6).max(2),
        }
    }

    /// (c) so many quiet runs are good, one finding is bad.
    pub fn told(trials: u32) -> Self {
        Self { trials, bad_at: 1 }
    }

    /// Halves until nothing is left; returns whether the culprit is in the named set, and the seconds.
    pub fn run(self, setting: Setting, seed: u64) -> (bool, f64) {
        let mut world = World::new(setting, seed);
        let (mut good, mut bad, mut spent_s) = (0, setting.commits, 0.0);
        let mut skipped = vec![false; setting.commits + 1];
        loop {
            // The commit next to the middle that was not skipped, as git does in effect.
            let middle = good + (bad - good) / 2;
            let open = |&c: &usize| c > good && c < bad && !skipped[c];
            let Some(commit) = (good + 1..bad).filter(open).min_by_key(|c| c.abs_diff(middle)) else {
                // Everything between is untestable: those and the first bad one are the named set.
                return ((good + 1..=bad).contains(&world.culprit), spent_s);
            };
            let (mut found, mut ran) = (0, 0);
            while ran < self.trials && found < self.bad_at {
                let (outcome, build_s, run_s) = world.attempt(commit);
                spent_s += build_s + run_s;
                match outcome {
                    Outcome::Found { .. } => found += 1,
                    Outcome::Quiet { .. } | Outcome::Told { .. } => {}
                    Outcome::Skip { .. } => break,
                }
                ran += 1;
            }
            if found >= self.bad_at {
                bad = commit;
            } else if found == 0 && ran == self.trials {
                good = commit;
            } else {
                skipped[commit] = true;
            }
        }
    }
}
