//! Which trial is worth most: expected bits about the culprit for each expected second.
//!
//! One trial of a commit that has to be built first looks dear, since the build is paid at once and
//! serves every later trial of it. So each commit is valued for several numbers of repeats, ending with
//! the first finding, and counts with its best.

use super::belief::Belief;
use super::history::History;
use super::hits::REPEATS;
use super::search::Search;
use super::step::{Choice, Purpose};

/// How many shares of the posterior are looked up for commits that were not tried yet.
const SHARES: usize = 16;
/// Behaviours less likely than this are left out: they change no choice.
const LIKELY_MIN: f64 = 1e-5;
/// Bits below which nothing is learned.
const BITS_MIN: f64 = 1e-9;

/// The choice that tells most a second; `None` where none tells anything.
pub(super) fn best(search: &Search, belief: &Belief) -> Option<Choice> {
    best_rated(search, belief).map(|(_, choice)| choice)
}

/// The same, with the bits a second that it promises.
pub(super) fn best_rated(search: &Search, belief: &Belief) -> Option<(f64, Choice)> {
    let worth = Worth::new(search, belief);
    let mut best: Option<(f64, Choice)> = None;
    let commits = considered(search, belief);
    let bad = belief.bad(&search.history, &commits);
    for (commit, bad) in commits.into_iter().zip(bad) {
        let (rate, repeats) = worth.of(commit, &bad);
        if rate > best.map_or(0.0, |(rate, _)| rate) {
            let purpose = Purpose::Search;
            best = Some((
                rate,
                Choice {
                    commit,
                    repeats,
                    purpose,
                },
            ));
        }
    }
    best
}

/// The bits a second that a search can keep up: those of the best commit that has to be built first. What is
/// there is soon told out. None where nothing is left to be built.
pub(super) fn pace(search: &Search, belief: &Belief) -> Option<f64> {
    let worth = Worth::new(search, belief);
    let mut commits = considered(search, belief);
    commits.retain(|&commit| !search.tally[commit].built);
    let bad = belief.bad(&search.history, &commits);
    let rates = commits
        .into_iter()
        .zip(bad)
        .map(|(commit, bad)| worth.of(commit, &bad).0);
    rates.filter(|rate| *rate > 0.0).max_by(f64::total_cmp)
}

/// The commits worth valuing: all that were tried, and of the others the ones next to evenly spread shares
/// of the posterior. Between those the worth changes little.
fn considered(search: &Search, belief: &Belief) -> Vec<usize> {
    let bad = search.history.sums(&belief.candidates());
    let mut chosen: Vec<usize> = Vec::new();
    let mut fresh: Vec<(f64, usize)> = Vec::new();
    for (commit, &bad) in bad.iter().enumerate() {
        let tally = &search.tally[commit];
        if tally.skip.is_some() || commit == search.history.bad() {
            continue;
        }
        if tally.built {
            chosen.push(commit);
        } else if bad > 0.0 && bad < 1.0 {
            fresh.push((bad, commit));
        }
    }
    if fresh.len() <= SHARES {
        chosen.extend(fresh.iter().map(|f| f.1));
    } else {
        fresh.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for n in 0..SHARES {
            let share = (n as f64 + 0.5) / SHARES as f64;
            let after = fresh.partition_point(|f| f.0 < share);
            // Both neighbours: a single likely candidate lies between two far shares.
            let near = [after.checked_sub(1), Some(after).filter(|&a| a < fresh.len())];
            chosen.extend(near.into_iter().flatten().map(|at| fresh[at].1));
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

struct Worth<'a> {
    search: &'a Search,
    /// The points of the behaviour that are not ruled out.
    likely: Vec<usize>,
    build_s: f64,
    boot_s: f64,
    /// Seconds of trials of a bad kernel for each finding, at each point.
    per_hit_s: Vec<f64>,
    /// The chance that a commit nobody tried can't be tested.
    untestable: f64,
}

impl<'a> Worth<'a> {
    fn new(search: &'a Search, belief: &'a Belief) -> Self {
        let (build_s, boot_s) = search.costs();
        let tried = search.tally.iter().filter(|t| t.trials() > 0).count() as f64;
        let skipped = search.tally.iter().filter(|t| t.skip.is_some()).count() as f64;
        let behaviour = belief.behaviour();
        let (once, run_s) = (search.hits.quiet(0), search.hits.run_s().iter());
        let per_hit_s = run_s
            .zip(once)
            .map(|(run_s, quiet)| (boot_s + run_s) / (1.0 - quiet))
            .collect();
        Self {
            search,
            likely: (0..behaviour.len())
                .filter(|&p| behaviour[p] > LIKELY_MIN)
                .collect(),
            build_s,
            boot_s,
            per_hit_s,
            untestable: (skipped + 0.5) / (tried + 10.0),
        }
    }

    /// Bits a second, and the number of repeats that reaches them.
    fn of(&self, commit: usize, bad: &[f64]) -> (f64, u32) {
        let hits = &self.search.hits;
        let chance: f64 = bad.iter().sum();
        if chance <= 0.0 || chance >= 1.0 {
            return (0.0, 1);
        }
        let tally = &self.search.tally[commit];
        let testable = self.testable(commit);
        let build_s = if tally.built { 0.0 } else { self.build_s };
        let mut best = (0.0, 1);
        // Where nothing has to be built first, one trial at a time is never worse.
        let ahead = if tally.built { 1 } else { REPEATS.len() };
        for (n, &repeats) in REPEATS.iter().enumerate().take(ahead) {
            let (mut found, mut bad_s) = (0.0, 0.0);
            let quiet = hits.quiet(n);
            for &p in &self.likely {
                let shown = bad[p] * (1.0 - quiet[p]);
                found += shown;
                // A geometric number of trials, cut off at `repeats`, has that mean.
                bad_s += shown * self.per_hit_s[p];
            }
            let bits = entropy(found) - chance * entropy(found / chance);
            let good_s = f64::from(repeats) * (self.boot_s + self.search.rule.trial_s);
            if self.search.ignores_cost {
                return (testable * bits, 1);
            }
            let cost_s = build_s + testable * (bad_s + (1.0 - chance) * good_s);
            if bits > BITS_MIN && testable * bits / cost_s > best.0 {
                best = (testable * bits / cost_s, repeats);
            }
        }
        best
    }

    /// The chance that a trial of `commit` says anything. What does not build comes in runs.
    fn testable(&self, commit: usize) -> f64 {
        let tally = &self.search.tally[commit];
        if tally.trials() > 0 {
            let told = f64::from(tally.found + tally.quiet);
            return (1.0 + told) / (1.0 + told + f64::from(tally.missing));
        }
        let near = self
            .search
            .tally
            .iter()
            .enumerate()
            .filter(|(_, t)| t.skip.is_some());
        let nearest = near.map(|(at, _)| History::distance(at, commit)).min();
        let neighbour = nearest.map_or(0.0, |d| 0.4 * 0.5f64.powi(i32::try_from(d).unwrap_or(i32::MAX)));
        1.0 - self.untestable.max(neighbour)
    }
}

/// Of a coin, in bits.
pub(super) fn entropy(p: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 {
        return 0.0;
    }
    -p * p.log2() - (1.0 - p) * (1.0 - p).log2()
}
