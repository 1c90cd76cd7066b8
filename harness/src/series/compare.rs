//! One case on base and on patched: what is run next, and what it comes to (pure).
//!
//! First some pairs are *looked at*. A finding on patched that no run of base has shown makes a suspicion; what
//! both show is told apart from the series. A suspicion is then *tried* on fresh pairs by the sequential test
//! of `judge`: the pair that raised it does not count, so how it was chosen cannot make it likelier to hold.
//! Nothing is ever tried again without being counted.

use crate::judge::{Comparison, Judgement, Pair, Rule, RuleError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What tells one finding from another: the class (any page that held what it must not hold is one), and the
/// function that a report names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signature(pub String);

/// What a run of one arm showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing, and enough was exercised to say so.
    Clean,
    /// These; the first cause first.
    Found(Vec<Signature>),
    /// It proved nothing: why.
    Unproved(String),
}

impl Seen {
    /// The first cause alone: what follows it is mostly its echo.
    fn first(&self) -> Option<&Signature> {
        match self {
            Self::Found(found) => found.first(),
            Self::Clean | Self::Unproved(_) => None,
        }
    }

    fn proved(&self) -> bool {
        !matches!(self, Self::Unproved(_))
    }
}

/// What to run next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A pair to look at, counted from 1.
    Look(u32),
    /// A pair that counts for or against a suspicion, counted from 1.
    Try(u32),
    /// Nothing more.
    Done,
}

/// What a case came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing new was found, and both arms were exercised.
    NothingNew,
    /// Patched is worse than base.
    Worse,
    /// What was suspected shows on base as well, about as often.
    NotWorse,
    /// What was suspected never came again, nor did it on base: it is told, and blames nobody.
    NotAgain,
    /// The pairs are used up.
    Undecided,
    /// Nothing was proved.
    Unproved,
}

/// One case under comparison.
#[derive(Debug, Clone)]
pub struct Case {
    looks: u32,
    rule: Rule,
    /// Pairs looked at, base first.
    looked: Vec<(Seen, Seen)>,
    /// What raised the suspicion, and what base had shown until then.
    suspect: Option<(Signature, BTreeSet<Signature>)>,
    comparison: Comparison,
    /// Pairs tried in which an arm proved nothing.
    void: u32,
    /// What base showed, ever.
    on_base: BTreeSet<Signature>,
}

/// Pairs that may prove nothing before a suspicion is left undecided.
const VOID_MAX: u32 = 8;

impl Case {
    /// Starts a comparison that looks at `looks` pairs where nothing is found.
    ///
    /// # Errors
    /// [`RuleError`] where the rule cannot be kept.
    pub fn new(looks: u32, rule: Rule) -> Result<Self, RuleError> {
        Ok(Self {
            looks: looks.max(1),
            rule,
            looked: Vec::new(),
            suspect: None,
            comparison: Comparison::new(rule)?,
            void: 0,
            on_base: BTreeSet::new(),
        })
    }

    /// What to run next.
    #[must_use]
    pub fn next(&self) -> Next {
        let tried = self.comparison.pairs() + self.void;
        let looked = u32::try_from(self.looked.len()).unwrap_or(u32::MAX);
        if self.suspect.is_some() {
            let open = self.comparison.judgement() == Judgement::Open && self.void < VOID_MAX;
            return if open { Next::Try(tried + 1) } else { Next::Done };
        }
        if looked < self.looks {
            Next::Look(looked + 1)
        } else {
            Next::Done
        }
    }

    /// Takes in what came of the pair that [`Self::next`] asked for.
    pub fn take(&mut self, base: Seen, patched: Seen) {
        if self.suspect.is_some() {
            if base.proved() && patched.proved() {
                self.comparison.add(Pair {
                    base: self.shows(&base),
                    patched: self.shows(&patched),
                });
            } else {
                self.void += 1;
            }
        }
        if let Seen::Found(found) = &base {
            self.on_base.extend(found.iter().cloned());
        }
        if self.suspect.is_none() {
            let new = patched
                .first()
                .filter(|first| !self.on_base.contains(first))
                .cloned();
            self.suspect = new.map(|new| (new, self.on_base.clone()));
            self.looked.push((base, patched));
        }
    }

