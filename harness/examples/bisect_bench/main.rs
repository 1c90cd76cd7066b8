//! Measures the search by simulation, beside what others do, and prints the table of `bench/results.md`.
//!
//! `bisect_bench [--runs N] [--commits N,…] [--rates P,…] [--shape mixed|steady|sudden] [--alarm P]`.
//! Everything is simulated and seeded: the same figures on every machine.

mod baselines;

use baselines::Fixed;
use harness::bisect::simulate::{self, Setting, Shape};
use harness::bisect::{Problem, Rule};
use std::process::ExitCode;

struct Args {
    runs: u32,
    commits: Vec<usize>,
    rates: Vec<f64>,
    shape: Shape,
    alarm: f64,
    rule: Rule,
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(what) => {
            eprintln!("bisect_bench: {what}");
            return ExitCode::from(2);
        }
    };
    match table(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bisect_bench: {problem}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args {
        runs: 500,
        commits: vec![16, 128, 1024],
        rates: vec![1.0, 0.5, 0.2, 0.1, 0.05],
        shape: Shape::Mixed,
        alarm: 0.0,
        rule: Rule::default(),
    };
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let bad = |_| format!("{flag} does not take `{value}`");
        match flag.as_str() {
            "--runs" => args.runs = value.parse().map_err(|_| bad(()))?,
            "--commits" => args.commits = list(&value).ok_or_else(|| bad(()))?,
            "--rates" => args.rates = list(&value).ok_or_else(|| bad(()))?,
            "--alarm" => args.alarm = value.parse().map_err(|_| bad(()))?,
            "--found" => args.rule.found_at_bad = value.parse().map_err(|_| bad(()))?,
            "--confidence" => args.rule.confidence = value.parse().map_err(|_| bad(()))?,
            "--shape" => {
                args.shape = match value.as_str() {
                    "mixed" => Shape::Mixed,
                    "steady" => Shape::Steady,
                    "sudden" => Shape::Sudden,
                    _ => return Err(bad(())),
                }
            }
            _ => return Err(format!("unknown argument {flag}")),
        }
    }
    Ok(args)
}

fn list<T: std::str::FromStr>(words: &str) -> Option<Vec<T>> {
    words.split(',').map(|word| word.parse().ok()).collect()
}

/// What many runs of one search come to.
#[derive(Default)]
struct Sum {
    runs: f64,
    right: f64,
    confidence: f64,
    search_s: f64,
    ends_s: f64,
    verify_s: f64,
    trials: f64,
    builds: f64,
    named: f64,
}

impl Sum {
    fn mean(&self, of: f64) -> f64 {
        of / self.runs
    }

    /// Lower bound of the share that was right, by Wilson at 95 %.
    fn wilson(&self) -> f64 {
        let (n, p, z) = (self.runs, self.right / self.runs, 1.96f64);
        let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        (p + z * z / (2.0 * n) - spread) / (1.0 + z * z / n)
    }
}

fn ours(setting: Setting, rule: Rule, runs: u32, ignoring_cost: bool) -> Result<Sum, Problem> {
    let rule = Rule {
        trial_s: setting.trial_s,
        build_s: setting.build_s,
        boot_s: 0.0,
        end_trials_max: 2000,
        ..rule
    };
    let mut sum = Sum::default();
    for seed in 0..runs {
        let ran = simulate::run(setting, rule, seed_of(setting, seed), ignoring_cost)?;
        sum.runs += 1.0;
        sum.right += f64::from(u8::from(ran.right));
        sum.confidence += ran.confidence;
        sum.search_s += ran.search_s;
        sum.ends_s += ran.ends_s;
        sum.verify_s += ran.verify_s;
        sum.trials += f64::from(ran.trials);
        sum.builds += f64::from(ran.builds);
        sum.named += ran.named.len() as f64;
    }
    Ok(sum)
}

fn fixed(setting: Setting, runs: u32, fixed: Fixed) -> Sum {
    let mut sum = Sum::default();
    for seed in 0..runs {
        let (right, spent_s) = fixed.run(setting, seed_of(setting, seed));
        sum.runs += 1.0;
        sum.right += f64::from(u8::from(right));
        sum.search_s += spent_s;
    }
    sum
}

