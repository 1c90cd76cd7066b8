//! Verifying the named commit, by trials that the search did not ask for: its parents must stay clean for as long
//! as the learned hit rate demands, it must show the bug again, and the bad end without it must be clean.
//!
//! Pure: what is left to do and what held follow from the search and the trials that are kept, so a
//! verification that was stopped goes on where it was. Not here: executing those trials.

use crate::bisect::{Answer, Ending, Outcome, Search, Skip, Trial};
use serde::{Deserialize, Serialize};

/// What the bad end without the culprit's change is called in trials.
pub const REVERTED: &str = "reverted";
/// Trials without a word about the bug after which a check is given up.
const MISSING_MAX: u32 = 3;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A parent of the culprit is clean.
    ParentClean,
    /// The culprit shows the bug again.
    CulpritAgain,
    /// The bad end without the culprit's change is clean.
    RevertedClean,
}

/// A trial of a verification, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// What it is for.
    pub check: What,
    /// The trial; its commit is [`REVERTED`] where nothing in the range is that kernel.
    #[serde(flatten)]
    pub trial: Trial,
}

/// Whether something held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// It did.
    Yes,
    /// It did not.
    No,
    /// It cannot be told.
    Untold,
    /// It is not known yet.
    Open,
}

/// One check, with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What is checked.
    pub what: What,
    /// Of which commit, by its number in the range; none for the bad end without the culprit.
    pub commit: Option<usize>,
    /// Whether it held.
    pub held: Held,
    /// Trials that showed the bug.
    pub found: u32,
    /// Trials that did not.
    pub quiet: u32,
    /// Seconds of pressure in those.
    pub quiet_s: f64,
    /// Trials that said nothing.
    pub missing: u32,
    /// Quiet trials that are demanded.
    pub owed: u32,
    /// Why it cannot be told; empty otherwise.
    pub why: String,
}

/// The checks of an answer, in order; none where it names nothing for sure. `reverts`: whether the culprit's
/// change can be taken out of the bad end.
#[must_use]
pub fn checks(search: &Search, answer: &Answer, reverts: bool, kept: &[Verified]) -> Vec<Check> {
    let (Some(&first), Some(&last)) = (answer.named.first(), answer.named.last()) else {
        return Vec::new();
    };
    if answer.ending != Ending::Sure {
        return Vec::new();
    }
    let owed = search.learned().quiet_trials;
    let mut all = Vec::new();
    let parents = search.history().parents(first);
    for parent in parents.into_iter().filter(|p| !answer.named.contains(p)) {
        all.push(weigh(search, What::ParentClean, Some(parent), owed, kept));
    }
    all.push(weigh(search, What::CulpritAgain, Some(last), owed, kept));
    // Of a set of several nobody knows which change it is; and without its newest change the bad end is the
    // parent, which is checked already.
    if reverts && answer.named.len() == 1 && last != search.history().bad() {
        all.push(weigh(search, What::RevertedClean, None, owed, kept));
    }
    all
}

/// The check that is to be worked on next.
#[must_use]
pub fn open(checks: &[Check]) -> Option<&Check> {
    checks.iter().find(|check| check.held == Held::Open)
}

/// The number of the next trial of a check's kernel: the first that neither the search nor the verification has.
#[must_use]
pub fn next_nth(search: &Search, check: &Check, kept: &[Verified]) -> u32 {
    let id = check
        .commit
        .map_or(REVERTED, |commit| search.history().id(commit));
    let used: Vec<u32> = kept
        .iter()
        .filter(|v| v.trial.commit == id)
        .map(|v| v.trial.nth)
        .collect();
    match check.commit {
        Some(commit) => search.next_nth(commit, &used),
        None => (0..).find(|nth| !used.contains(nth)).unwrap_or(u32::MAX),
    }
}

/// Of trials for one check.
#[derive(Default)]
struct Count {
    found: u32,
    quiet: u32,
    quiet_s: f64,
    missing: u32,
    skip: Option<Skip>,
}

fn count(check: What, id: &str, kept: &[Verified]) -> Count {
    let mut count = Count::default();
    for verified in kept.iter().filter(|v| v.check == check && v.trial.commit == id) {
        match verified.trial.outcome {
            Outcome::Found { .. } => count.found += 1,
            Outcome::Quiet { for_s } => {
                count.quiet += 1;
                count.quiet_s += for_s;
            }
            Outcome::Skip { why } => {
                count.missing += 1;
                count.skip = Some(why);
            }
            Outcome::Told { .. } => {}
        }
    }
    count
}