    /// What it came to, once there is nothing more to run.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.suspect.is_none() {
            let proved = self
                .looked
                .iter()
                .any(|(base, patched)| base.proved() && patched.proved());
            return if proved {
                Outcome::NothingNew
            } else {
                Outcome::Unproved
            };
        }
        match self.comparison.judgement() {
            Judgement::Worse => Outcome::Worse,
            Judgement::NotWorse => Outcome::NotWorse,
            Judgement::Quiet => Outcome::NotAgain,
            Judgement::Open | Judgement::Undecided => Outcome::Undecided,
        }
    }

    /// The suspicion, where there is one.
    #[must_use]
    pub fn suspect(&self) -> Option<&Signature> {
        self.suspect.as_ref().map(|(suspect, _)| suspect)
    }

    /// Whether a run showed the suspected bug: it was not clean, and its first cause is none that base had shown
    /// when the suspicion was raised. One bug may show as lost data now and as an oops then.
    #[must_use]
    pub fn shows(&self, seen: &Seen) -> bool {
        let known = self.suspect.as_ref().map(|(_, known)| known);
        seen.first()
            .zip(known)
            .is_some_and(|(first, known)| !known.contains(first))
    }

    /// Everything that base showed.
    pub fn on_base(&self) -> impl Iterator<Item = &Signature> {
        self.on_base.iter()
    }

    /// Pairs that were run: looked at, tried.
    #[must_use]
    pub fn pairs(&self) -> (u32, u32) {
        let looked = u32::try_from(self.looked.len()).unwrap_or(u32::MAX);
        (looked, self.comparison.pairs() + self.void)
    }

    /// Of the pairs tried, how many count: both arms proved something.
    #[must_use]
    pub fn counted(&self) -> u32 {
        self.comparison.pairs()
    }

    /// Of the pairs that count, in how many base showed it, in how many patched did.
    #[must_use]
    pub fn findings(&self) -> (u32, u32) {
        self.comparison.findings()
    }

    /// Why nothing was proved, if so.
    #[must_use]
    pub fn unproved(&self) -> Option<&str> {
        let mut arms = self.looked.iter().flat_map(|(base, patched)| [patched, base]);
        arms.find_map(|seen| match seen {
            Seen::Unproved(why) => Some(why.as_str()),
            Seen::Clean | Seen::Found(_) => None,
        })
    }

    /// A bug that shows in this share of the runs would have shown in those of the patched kernel, but for a
    /// chance of [`Rule::false_clear`]; none where no run of it was clean.
    #[must_use]
    pub fn would_have_shown(&self) -> Option<f64> {
        let clean = self
            .looked
            .iter()
            .filter(|(_, patched)| *patched == Seen::Clean)
            .count();
        let clean = f64::from(u32::try_from(clean).ok().filter(|n| *n > 0)?);
        Some(1.0 - self.rule.false_clear.powf(1.0 / clean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sig(name: &str) -> Signature {
        Signature(name.to_owned())
    }

    fn found(name: &str) -> Seen {
        Seen::Found(vec![sig(name)])
    }

    fn case(looks: u32) -> Case {
        Case::new(looks, Rule::default()).expect("the default rule can be kept")
    }

    /// Runs a case whose arms always come to the same.
    fn run(mut case: Case, base: &Seen, patched: &Seen) -> Case {
        while case.next() != Next::Done {
            case.take(base.clone(), patched.clone());
        }
        case
    }

    #[test]
    fn nothing_found_takes_the_looks_and_no_more() {
        let done = run(case(3), &Seen::Clean, &Seen::Clean);
        assert_eq!((done.outcome(), done.pairs()), (Outcome::NothingNew, (3, 0)));
        let share = done.would_have_shown().expect("clean runs");
        assert!((share - 0.6316).abs() < 1e-3, "{share}");
    }

    #[test]
    fn what_raised_a_suspicion_does_not_count_for_it() {
        let done = run(case(3), &Seen::Clean, &found("data"));
        assert_eq!(done.outcome(), Outcome::Worse);
        // One pair looked at, and as many fresh ones as the least that the rule allows.
        let least = Comparison::new(Rule::default()).expect("a rule").least();
        assert_eq!((done.pairs(), done.findings()), ((1, least), (0, least)));
        assert_eq!(done.suspect(), Some(&sig("data")));
    }

    #[test]
    fn what_base_shows_too_blames_nobody() {
        let done = run(case(2), &found("hang"), &found("hang"));
        assert_eq!((done.outcome(), done.suspect()), (Outcome::NothingNew, None));
        assert_eq!(done.on_base().collect::<Vec<_>>(), [&sig("hang")]);
        // Seen on patched first, then on base as often.
        let mut late = case(1);
        late.take(Seen::Clean, found("hang"));
        let late = run(late, &found("hang"), &found("hang"));
        assert_eq!(late.outcome(), Outcome::Undecided);
        let mut better = case(1);
        better.take(Seen::Clean, found("hang"));
        assert_eq!(
            run(better, &found("hang"), &Seen::Clean).outcome(),
            Outcome::NotWorse
        );
    }

    #[test]
    fn a_new_finding_is_told_from_one_that_base_has_as_well() {
        let mut both = case(1);
        both.take(found("hang"), found("data"));
        assert_eq!(both.suspect(), Some(&sig("data")));
        assert_eq!(
            run(both, &found("hang"), &found("data")).outcome(),
            Outcome::Worse
        );
    }

    #[test]
    fn a_bug_that_shows_in_several_ways_is_one() {
        let mut both = case(1);
        both.take(found("hang"), found("data"));
        let mut oops = false;
        while both.next() != Next::Done {
            oops = !oops;
            both.take(Seen::Clean, found(if oops { "oops" } else { "data" }));
        }
        let (_, on_patched) = both.findings();
        assert_eq!((both.outcome(), on_patched), (Outcome::Worse, both.counted()));
        // What base had shown before is still base's.
        assert!(!both.shows(&found("hang")) && both.shows(&found("oops")));
    }

    #[test]
    fn what_never_comes_again_is_no_pass_and_no_blame() {
        let mut once = case(1);
        once.take(Seen::Clean, found("data"));
        assert_eq!(run(once, &Seen::Clean, &Seen::Clean).outcome(), Outcome::NotAgain);
    }

    #[test]
    fn what_proves_nothing_never_counts() {
        let nothing = Seen::Unproved("starved".to_owned());
        let done = run(case(2), &Seen::Clean, &nothing);
        assert_eq!(
            (done.outcome(), done.unproved()),
            (Outcome::Unproved, Some("starved"))
        );
        assert_eq!(done.would_have_shown(), None);
        let mut void = case(1);
        void.take(Seen::Clean, found("data"));
        let void = run(void, &nothing, &found("data"));
        assert_eq!((void.outcome(), void.findings()), (Outcome::Undecided, (0, 0)));
    }

    #[test]
    fn no_worse_a_series_is_hardly_ever_blamed_whatever_was_suspected() {
        // The suspicion is chosen by what was seen first; only fresh pairs count, so the error stays bounded.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut chance = |rate: f64| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            ((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64) / ((1u64 << 53) as f64) < rate
        };
        for rate in [0.05, 0.3, 0.7] {
            let blamed = (0..2000)
                .filter(|_| {
                    let mut case = case(3);
                    while case.next() != Next::Done {
                        let mut arm = || if chance(rate) { found("flaky") } else { Seen::Clean };
                        let (base, patched) = (arm(), arm());
                        case.take(base, patched);
                    }
                    case.outcome() == Outcome::Worse
                })
                .count();
            assert!(blamed <= 20, "at {rate}, {blamed} of 2000 were blamed");
        }
    }
}
