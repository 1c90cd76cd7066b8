//! What is searched: which commit contains which change. Linear ranges and histories with merges.
//!
//! Commit 0 is the good end; the last commit is the bad end. Candidate `i` is the change that commit
//! `i` made; candidate 0 stands for "it was there before", which every commit contains. Not here: git.

use super::problem::Problem;

/// The commits between a good and a bad end, in an order in which parents come first.
#[derive(Debug, Clone)]
pub struct History {
    ids: Vec<String>,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    /// Each commit contains everything before it.
    Linear,
    /// A row of bits a commit: the candidates it contains.
    Merged { rows: Vec<Bits> },
}

/// A set of commits or candidates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    pub(super) fn set(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn join(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    /// The members, ascending.
    pub(super) fn each(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros() as usize;
                    left &= left - 1;
                    at * 64 + bit
                })
            })
        })
    }
}

impl History {
    /// A range without merges, or the patches of a series: ids oldest first, the good end before all.
    ///
    /// # Errors
    /// Where nothing lies between the ends.
    pub fn linear(ids: Vec<String>) -> Result<Self, Problem> {
        distinct(&ids)?;
        Ok(Self {
            ids,
            shape: Shape::Linear,
        })
    }

    /// A range with merges: for each commit its id and the ids of its parents, parents first, the good
    /// end at the start (its parents don't matter), the bad end last. Parents outside of the range are
    /// taken to be older than the good end.
    ///
    /// # Errors
    /// Where nothing lies between the ends, or a commit is not contained in the bad end.
    pub fn merged(commits: Vec<(String, Vec<String>)>) -> Result<Self, Problem> {
        let (ids, parents): (Vec<_>, Vec<_>) = commits.into_iter().unzip();
        distinct(&ids)?;
        let at: std::collections::HashMap<&str, usize> =
            ids.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        let mut rows: Vec<Bits> = Vec::with_capacity(ids.len());
        for (commit, parents) in parents.iter().enumerate() {
            let mut row = Bits::new(ids.len());
            row.set(0);
            row.set(commit);
            for &parent in parents.iter().filter_map(|p| at.get(p.as_str())) {
                match rows.get(parent) {
                    Some(older) if commit > 0 => row.join(older),
                    Some(_) => {}
                    None if commit == 0 => {}
                    None => {
                        return Err(Problem::Order {
                            commit: ids[commit].clone(),
                        });
                    }
                }
            }
            rows.push(row);
        }
        if let Some(last) = rows.last()
            && let Some(stray) = (0..ids.len()).find(|&i| !last.has(i))
        {
            return Err(Problem::Stray {
                commit: ids[stray].clone(),
            });
        }
        Ok(Self {
            ids,
            shape: Shape::Merged { rows },
        })
    }

    /// Commits, the good end included: candidates, "it was there before" included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty: both ends are in it")]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The bad end.
    #[must_use]
    pub fn bad(&self) -> usize {
        self.ids.len() - 1
    }

    /// A commit's id.
    #[must_use]
    pub fn id(&self, commit: usize) -> &str {
        self.ids.get(commit).map_or("?", String::as_str)
    }

    /// The commit of an id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|i| i == id)
    }

    /// Whether `commit` contains the change of `candidate`.
    #[must_use]
    pub fn contains(&self, commit: usize, candidate: usize) -> bool {
        match &self.shape {
            Shape::Linear => candidate <= commit,
            Shape::Merged { rows } => rows.get(commit).is_some_and(|row| row.has(candidate)),
        }
    }

    /// The newest commits that `commit` contains beside itself, none of which contains another.
    #[must_use]
    pub fn parents(&self, commit: usize) -> Vec<usize> {
        let mut parents: Vec<usize> = Vec::new();
        for older in (0..commit).rev().filter(|&older| self.contains(commit, older)) {
            if !parents.iter().any(|&parent| self.contains(parent, older)) {
                parents.push(older);
            }
        }
        parents
    }

    /// Whether each commit contains everything before it by the way it was made.
    pub(super) fn is_linear(&self) -> bool {
        matches!(self.shape, Shape::Linear)
    }

    /// Calls `f` with each candidate that `commit` contains, ascending; in a linear range only with those
    /// that an older commit, `since`, does not contain.
    pub(super) fn each(&self, since: Option<usize>, commit: usize, mut f: impl FnMut(usize)) {
        match &self.shape {
            Shape::Linear => (since.map_or(0, |s| s + 1)..=commit).for_each(f),
            Shape::Merged { rows } => rows[commit].each().for_each(&mut f),
        }
    }

    /// For each commit the sum of `mass` over the candidates it contains.
    pub(super) fn sums(&self, mass: &[f64]) -> Vec<f64> {
        match &self.shape {
            Shape::Linear => mass
                .iter()
                .scan(0.0, |sum, m| {
                    *sum += m;
                    Some(*sum)
                })
                .collect(),
            Shape::Merged { rows } => rows.iter().map(|row| row.each().map(|i| mass[i]).sum()).collect(),
        }
    }

    /// The sets of candidates that no commit outside of `skipped` separates, in the order of their first
    /// members. "It was there before" stays with whatever cannot be told from it.
    pub(super) fn classes(&self, skipped: &[bool]) -> Vec<Vec<usize>> {
        let tested: Vec<usize> = (0..self.len())
            .filter(|&c| !skipped.get(c).copied().unwrap_or(false))
            .collect();
        let mut seen = std::collections::HashMap::<Bits, usize>::new();
        let mut classes: Vec<Vec<usize>> = Vec::new();
        match &self.shape {
            Shape::Linear => {
                let mut open = false;
                for candidate in 0..self.len() {
                    match classes.last_mut() {
                        Some(class) if open => class.push(candidate),
                        _ => classes.push(vec![candidate]),
                    }
                    open = skipped.get(candidate).copied().unwrap_or(false);
                }
            }
            Shape::Merged { rows } => {
                for candidate in 0..self.len() {
                    let mut key = Bits::new(self.len());
                    tested
                        .iter()
                        .filter(|&&c| rows[c].has(candidate))
                        .for_each(|&c| key.set(c));
                    let next = classes.len();
                    let class = *seen.entry(key).or_insert(next);
                    if class == next {
                        classes.push(Vec::new());
                    }
                    classes[class].push(candidate);
                }
            }
        }
        classes
    }

    /// How far apart two commits are in this order.
    pub(super) fn distance(a: usize, b: usize) -> usize {
        a.abs_diff(b)
    }
}

fn distinct(ids: &[String]) -> Result<(), Problem> {
    if ids.len() < 2 {
        return Err(Problem::Same);
    }
    let mut seen = std::collections::HashSet::new();
    match ids.iter().find(|id| !seen.insert(id.as_str())) {
        Some(twice) if Some(twice) == ids.first() && ids.len() == 2 => Err(Problem::Same),
        Some(twice) => Err(Problem::Twice {
            commit: twice.clone(),
        }),
        None => Ok(()),
    }
}
