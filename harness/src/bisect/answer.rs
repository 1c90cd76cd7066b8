//! What a search ends with: a named set, how sure it is, and what verifying it takes.

use super::hits::Hits;
use super::search::Search;

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The named set is as sure as was asked for.
    Sure,
    /// The budget is used up.
    Budget,
    /// No commit that can be tested would tell any more.
    Exhausted,
}

/// The end of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Why it ended.
    pub ending: Ending,
    /// The likeliest candidate with all that no testable commit tells from it, oldest first.
    pub named: Vec<usize>,
    /// The probability that the culprit is among [`Self::named`].
    pub confidence: f64,
    /// The fewest candidates that hold the culprit with the probability that was asked for, likeliest
    /// first, each with its own; whole sets where nothing separates them.
    pub remaining: Vec<(usize, f64)>,
}

/// The greatest probability of a set.
pub(super) fn confidence(search: &Search) -> f64 {
    let candidates = search.belief.candidates();
    let classes = search.classes().iter();
    let masses = classes.map(|class| class.iter().map(|&c| candidates[c]).sum::<f64>());
    masses.fold(0.0, f64::max)
}

pub(super) fn answer(search: &Search, ending: Ending) -> Answer {
    let candidates = search.belief.candidates();
    let mut classes: Vec<(&Vec<usize>, f64)> = search
        .classes()
        .iter()
        .map(|class| (class, class.iter().map(|&c| candidates[c]).sum()))
        .collect();
    // Stable: among equals the oldest comes first.
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut remaining = Vec::new();
    let mut held = 0.0;
    for (class, mass) in &classes {
        remaining.extend(class.iter().map(|&c| (c, candidates[c])));
        held += mass;
        if held >= search.rule().confidence {
            break;
        }
    }
    let (named, confidence) = classes
        .first()
        .map_or((Vec::new(), 0.0), |(c, m)| ((*c).clone(), *m));
    Answer {
        ending,
        named,
        confidence,
        remaining,
    }
}

/// What is known of the chance that one full trial of a bad kernel finds the bug.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learned {
    /// Its mean.
    pub rate: f64,
    /// It is at least this, with nineteen chances in twenty.
    pub low: f64,
    /// It is at most this, with nineteen chances in twenty.
    pub high: f64,
    /// Quiet trials of a commit after which it could still be bad with one chance in twenty, had the
    /// chances been even before: what the parent of a culprit owes.
    pub quiet_trials: u32,
}

/// Most trials that a verification asks for.
const VERIFY_MAX: u32 = 1000;

impl Learned {
    pub(super) fn new(hits: &Hits, behaviour: &[f64], trial_s: f64) -> Self {
        let mut points: Vec<(f64, f64)> = hits.rates(trial_s).zip(behaviour.iter().copied()).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let at = |share: f64| {
            let mut sum = 0.0;
            let passed = points.iter().find(|(_, mass)| {
                sum += mass;
                sum >= share
            });
            passed.or(points.last()).map_or(0.0, |(rate, _)| *rate)
        };
        let missed = |k: u32| -> f64 {
            let each = points
                .iter()
                .map(|(rate, mass)| mass * (1.0 - rate).powf(f64::from(k)));
            each.sum()
        };
        // Posterior odds are the chance to be missed itself: 1 in 19 is one chance in twenty.
        let enough = |k: &u32| missed(*k) <= 1.0 / 19.0;
        Self {
            rate: points.iter().map(|(rate, mass)| rate * mass).sum(),
            low: at(0.05),
            high: at(0.95),
            quiet_trials: (1..VERIFY_MAX).find(enough).unwrap_or(VERIFY_MAX),
        }
    }
}
