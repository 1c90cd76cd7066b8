//! Error rates by simulation, and the edges of the rule.

use super::*;

/// A small generator of our own: the same trials on every machine.
struct Chance(u64);

impl Chance {
    fn hit(&mut self, rate: f64) -> bool {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (bits as f64) / ((1u64 << 53) as f64) < rate
    }
}

/// Judges so many series whose base and patched kernels fail at these rates; returns how many were
/// called worse, not worse (quiet included), undecided, and the mean number of pairs.
fn simulate(rule: Rule, base: f64, patched: f64, series: u32) -> (f64, f64, f64, f64) {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut worse, mut clear, mut open, mut pairs) = (0, 0, 0, 0);
    for _ in 0..series {
        let mut comparison = Comparison::new(rule).unwrap();
        while comparison.judgement() == Judgement::Open {
            comparison.add(Pair {
                base: chance.hit(base),
                patched: chance.hit(patched),
            });
        }
        match comparison.judgement() {
            Judgement::Worse => worse += 1,
            Judgement::NotWorse | Judgement::Quiet => clear += 1,
            Judgement::Undecided => open += 1,
            Judgement::Open => unreachable!("the loop ends with a judgement"),
        }
        pairs += comparison.pairs();
    }
    let share = |n: u32| f64::from(n) / f64::from(series);
    (share(worse), share(clear), share(open), share(pairs))
}

#[test]
fn a_series_that_is_no_worse_is_hardly_ever_blamed() {
    for rate in [0.0, 0.02, 0.1, 0.3, 0.5, 0.9, 1.0] {
        let (worse, ..) = simulate(Rule::default(), rate, rate, 4000);
        assert!(worse <= 0.01, "at {rate} on both, {worse} were blamed");
        // One that mends something even less.
        let (worse, ..) = simulate(Rule::default(), rate, rate / 2.0, 4000);
        assert!(worse <= 0.01, "at {rate} on base, {worse} were blamed");
    }
}

#[test]
fn one_that_is_worse_is_hardly_ever_cleared() {
    for (base, patched) in [(0.0, 0.1), (0.0, 0.5), (0.0, 1.0), (0.05, 0.5), (0.3, 0.9)] {
        let (worse, clear, open, pairs) = simulate(Rule::default(), base, patched, 4000);
        // Three standard errors of the simulation above what is promised.
        assert!(clear <= 0.05 + 0.0103, "{base} → {patched}: {clear} were cleared");
        assert!(
            open <= 0.2 && worse >= 0.75,
            "{base} → {patched}: {worse} blamed, {open} open"
        );
        println!("{base} → {patched}: {worse} blamed, {clear} cleared, {open} undecided, {pairs} pairs");
    }
}

#[test]
fn a_sure_difference_takes_the_least_number_of_pairs() {
    let mut comparison = Comparison::new(Rule::default()).unwrap();
    for n in 0..comparison.least() {
        assert_eq!(comparison.judgement(), Judgement::Open, "after {n}");
        comparison.add(Pair {
            base: false,
            patched: true,
        });
    }
    assert_eq!(comparison.judgement(), Judgement::Worse);
    assert_eq!(comparison.findings(), (0, comparison.least()));
}

#[test]
fn what_fails_on_both_sides_blames_nobody() {
    let mut comparison = Comparison::new(Rule::default()).unwrap();
    while comparison.judgement() == Judgement::Open {
        comparison.add(Pair {
            base: true,
            patched: true,
        });
    }
    assert_eq!(comparison.judgement(), Judgement::Undecided);
}

#[test]
fn silence_is_told_apart_from_a_comparison() {
    let mut comparison = Comparison::new(Rule::default()).unwrap();
    for _ in 0..comparison.quiet_after() {
        assert_eq!(comparison.judgement(), Judgement::Open);
        comparison.add(Pair {
            base: false,
            patched: false,
        });
    }
    assert_eq!(comparison.judgement(), Judgement::Quiet);
}

#[test]
fn a_rule_that_cannot_be_kept_is_refused() {
    let with = |change: fn(&mut Rule)| {
        let mut rule = Rule::default();
        change(&mut rule);
        Comparison::new(rule).unwrap_err()
    };
    assert_eq!(with(|r| r.false_blame = 0.0), RuleError::Errors);
    assert_eq!(with(|r| r.false_clear = 0.7), RuleError::Errors);
    assert_eq!(with(|r| r.odds = f64::NAN), RuleError::Odds);
    assert_eq!(with(|r| r.odds = 1.0), RuleError::Odds);
    assert_eq!(with(|r| r.rate = 1.0), RuleError::Rate);
    assert_eq!(with(|r| r.pairs_max = 3), RuleError::Pairs { least: 8 });
}
