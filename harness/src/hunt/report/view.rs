//! Everything that a report of a hunt says, found once.

use super::words;
use crate::bisect::{Answer, Ending, Outcome, Search, Step};
use crate::hunt::check::{Check, Held};
use crate::hunt::event::{self, Belief, came_to};
use crate::hunt::folder::Kept;
use crate::hunt::range::Candidate;
use serde::Serialize;
use serde_json::{Value, json};

/// Candidates that a report lists with their probabilities.
const LISTED_MAX: usize = 50;

/// A hunt, for reports.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// Its id.
    pub bisect: String,
    /// One sentence.
    pub title: String,
    /// Whether there is a sure answer that nothing contradicts.
    pub good: bool,
    /// What is searched.
    pub what: String,
    /// Commits between the ends, the bad one included.
    pub commits: usize,
    /// The cell of each trial.
    pub cell: String,
    /// How long a trial presses, in seconds.
    pub budget_s: f64,
    /// Which finding counts.
    pub bug: String,
    /// What was seen first at the bad end.
    pub symptom: Option<String>,
    /// When it began.
    pub started: String,
    /// Why it ended; none while it goes on.
    pub ending: Option<&'static str>,
    /// What is wrong with the range.
    pub problem: Option<String>,
    /// The named commits, oldest first.
    pub named: Vec<Candidate>,
    /// The probability that the culprit is among them.
    pub confidence: Option<f64>,
    /// The likeliest candidates.
    pub likeliest: Vec<Likely>,
    /// Mean of the hit rate, and a range of nine in ten.
    pub rate: [f64; 3],
    /// The checks.
    pub checks: Vec<Checked>,
    /// Every trial, the verification's last.
    pub trials: Vec<Tried>,
    /// Kernels that were built.
    pub builds: usize,
    /// Seconds of machine time: builds, boots, pressure.
    pub spent_s: [f64; 3],
    /// `Fixes:` and `#regzbot introduced:`, where the range is git's and there is an answer.
    pub tags: Option<(String, String)>,
    /// What the program was called with.
    pub command: String,
    /// The posterior of every candidate after each trial of the search.
    #[serde(skip)]
    pub beliefs: Vec<Vec<f64>>,
    /// Short names of all candidates.
    #[serde(skip)]
    pub shorts: Vec<String>,
}

/// A candidate with its probability.
#[derive(Debug, Clone, Serialize)]
pub struct Likely {
    /// Its number in the range.
    pub number: usize,
    /// Its short name.
    pub short: String,
    /// Its first line.
    pub subject: String,
    /// Its probability.
    pub p: f64,
}

/// A check.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// What it claims.
    pub claim: String,
    /// Whether it held.
    pub held: Held,
    /// The same in words.
    pub words: &'static str,
    /// What that rests on.
    pub rests_on: String,
}

/// A trial.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// Its number, from 1.
    pub n: usize,
    /// The commit, short.
    pub commit: String,
    /// The commit's number in the range; none for the bad end without the culprit.
    pub number: Option<usize>,
    /// Its first line.
    pub subject: String,
    /// Which trial of it.
    pub nth: u32,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The same in words.
    pub words: String,
    /// `found`, `quiet` or `skip`.
    pub class: &'static str,
    /// Seconds of building.
    pub build_s: f64,
    /// Seconds to the guest's first word.
    pub boot_s: f64,
    /// Seconds from there to the end.
    pub run_s: f64,
    /// Where its evidence lies, below the search's folder.
    pub evidence: Option<String>,
    /// What was believed after it.
    pub belief: Option<Belief>,
}

impl View {
    /// Of what is kept.
    #[must_use]
    pub fn of(id: &str, kept: &Kept) -> Self {
        let (search, header) = (&kept.search, &kept.header);
        let step = search.step(&[]);
        let answer = match &step {
            Step::Done(answer) => Some(answer),
            Step::Try(_) | Step::Wait | Step::Bad(_) => None,
        };
        let problem = match &step {
            Step::Bad(problem) => {
                let help = miette::Diagnostic::help(problem).map_or_else(String::new, |h| format!("; {h}"));
                Some(format!("{problem}{help}"))
            }
            Step::Done(_) | Step::Try(_) | Step::Wait => None,
        };
        let checks = kept.checks();
        let (trials, beliefs) = trials(kept);
        let named: Vec<Candidate> = answer.map(|a| of(kept, &a.named)).unwrap_or_default();
        let sum = |of: fn(&crate::bisect::Trial) -> f64| kept.trials().map(of).sum::<f64>();
        let learned = search.learned();
        let bad = search.history().id(search.history().bad());
        let symptom = search
            .log()
            .iter()
            .find(|t| t.commit == bad && is_found(t.outcome));
        let contradicted = checks.iter().any(|c| c.held == Held::No);
        Self {
            title: title(answer, &named, problem.as_deref(), contradicted),
            good: answer.is_some_and(|a| a.ending == Ending::Sure) && !contradicted,
            bisect: id.to_owned(),
            what: words::what(&header.range),
            commits: kept.candidates.len().saturating_sub(1),
            cell: header.cell.clone(),
            budget_s: header.budget_s,
            bug: kept.bug().words(),
            symptom: symptom.and_then(|t| t.seen.as_ref()).map(|s| match &s.class {
                Some(class) => event::symptom(class, &s.title),
                None => s.title.clone(),
            }),
            started: header.started.clone(),
            ending: answer.map(|a| words::ending(a.ending)),
            confidence: answer.map(|a| a.confidence),
            likeliest: likeliest(kept),
            rate: [learned.rate, learned.low, learned.high],
            checks: checks.iter().map(|c| checked(kept, c)).collect(),
            builds: kept.trials().filter(|t| t.build_s > 0.0).count(),
            spent_s: [sum(|t| t.build_s), sum(|t| t.boot_s), sum(|t| t.run_s)],
            tags: answer.and_then(|a| tags(kept, a)),
            command: command(&header.args),
            shorts: kept.candidates.iter().map(|c| c.short.clone()).collect(),
            named,
            problem,
            trials,
            beliefs,
        }
    }

