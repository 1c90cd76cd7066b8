//! Every way in which a search ends.

use super::*;

fn quick() -> Rule {
    Rule {
        end_trials_max: 40,
        ..Rule::default()
    }
}

/// Searches a range whose commits from `culprit` to `fixed` (not included) are bad in each trial.
fn end(culprit: usize, fixed: usize) -> Step {
    let mut search = Search::new(linear(8), &[], quick()).unwrap();
    let (_, end) = search_all(&mut search, |commit, _| {
        if (culprit..fixed).contains(&commit) {
            Outcome::Found { after_s: 2.0 }
        } else {
            Outcome::Quiet { for_s: 30.0 }
        }
    });
    end
}

#[test]
fn a_bad_range_is_told_in_a_sentence_with_what_to_try() {
    assert!(matches!(end(3, 9), Step::Done(answer) if answer.named == [3]));
    assert!(matches!(end(0, 9), Step::Bad(Problem::GoodIsBad { found, .. }) if found > 0));
    assert_eq!(end(0, 8), Step::Bad(Problem::BadIsGood { trials: 40 }));
    assert_eq!(
        end(9, 9),
        Step::Bad(Problem::Nothing {
            trials: 40,
            rate_percent: 8
        })
    );
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let problems = [
        History::linear(ids(&["a"])).unwrap_err(),
        History::linear(ids(&["a", "a"])).unwrap_err(),
        History::linear(ids(&["a", "b", "a"])).unwrap_err(),
        History::merged(vec![
            ("a".into(), vec![]),
            ("b".into(), ids(&["c"])),
            ("c".into(), vec![]),
        ])
        .unwrap_err(),
        History::merged(vec![
            ("a".into(), vec![]),
            ("b".into(), vec![]),
            ("c".into(), ids(&["a"])),
        ])
        .unwrap_err(),
        Problem::Reversed,
    ];
    let expected = [
        "the good and the bad end are the same commit, so there is nothing between them to search",
        "the good and the bad end are the same commit, so there is nothing between them to search",
        "a is listed twice",
        "b is listed before one of its parents",
        "the bad end does not contain b, so the ends have no common history to search",
        "the bad end is an ancestor of the good one: the bug was fixed between them, not made",
    ];
    for (problem, expected) in problems.iter().zip(expected) {
        assert_eq!(problem.to_string(), expected);
        assert!(miette::Diagnostic::help(problem).is_some(), "{problem}: no help");
    }
}

#[test]
fn an_end_that_cannot_be_tested_is_named() {
    for (end, dead) in [("bad", 8), ("good", 0)] {
        let mut search = Search::new(linear(8), &[], quick()).unwrap();
        let history = linear(8);
        let (_, step) = search_all(&mut search, |commit, nth| match commit == dead {
            true => Outcome::Skip { why: Skip::Boot },
            false => kernel(&history, 4, 1.0, commit, nth),
        });
        let commit = format!("c{dead}");
        let why = "it does not boot".to_owned();
        assert_eq!(step, Step::Bad(Problem::Untestable { end, commit, why }));
    }
}

#[test]
fn what_skips_make_one_is_named_as_one_and_never_wider() {
    let mut search = Search::new(linear(16), &[], quick()).unwrap();
    let history = linear(16);
    let (tried, end) = search_all(&mut search, |commit, nth| match commit {
        8 | 9 => Outcome::Skip { why: Skip::Build },
        _ => kernel(&history, 9, 1.0, commit, nth),
    });
    let Step::Done(answer) = end else {
        panic!("{end:?}")
    };
    assert_eq!(answer.named, [8, 9, 10]);
    assert!(answer.confidence >= 0.95 && answer.ending == Ending::Sure);
    // What does not build is not built twice.
    assert!(tried.iter().filter(|&&c| c == 8).count() <= 1);
}

