//! The posterior: how likely each candidate is, jointly with how a bad kernel behaves.
//!
//! Candidates that every trial so far treated alike have the same likelihood, so the posterior is kept a
//! *group* of them and split when a commit is tried for the first time. That is exact, and makes a
//! thousand commits as cheap as the few that were tried.

use super::history::History;
use super::hits::Hits;

/// The posterior over candidates and behaviours.
#[derive(Debug, Clone)]
pub(super) struct Belief {
    prior: Vec<f64>,
    /// The group of each candidate.
    group: Vec<usize>,
    groups: Vec<Group>,
    tried: Vec<bool>,
}

#[derive(Debug, Clone)]
struct Group {
    /// Some member: what it is contained in, all of the group are, as far as was tried.
    member: usize,
    prior: f64,
    /// Unnormalised log-posterior at each point, the group's prior left out.
    log: Vec<f64>,
    /// Normalised posterior at each point.
    mass: Vec<f64>,
}

impl Belief {
    /// With a prior weight for each candidate.
    pub(super) fn new(prior: Vec<f64>, hits: &Hits) -> Self {
        let total: f64 = prior.iter().sum();
        let prior: Vec<f64> = prior.into_iter().map(|p| p / total).collect();
        let log: Vec<f64> = hits.prior().collect();
        let mut new = Self {
            group: vec![0; prior.len()],
            tried: vec![false; prior.len()],
            groups: vec![Group {
                member: 0,
                prior: 1.0,
                mass: vec![0.0; log.len()],
                log,
            }],
            prior,
        };
        new.normalise();
        new
    }

    /// Takes the likelihood of one outcome in: at each point where `commit` is bad, and where it is good.
    pub(super) fn observe(&mut self, history: &History, commit: usize, bad: &[f64], good: f64) {
        if !self.tried[commit] {
            self.tried[commit] = true;
            self.split(history, commit);
        }
        for group in &mut self.groups {
            if history.contains(commit, group.member) {
                group.log.iter_mut().zip(bad).for_each(|(l, b)| *l += b);
            } else {
                group.log.iter_mut().for_each(|l| *l += good);
            }
        }
        self.normalise();
    }

    fn split(&mut self, history: &History, commit: usize) {
        let before = self.groups.len();
        let mut twin: Vec<Option<usize>> = vec![None; before];
        for candidate in 0..self.group.len() {
            let own = self.group[candidate];
            let first = self.groups[own].member;
            if history.contains(commit, candidate) == history.contains(commit, first) {
                continue;
            }
            let next = self.groups.len();
            let to = *twin[own].get_or_insert(next);
            if to == next {
                let mut group = self.groups[own].clone();
                group.member = candidate;
                self.groups.push(group);
            }
            self.group[candidate] = to;
        }
        if self.groups.len() > before {
            self.groups.iter_mut().for_each(|g| g.prior = 0.0);
            for (candidate, &group) in self.group.iter().enumerate() {
                self.groups[group].prior += self.prior[candidate];
            }
        }
    }

    fn normalise(&mut self) {
        let top = self
            .groups
            .iter()
            .filter(|g| g.prior > 0.0)
            .flat_map(|g| g.log.iter().copied())
            .fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        for group in &mut self.groups {
            for (mass, log) in group.mass.iter_mut().zip(&mut group.log) {
                // Kept near zero so that a long search loses no precision.
                *log -= top;
                *mass = group.prior * log.exp();
                total += *mass;
            }
        }
        for group in &mut self.groups {
            group.mass.iter_mut().for_each(|m| *m /= total);
        }
    }

    /// The posterior of each candidate; sums to 1.
    pub(super) fn candidates(&self) -> Vec<f64> {
        let groups: Vec<f64> = self
            .groups
            .iter()
            .map(|g| {
                if g.prior > 0.0 {
                    g.mass.iter().sum::<f64>() / g.prior
                } else {
                    0.0
                }
            })
            .collect();
        let each = self.group.iter().zip(&self.prior);
        each.map(|(&group, prior)| groups[group] * prior).collect()
    }

    /// The posterior that a commit is bad, at each point, for each of some `commits`, ascending; what is
    /// missing to 1 is that it is good.
    pub(super) fn bad(&self, history: &History, commits: &[usize]) -> Vec<Vec<f64>> {
        let mut share = vec![0.0; self.groups.len()];
        let mut bad = vec![0.0; self.groups[0].mass.len()];
        let mut all = Vec::with_capacity(commits.len());
        let mut before = None;
        for &commit in commits {
            let since = before.filter(|_| history.is_linear());
            if since.is_none() {
                bad.fill(0.0);
            }
            history.each(since, commit, |candidate| {
                share[self.group[candidate]] += self.prior[candidate];
            });
            for (group, share) in self.groups.iter().zip(&mut share) {
                if *share > 0.0 {
                    let part = std::mem::take(share) / group.prior;
                    bad.iter_mut().zip(&group.mass).for_each(|(b, m)| *b += part * m);
                }
            }
            all.push(bad.clone());
            before = Some(commit);
        }
        all
    }

    /// The posterior of the behaviour alone, at each point.
    pub(super) fn behaviour(&self) -> Vec<f64> {
        let mut all = vec![0.0; self.groups[0].mass.len()];
        for group in &self.groups {
            all.iter_mut().zip(&group.mass).for_each(|(a, m)| *a += m);
        }
        all
    }
}