/// (c): the fewest trials a step that are right as often, found by trying.
fn told(setting: Setting, accuracy: f64, runs: u32) -> (u32, Sum) {
    let enough = |trials: u32| {
        let sum = fixed(setting, 4 * runs, Fixed::told(trials));
        sum.right / sum.runs >= accuracy
    };
    let mut high = 1;
    while high < 512 && !enough(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle) {
            high = middle
        } else {
            low = middle
        }
    }
    (high, fixed(setting, runs, Fixed::told(high)))
}

fn seed_of(setting: Setting, run: u32) -> u64 {
    0x5eed_0000_0000_0000 ^ u64::from(run) << 20 ^ (setting.commits as u64) << 8 ^ setting.rate.to_bits()
}

fn table(args: &Args) -> Result<(), Problem> {
    println!(
        "{} runs each, findings {:?} in time, {} false alarms a trial; seconds are means from known ends to the answer",
        args.runs, args.shape, args.alarm
    );
    println!(
        "| hit rate | commits | culprit in the named set (Wilson ≥) | stated | named | ours | trials, builds | (a) git bisect | (b) 10 runs | (b) 20 runs | (c) told, as sure | (c) told, 95 % | (d) cost-blind | to reach | reached | ends | verify |"
    );
    println!("|{}", " --- |".repeat(17));
    for &rate in &args.rates {
        let mut all = Sum::default();
        for &commits in &args.commits {
            let setting = Setting {
                commits,
                rate,
                shape: args.shape,
                unbuildable: 0.05,
                false_alarm: args.alarm,
                build_s: 60.0,
                trial_s: 30.0,
            };
            let sum = row(setting, args.rule, args.runs)?;
            all.runs += sum.runs;
            all.right += sum.right;
            all.confidence += sum.confidence;
        }
        println!(
            "| {rate} | all | {} | {:.1} % |",
            share(&all),
            100.0 * all.mean(all.confidence)
        );
    }
    Ok(())
}

fn share(sum: &Sum) -> String {
    format!(
        "{:.1} % ({:.1})",
        100.0 * sum.mean(sum.right),
        100.0 * sum.wilson()
    )
}

fn row(setting: Setting, rule: Rule, runs: u32) -> Result<Sum, Problem> {
    let own = ours(setting, rule, runs, false)?;
    let blind = ours(setting, rule, runs, true)?;
    let one = fixed(setting, runs, Fixed::ONE);
    let ten = fixed(setting, runs, Fixed::votes(10));
    let twenty = fixed(setting, runs, Fixed::votes(20));
    let (n, as_sure) = told(setting, own.mean(own.right), runs);
    let (least, told_95) = told(setting, 0.95, runs);
    let cost = |sum: &Sum| sum.mean(sum.search_s);
    let beside = |sum: &Sum| format!("{:.0} s, {:.0} %", cost(sum), 100.0 * sum.mean(sum.right));
    let (aim, ratio) = if setting.rate >= 1.0 {
        ("≤ 1.5 × (a)", cost(&own) / cost(&one))
    } else if setting.rate >= 0.5 {
        ("≤ 0.6 × (b) 20", cost(&own) / cost(&twenty))
    } else {
        ("≤ 1 × (c)", cost(&own) / cost(&as_sure))
    };
    println!(
        "| {} | {} | {} | {:.1} % | {:.2} | {:.0} s | {:.0}, {:.1} | {} | {} | {} | {n}: {} | {least}: {} | {} | {aim} | {ratio:.2} | {:.0} s | {:.0} s |",
        setting.rate,
        setting.commits,
        share(&own),
        100.0 * own.mean(own.confidence),
        own.mean(own.named),
        cost(&own),
        own.mean(own.trials),
        own.mean(own.builds),
        beside(&one),
        beside(&ten),
        beside(&twenty),
        beside(&as_sure),
        beside(&told_95),
        beside(&blind),
        own.mean(own.ends_s),
        own.mean(own.verify_s),
    );
    Ok(own)
}
