//! What the posterior has to obey, whatever comes.

use super::*;
use crate::bisect::simulate::{Setting, Shape};
use proptest::prelude::*;

fn outcomes() -> impl Strategy<Value = Vec<(usize, Outcome)>> {
    let outcome = prop_oneof![
        3 => (0.0..30.0f64).prop_map(|for_s| Outcome::Quiet { for_s }),
        2 => (0.0..30.0f64).prop_map(|after_s| Outcome::Found { after_s }),
        1 => prop_oneof![Just(Skip::Build), Just(Skip::Boot), Just(Skip::Other), Just(Skip::Inconclusive)]
            .prop_map(|why| Outcome::Skip { why }),
        1 => any::<bool>().prop_map(|bad| Outcome::Told { bad }),
    ];
    prop::collection::vec((0..=24usize, outcome), 0..40)
}

fn recorded(history: History, weights: &[f64], outcomes: &[(usize, Outcome)]) -> Search {
    let mut search = Search::new(history, weights, Rule::default()).unwrap();
    for (n, &(commit, outcome)) in outcomes.iter().enumerate() {
        search
            .record(trial(commit, u32::try_from(n).unwrap(), outcome))
            .unwrap();
    }
    search
}

fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_a_probability(outcomes in outcomes(), seed in any::<u64>(), weight in 0.0..5.0f64) {
        let search = recorded(merged(24, &mut Chance::new(seed)), &[1.0, weight, 2.0], &outcomes);
        let candidates = search.candidates();
        prop_assert!((candidates.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(candidates.iter().all(|p| *p >= 0.0));
        let (history, bad) = (search.history(), search.bad());
        for commit in 0..history.len() {
            for older in 0..commit {
                if history.contains(commit, older) {
                    // What contains more is bad more likely: what git's log relies on.
                    prop_assert!(bad[commit] >= bad[older] - 1e-12);
                }
            }
        }
        let learned = search.learned();
        prop_assert!(0.0 < learned.low && learned.low <= learned.rate.max(learned.low));
        prop_assert!(learned.rate <= 1.0 && learned.low <= learned.high && learned.quiet_trials > 0);
    }

    #[test]
    fn the_order_of_trials_does_not_matter(outcomes in outcomes(), seed in any::<u64>()) {
        let history = merged(24, &mut Chance::new(seed));
        let mut other = outcomes.clone();
        let mut chance = Chance::new(!seed);
        for at in (1..other.len()).rev() {
            other.swap(at, chance.below(at + 1));
        }
        let one = recorded(history.clone(), &[], &outcomes);
        let two = recorded(history, &[], &other);
        prop_assert!(close(&one.candidates(), &two.candidates()));
        let (one, two) = (one.learned(), two.learned());
        prop_assert!((one.rate - two.rate).abs() < 1e-9);
    }

    #[test]
    fn what_was_skipped_is_evidence_of_nothing(outcomes in outcomes()) {
        let told: Vec<_> =
            outcomes.iter().copied().filter(|o| !matches!(o.1, Outcome::Skip { .. })).collect();
        let (all, told) = (recorded(linear(24), &[], &outcomes), recorded(linear(24), &[], &told));
        prop_assert!(close(&all.candidates(), &told.candidates()));
        if let Step::Try(choice) = all.step(&[]) {
            prop_assert_eq!(all.tally(choice.commit).skip, None);
        }
        // Every class is a run, broken where a commit can be tested; none is lost, none counts twice.
        let members: Vec<usize> = all.classes().concat();
        prop_assert_eq!(members, (0..=24).collect::<Vec<_>>());
        for class in all.classes() {
            prop_assert!(class[..class.len() - 1].iter().all(|&c| all.tally(c).skip.is_some()));
            prop_assert!(class[class.len() - 1] == 24 || all.tally(class[class.len() - 1]).skip.is_none());
        }
    }

    #[test]
    fn a_chain_of_parents_is_a_linear_range(seed in any::<u64>(), culprit in 1..=20usize) {
        let chain = History::merged(
            (0..=20usize)
                .map(|c| (format!("c{c}"), c.checked_sub(1).map(|p| format!("c{p}")).into_iter().collect()))
                .collect(),
        )
        .unwrap();
        let mut runs = Vec::new();
        for history in [linear(20), chain] {
            let mut search = Search::new(history.clone(), &[], Rule::default()).unwrap();
            let unbuildable = 1 + Chance::new(seed).below(18);
            let run = search_all(&mut search, |commit, nth| {
                if commit == unbuildable {
                    return Outcome::Skip { why: Skip::Build };
                }
                kernel(&history, culprit, 0.7, commit, nth)
            });
            runs.push((run, search.candidates()));
        }
        prop_assert_eq!(&runs[0], &runs[1]);
    }

    #[test]
    fn merges_do_not_hide_a_culprit(seed in any::<u64>(), culprit in 1..=40usize) {
        let history = merged(40, &mut Chance::new(seed));
        let mut search = Search::new(history.clone(), &[], Rule::default()).unwrap();
        let (_, end) = search_all(&mut search, |commit, nth| kernel(&history, culprit, 1.0, commit, nth));
        let Step::Done(answer) = end else { panic!("{end:?}") };
        prop_assert_eq!(answer.named, vec![culprit]);
    }
}

#[test]
fn a_longer_silence_says_more_where_patience_is_what_it_takes() {
    let after = |found_s: f64, for_s: f64| {
        let found = [(24, Outcome::Found { after_s: found_s }); 4];
        let mut search = recorded(linear(24), &[], &found);
        search.record(trial(12, 9, Outcome::Quiet { for_s })).unwrap();
        search.bad()[12]
    };
    let before = recorded(linear(24), &[], &[]).bad()[12];
    assert!(after(20.0, 60.0) < after(20.0, 5.0));
    assert!(after(20.0, 5.0) < before);
    // Found at once whenever it was found: 5 quiet seconds are nearly as good as 60.
    let ratio = |found_s: f64| after(found_s, 5.0) / after(found_s, 60.0);
    assert!(ratio(0.5) < ratio(20.0), "{} {}", ratio(0.5), ratio(20.0));
}

#[test]
fn paths_shape_and_do_not_exclude() {
    let weights: Vec<f64> = (1..=24).map(|c| if c == 5 { 1.0 } else { 0.1 }).collect();
    let mut search = Search::new(linear(24), &weights, Rule::default()).unwrap();
    assert!(search.candidates()[5] > 0.25);
    let history = linear(24);
    let (_, end) = search_all(&mut search, |commit, nth| kernel(&history, 17, 1.0, commit, nth));
    let Step::Done(answer) = end else {
        panic!("{end:?}")
    };
    assert_eq!(answer.named, [17]);
    let nothing = Search::new(linear(3), &[0.0, f64::NAN, -1.0], Rule::default()).unwrap();
    assert!(nothing.candidates().iter().all(|p| *p > 0.0));
}

#[test]
fn what_it_states_comes_true() {
    for (rate, runs) in [(1.0, 120u32), (0.5, 120)] {
        let setting = Setting {
            commits: 12,
            rate,
            shape: Shape::Mixed,
            unbuildable: 0.05,
            false_alarm: 0.0,
            build_s: 60.0,
            trial_s: 30.0,
        };
        let (mut right, mut stated) = (0.0, 0.0);
        for seed in 0..runs {
            let ran = simulate::run(setting, Rule::default(), u64::from(seed), false).unwrap();
            right += f64::from(u8::from(ran.right));
            stated += ran.confidence;
        }
        let n = f64::from(runs);
        // Seeded, so the same each time: at least what was promised, and never far from what was stated.
        assert!(right / n >= 0.95, "{rate}: {} right", right / n);
        assert!(
            (right - stated).abs() / n <= 0.05,
            "{rate}: {right} right, {stated} stated of {n}"
        );
    }
}

#[test]
fn the_time_that_is_left_is_of_the_right_size_and_runs_out() {
    let history = linear(128);
    let mut search = Search::new(history.clone(), &[], Rule::default()).unwrap();
    assert_eq!(search.left_s(), None, "the ends come first");
    let (mut first, mut last) = (None, None);
    while let Step::Try(choice) = search.step(&[]) {
        let nth = search.next_nth(choice.commit, &[]);
        let outcome = kernel(&history, 77, 0.6, choice.commit, nth);
        search.record(trial(choice.commit, nth, outcome)).unwrap();
        if let Some(left_s) = search.left_s() {
            first = first.or(Some((left_s, search.spent_s())));
            last = Some(left_s);
        }
    }
    let (told_s, before_s) = first.unwrap();
    let took_s = search.spent_s() - before_s;
    assert!(
        (0.3..3.0).contains(&(told_s / took_s)),
        "{told_s} s were told, {took_s} s it took"
    );
    assert!(last.unwrap() < told_s / 4.0, "{last:?} at the end");
}