    /// The object that programs read, the last of a search's stream.
    #[must_use]
    pub fn object(&self) -> Value {
        let mut object = json!({ "v": 1, "event": "bisect" });
        let own = serde_json::to_value(self).unwrap_or_default();
        if let (Value::Object(to), Value::Object(from)) = (&mut object, own) {
            to.extend(from);
        }
        object
    }
}

fn is_found(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Found { .. })
}

/// Candidates by number.
fn of(kept: &Kept, numbers: &[usize]) -> Vec<Candidate> {
    numbers
        .iter()
        .filter_map(|&c| kept.candidates.get(c).cloned())
        .collect()
}

fn title(answer: Option<&Answer>, named: &[Candidate], problem: Option<&str>, contradicted: bool) -> String {
    if let Some(problem) = problem {
        return problem.to_owned();
    }
    let Some(answer) = answer else {
        return "the search goes on: there is no answer yet".to_owned();
    };
    let percent = words::percent(answer.confidence);
    let but = if contradicted {
        ", but a check contradicts that"
    } else {
        ""
    };
    match (answer.ending, named) {
        (Ending::Sure, [one]) => {
            format!(
                "the culprit is {} ({}), with a probability of {percent}{but}",
                one.short, one.subject
            )
        }
        (Ending::Sure, [first, .., last]) => format!(
            "the culprit is one of {} commits from {} to {}, which no commit that can be tested tells apart, with a probability of {percent}{but}",
            named.len(),
            first.short,
            last.short
        ),
        (Ending::Budget | Ending::Exhausted | Ending::Sure, _) => format!(
            "{} candidates are left: the search {}",
            answer.remaining.len(),
            words::ending(answer.ending)
        ),
    }
}

fn likeliest(kept: &Kept) -> Vec<Likely> {
    let all = kept.search.candidates();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|a, b| all[*b].total_cmp(&all[*a]));
    let shown = order.into_iter().filter(|&c| all[c] >= 1e-3).take(LISTED_MAX);
    shown
        .map(|c| Likely {
            number: c,
            short: kept.short(c),
            subject: kept.subject(c),
            p: all[c],
        })
        .collect()
}

fn checked(kept: &Kept, check: &Check) -> Checked {
    let short = check.commit.map_or_else(String::new, |c| kept.short(c));
    Checked {
        claim: words::claim(check, &short),
        held: check.held,
        words: words::held(check.held),
        rests_on: words::rests_on(check),
    }
}

fn tags(kept: &Kept, answer: &Answer) -> Option<(String, String)> {
    let (&first, &last) = (answer.named.first()?, answer.named.last()?);
    let (fixes, introduced) = kept.header.range.tags(last)?;
    if first == last {
        return Some((fixes, introduced));
    }
    let (from, to) = (kept.short(first), kept.short(last));
    Some((
        format!("Fixes: one of {from}^..{to}"),
        format!("#regzbot introduced: {from}^..{to}"),
    ))
}

/// Every trial with what was believed after it, found by searching again.
fn trials(kept: &Kept) -> (Vec<Tried>, Vec<Vec<f64>>) {
    let history = kept.search.history().clone();
    let mut again = Search::new(history.clone(), &kept.header.weights, kept.header.rule).ok();
    let (mut all, mut beliefs) = (Vec::new(), Vec::new());
    for trial in kept.trials() {
        let number = history.find(&trial.commit);
        let searched = all.len() < kept.search.log().len();
        let belief = again.as_mut().filter(|_| searched).and_then(|search| {
            search.record(trial.clone()).ok()?;
            beliefs.push(search.candidates());
            let mut belief = Belief::of(search, |c| kept.short(c));
            // Of interest only while it goes on.
            belief.left_s = None;
            Some(belief)
        });
        all.push(Tried {
            n: all.len() + 1,
            commit: number.map_or_else(|| trial.commit.clone(), |c| kept.short(c)),
            number,
            subject: number.map_or_else(String::new, |c| kept.subject(c)),
            nth: trial.nth,
            outcome: trial.outcome,
            words: came_to(trial),
            class: match trial.outcome {
                Outcome::Found { .. } | Outcome::Told { bad: true } => "found",
                Outcome::Quiet { .. } | Outcome::Told { bad: false } => "quiet",
                Outcome::Skip { .. } => "skip",
            },
            build_s: trial.build_s,
            boot_s: trial.boot_s,
            run_s: trial.run_s,
            evidence: trial.seen.as_ref().and_then(|s| s.evidence.clone()),
            belief,
        });
    }
    (all, beliefs)
}

/// The command as it was given, the program's folder left out.
fn command(args: &[String]) -> String {
    let quoted = |arg: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%^~#".contains(c);
        if !arg.is_empty() && arg.chars().all(plain) {
            arg.clone()
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    };
    std::iter::once("patchproof".to_owned())
        .chain(args.iter().skip(1).map(quoted))
        .collect::<Vec<_>>()
        .join(" ")
}
