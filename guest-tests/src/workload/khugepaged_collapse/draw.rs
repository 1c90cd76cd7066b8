//! What an owner does next: drawn by weight from its seed. Pure.

use crate::catalogue::KhugepagedCollapse;
use rand_core::Rng;
use rand_pcg::Pcg64Mcg;
use std::ops::Range;

/// Pages of one run, at most.
pub const RUN_PAGES_MAX: usize = 64;

/// An operation of an owner. What it does to pages of each kind of memory is the model's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Stores to each page of a run.
    Store,
    /// Verifies a run.
    Verify,
    /// `MADV_DONTNEED`.
    DontNeed,
    /// `MADV_FREE`.
    Free,
    /// Punches a hole.
    Punch,
    /// Truncates and extends.
    Truncate,
    /// `MADV_COLLAPSE`.
    Collapse,
    /// Changes between pages one by one and huge ones.
    Refault,
    /// `MADV_PAGEOUT`.
    PageOut,
    /// `mprotect` to read-only and back.
    Protect,
    /// Reads the file as a file.
    ReadBack,
    /// Arms anonymous memory for missing pages for a while.
    Arm,
    /// Forks a child that looks.
    Fork,
    /// `mremap`.
    Move,
}

/// The weights of a case, summed up.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Each action with the sum of all weights up to its own.
    sums: Vec<(u64, Action)>,
}

impl Weights {
    /// Takes the weights of the parameters.
    #[must_use]
    pub fn of(p: &KhugepagedCollapse) -> Self {
        let rows = [
            (p.w_store, Action::Store),
            (p.w_verify, Action::Verify),
            (p.w_dontneed, Action::DontNeed),
            (p.w_free, Action::Free),
            (p.w_punch, Action::Punch),
            (p.w_truncate, Action::Truncate),
            (p.w_collapse, Action::Collapse),
            (p.w_refault, Action::Refault),
            (p.w_pageout, Action::PageOut),
            (p.w_protect, Action::Protect),
            (p.w_read, Action::ReadBack),
            (p.w_arm, Action::Arm),
            (p.w_fork, Action::Fork),
            (p.w_mremap, Action::Move),
        ];
        let mut sum = 0;
        let sums = rows.into_iter().filter(|(weight, _)| *weight > 0);
        let sums = sums.map(|(weight, action)| {
            sum += weight;
            (sum, action)
        });
        Self { sums: sums.collect() }
    }

    /// Draws an action.
    #[must_use]
    pub fn draw(&self, rng: &mut Pcg64Mcg) -> Action {
        let total = self.sums.last().map_or(1, |(sum, _)| *sum);
        let at = rng.next_u64() % total;
        let found = self.sums.iter().find(|(sum, _)| at < *sum);
        found.map_or(Action::Verify, |(_, action)| *action)
    }
}

/// Draws below `n`; the bias of a remainder is far below anything that matters here.
pub fn below(rng: &mut Pcg64Mcg, n: usize) -> usize {
    rng.next_u64() as usize % n.max(1)
}

/// Draws a run of 1 to [`RUN_PAGES_MAX`] pages below `pages`: short ones are as likely as long ones.
pub fn run_of_pages(rng: &mut Pcg64Mcg, pages: usize) -> Range<usize> {
    let longest = 1 << below(rng, RUN_PAGES_MAX.trailing_zeros() as usize + 1);
    let len = 1 + below(rng, longest);
    let start = below(rng, pages);
    start..pages.min(start + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;
    use std::collections::BTreeMap;

    #[test]
    fn actions_come_by_their_weights_and_those_without_never() {
        let params = KhugepagedCollapse {
            w_fork: 0,
            w_store: 30,
            w_verify: 10,
            ..KhugepagedCollapse::default()
        };
        let weights = Weights::of(&params);
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        let mut seen: BTreeMap<Action, u32> = BTreeMap::new();
        (0..20_000).for_each(|_| *seen.entry(weights.draw(&mut rng)).or_default() += 1);
        assert!(!seen.contains_key(&Action::Fork));
        let (store, verify) = (seen[&Action::Store], seen[&Action::Verify]);
        assert!(store.abs_diff(3 * verify) < verify / 2, "{store} and {verify}");
        assert_eq!(seen.len(), 13);
    }

    #[test]
    fn runs_stay_within_and_reach_every_length() {
        let mut rng = Pcg64Mcg::seed_from_u64(6);
        let mut lengths = [0u32; RUN_PAGES_MAX + 1];
        for _ in 0..50_000 {
            let run = run_of_pages(&mut rng, 512);
            assert!(run.end <= 512);
            lengths[run.len()] += 1;
        }
        assert!(lengths[0] == 0 && lengths[1..].iter().all(|n| *n > 0));
    }
}