#[test]
fn a_side_branch_that_cannot_be_tested_is_one_with_its_merge() {
    // 1 ← 3 ← 4 (merges 2, a branch from 0).
    let side = |ids: &[(&str, &[&str])]| {
        ids.iter()
            .map(|(id, parents)| {
                (
                    (*id).to_owned(),
                    parents.iter().map(|p| format!("c{p}")).collect(),
                )
            })
            .collect::<Vec<_>>()
    };
    let history = History::merged(side(&[
        ("c0", &[]),
        ("c1", &["0"]),
        ("c2", &["0"]),
        ("c3", &["1"]),
        ("c4", &["3", "2"]),
    ]))
    .unwrap();
    assert!(!history.contains(3, 2) && history.contains(4, 2) && history.contains(2, 0));
    let mut search = Search::new(history.clone(), &[], quick()).unwrap();
    let (_, end) = search_all(&mut search, |commit, nth| match commit {
        2 => Outcome::Skip { why: Skip::Build },
        _ => kernel(&history, 2, 1.0, commit, nth),
    });
    let Step::Done(answer) = end else {
        panic!("{end:?}")
    };
    assert_eq!(answer.named, [2, 4]);
}

#[test]
fn another_bug_each_time_makes_a_commit_untestable_in_the_end() {
    let mut search = Search::new(linear(8), &[], quick()).unwrap();
    let history = linear(8);
    let (tried, end) = search_all(&mut search, |commit, nth| match commit {
        4 => Outcome::Skip { why: Skip::Other },
        _ => kernel(&history, 4, 1.0, commit, nth),
    });
    assert!(tried.iter().filter(|&&c| c == 4).count() <= 3);
    let Step::Done(answer) = end else {
        panic!("{end:?}")
    };
    assert!(answer.named == [4, 5] || answer.named == [4], "{answer:?}");
}

#[test]
fn a_budget_ends_with_what_is_left() {
    let rule = Rule {
        budget_s: Some(900.0),
        ..quick()
    };
    let mut search = Search::new(linear(64), &[], rule).unwrap();
    let history = linear(64);
    let (_, end) = search_all(&mut search, |commit, nth| kernel(&history, 40, 0.5, commit, nth));
    let Step::Done(answer) = end else {
        panic!("{end:?}")
    };
    assert_eq!(answer.ending, Ending::Budget);
    assert!(answer.confidence < 0.95 && search.spent_s() >= 900.0);
    let held: f64 = answer.remaining.iter().map(|(_, p)| p).sum();
    assert!(held >= 0.95 && answer.remaining.len() < 65);
    assert!(answer.remaining.windows(2).all(|pair| pair[0].1 >= pair[1].1));
}

#[test]
fn a_rule_that_makes_no_sense_is_refused() {
    let check = |change: fn(&mut Rule), expected: &str| {
        let mut rule = Rule::default();
        change(&mut rule);
        let problem = Search::new(linear(3), &[], rule).unwrap_err();
        assert_eq!(problem.to_string(), expected);
    };
    check(
        |r| r.confidence = 1.0,
        "the confidence must lie between 0.5 and 0.9999",
    );
    check(
        |r| r.trial_s = f64::NAN,
        "a trial's length must lie between 0.1 and 86400",
    );
    check(
        |r| r.false_alarm = 0.0,
        "the rate of false alarms must lie between 0.000000001 and 0.1",
    );
    check(
        |r| r.found_at_bad = 0,
        "the number of findings at the bad end must lie between 1 and 100",
    );
    check(
        |r| r.budget_s = Some(-1.0),
        "the budget must lie between 0 and 1000000000",
    );
}

#[test]
fn a_dear_build_is_used_for_more_trials() {
    // The same belief; only what a build costs differs.
    let builds = |build_s: f64| {
        let rule = Rule { build_s, ..quick() };
        let mut search = Search::new(linear(128), &[], rule).unwrap();
        let history = linear(128);
        let mut built = std::collections::HashSet::new();
        while let Step::Try(choice) = search.step(&[]) {
            let nth = search.next_nth(choice.commit, &[]);
            let mut trial = trial(choice.commit, nth, kernel(&history, 77, 0.3, choice.commit, nth));
            trial.build_s = if built.insert(choice.commit) { build_s } else { 0.0 };
            search.record(trial).unwrap();
        }
        built.len()
    };
    assert!(builds(3600.0) < builds(1.0), "{} {}", builds(3600.0), builds(1.0));
}