/// One check, by trials of its own: a search goes on until the culprit has shown the bug and its parents were
/// quiet, so that neither is evidence. What it says against a kernel that must stay quiet counts.
fn weigh(search: &Search, what: What, commit: Option<usize>, owed: u32, kept: &[Verified]) -> Check {
    let id = commit.map_or(REVERTED, |commit| search.history().id(commit));
    let mut sum = count(what, id, kept);
    let mut untestable = sum.skip.filter(|why| why.lasting() || sum.missing >= MISSING_MAX);
    let (shown, silent) = match what {
        What::CulpritAgain => (Held::Yes, Held::No),
        What::ParentClean | What::RevertedClean => (Held::No, Held::Yes),
    };
    if let (Held::No, Some(commit)) = (shown, commit) {
        let tally = search.tally(commit);
        sum.found += tally.found;
        untestable = untestable.or(tally.skip);
    }
    let (held, why) = match untestable {
        _ if sum.found > 0 => (shown, String::new()),
        _ if sum.quiet >= owed => (silent, String::new()),
        Some(why) => (Held::Untold, format!("it {}", why.words())),
        None => (Held::Open, String::new()),
    };
    Check {
        what,
        commit,
        held,
        found: sum.found,
        quiet: sum.quiet,
        quiet_s: sum.quiet_s,
        missing: sum.missing,
        owed,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bisect::{History, Rule, Step};

    fn trial(commit: &str, nth: u32, outcome: Outcome) -> Trial {
        Trial {
            commit: commit.to_owned(),
            nth,
            outcome,
            build_s: 0.0,
            boot_s: 1.0,
            run_s: 5.0,
            seen: None,
        }
    }

    /// A finished search of eight commits; commit 5 is the culprit, `untestable` does not build.
    fn finished(untestable: Option<usize>) -> (Search, Answer) {
        let history = History::linear((0..=8).map(|c| format!("c{c}")).collect()).unwrap();
        let mut search = Search::new(history, &[], Rule::default()).unwrap();
        loop {
            match search.step(&[]) {
                Step::Done(answer) => return (search, answer),
                Step::Try(choice) => {
                    let outcome = if Some(choice.commit) == untestable {
                        Outcome::Skip { why: Skip::Build }
                    } else if choice.commit >= 5 {
                        Outcome::Found { after_s: 3.0 }
                    } else {
                        Outcome::Quiet { for_s: 30.0 }
                    };
                    let nth = search.next_nth(choice.commit, &[]);
                    search
                        .record(trial(&format!("c{}", choice.commit), nth, outcome))
                        .unwrap();
                }
                other @ (Step::Wait | Step::Bad(_)) => panic!("{other:?}"),
            }
        }
    }

    fn verified(check: What, commit: &str, nth: u32, outcome: Outcome) -> Verified {
        Verified {
            check,
            trial: trial(commit, nth, outcome),
        }
    }

    /// Carries the checks out; `shows` says which kernels show the bug.
    fn all(search: &Search, answer: &Answer, shows: impl Fn(&str) -> Outcome) -> (Vec<Check>, Vec<Verified>) {
        let mut kept = Vec::new();
        for _ in 0..100 {
            let checks = checks(search, answer, true, &kept);
            let Some(next) = open(&checks) else {
                return (checks, kept);
            };
            let id = next.commit.map_or(REVERTED, |c| search.history().id(c));
            let nth = next_nth(search, next, &kept);
            kept.push(verified(next.what, id, nth, shows(id)));
        }
        panic!("it never ends");
    }

    const FOUND: Outcome = Outcome::Found { after_s: 2.0 };
    const QUIET: Outcome = Outcome::Quiet { for_s: 30.0 };

    #[test]
    fn a_true_culprit_holds_in_all_three() {
        let (search, answer) = finished(None);
        assert_eq!(answer.named, [5]);
        let (checks, kept) = all(&search, &answer, |id| if id == "c5" { FOUND } else { QUIET });
        let held: Vec<_> = checks.iter().map(|c| (c.what, c.commit, c.held)).collect();
        assert_eq!(
            held,
            [
                (What::ParentClean, Some(4), Held::Yes),
                (What::CulpritAgain, Some(5), Held::Yes),
                (What::RevertedClean, None, Held::Yes)
            ]
        );
        assert!(
            checks
                .iter()
                .all(|c| c.what == What::CulpritAgain || c.quiet >= c.owed)
        );
        // No number twice, none that the search had.
        let mut numbers: Vec<_> = kept
            .iter()
            .map(|v| (v.trial.commit.clone(), v.trial.nth))
            .collect();
        let searched = search.log().iter().map(|t| (t.commit.clone(), t.nth));
        numbers.extend(searched);
        let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len());
    }

    #[test]
    fn what_contradicts_the_answer_is_told() {
        let (search, answer) = finished(None);
        let (checks, _) = all(&search, &answer, |id| {
            if id == "c4" || id == REVERTED {
                FOUND
            } else {
                QUIET
            }
        });
        let held: Vec<_> = checks.iter().map(|c| c.held).collect();
        assert_eq!(held, [Held::No, Held::No, Held::No]);
    }

    #[test]
    fn what_cannot_be_made_is_left_open_to_nobody() {
        let (search, answer) = finished(None);
        let build = Outcome::Skip { why: Skip::Build };
        let (checks, kept) = all(&search, &answer, |id| match id {
            REVERTED => build,
            "c5" => FOUND,
            _ => QUIET,
        });
        assert_eq!(
            checks.last().map(|c| (c.held, c.why.as_str())),
            Some((Held::Untold, "it does not build"))
        );
        assert_eq!(
            kept.iter().filter(|v| v.trial.commit == REVERTED).count(),
            1,
            "once is enough"
        );
    }

    #[test]
    fn of_several_commits_the_one_before_and_the_last_are_checked() {
        let (search, answer) = finished(Some(4));
        assert_eq!(answer.named, [4, 5]);
        let checks = checks(&search, &answer, true, &[]);
        let about: Vec<_> = checks.iter().map(|c| (c.what, c.commit)).collect();
        assert_eq!(
            about,
            [(What::ParentClean, Some(3)), (What::CulpritAgain, Some(5))]
        );
    }

    #[test]
    fn an_answer_that_is_not_sure_is_not_verified() {
        let (search, mut answer) = finished(None);
        answer.ending = Ending::Budget;
        assert!(checks(&search, &answer, true, &[]).is_empty());
    }
}
