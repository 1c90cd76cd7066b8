//! What a hunt says while it goes on.

use super::check::Check;
use crate::bisect::{Learned, Outcome, Purpose, Search, Seen, Trial};
use serde::Serialize;
use std::path::PathBuf;

/// Everything that is told, in order: builds and boots in the words of a run, and the hunt's own.
#[derive(Debug)]
pub enum Told<'a> {
    /// A build or a boot.
    Run(&'a crate::run::Event),
    /// The hunt.
    Hunt(&'a Event),
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It begins, or goes on.
    BisectStarted {
        /// Its id.
        bisect: String,
        /// Its folder.
        dir: PathBuf,
        /// What is searched, in words.
        what: String,
        /// Commits between the ends, the bad one included.
        commits: usize,
        /// The cell that each trial runs.
        cell: String,
        /// Machines that run at once.
        machines: usize,
        /// Trials that an earlier go has kept.
        kept: usize,
    },
    /// A trial begins.
    BisectTrying {
        /// The commit, short.
        commit: String,
        /// Its first line.
        subject: String,
        /// Which trial of it.
        nth: u32,
        /// Why: `bad_end`, `good_end`, `search`, `parent_clean`, `culprit_again`, `reverted_clean`.
        purpose: &'static str,
    },
    /// A trial has ended and is kept.
    BisectTrial {
        /// The commit, short.
        commit: String,
        /// Its first line.
        subject: String,
        /// Which trial of it.
        nth: u32,
        /// Why.
        purpose: &'static str,
        /// What came of it.
        #[serde(flatten)]
        outcome: Outcome,
        /// What was seen.
        #[serde(skip_serializing_if = "Option::is_none")]
        seen: Option<Box<Seen>>,
        /// What is believed now; none in a verification.
        #[serde(skip_serializing_if = "Option::is_none")]
        belief: Option<Box<Belief>>,
    },
    /// There is an answer, before it is verified.
    BisectAnswer {
        /// The named commits, oldest first: short, and first line.
        named: Vec<(String, String)>,
        /// The probability that the culprit is among them.
        confidence: f64,
    },
    /// A check is done.
    BisectCheck {
        /// What it claims.
        claim: String,
        /// The check.
        #[serde(flatten)]
        check: Check,
    },
    /// The user wants to stop; what runs is being ended.
    Interrupted,
}

/// What is believed after a trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Belief {
    /// The likeliest candidates, short, with their probabilities.
    pub top: Vec<(String, f64)>,
    /// The probability of the likeliest set that can be told apart.
    pub confidence: f64,
    /// The fewest candidates that hold the culprit with the confidence asked for.
    pub left: usize,
    /// What is known of the hit rate: its mean, and a range of nine in ten.
    pub rate: [f64; 3],
    /// Seconds of machine time so far.
    pub spent_s: f64,
    /// Seconds that the search is likely to take yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_s: Option<f64>,
}

/// Candidates shown.
const TOP: usize = 3;

impl Belief {
    /// Of a search as it stands; `short` gives a candidate's short name.
    #[must_use]
    pub fn of(search: &Search, short: impl Fn(usize) -> String) -> Self {
        let candidates = search.candidates();
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|a, b| candidates[*b].total_cmp(&candidates[*a]));
        let classes = search.classes().iter();
        let confidence = classes
            .map(|class| class.iter().map(|&c| candidates[c]).sum::<f64>())
            .fold(0.0, f64::max);
        let mut held = 0.0;
        let enough = order.iter().position(|&c| {
            held += candidates[c];
            held >= search.rule().confidence
        });
        let Learned { rate, low, high, .. } = search.learned();
        Self {
            top: order
                .iter()
                .take(TOP)
                .map(|&c| (short(c), candidates[c]))
                .collect(),
            confidence,
            left: enough.map_or(order.len(), |at| at + 1),
            rate: [rate, low, high],
            spent_s: search.spent_s(),
            left_s: search.left_s(),
        }
    }
}

/// The word for why a trial was made.
#[must_use]
pub fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::BadEnd => "bad_end",
        Purpose::GoodEnd => "good_end",
        Purpose::Search => "search",
    }
}

/// A finding in one line: its class is said once.
#[must_use]
pub fn symptom(class: &str, title: &str) -> String {
    if title.to_lowercase().contains(class) {
        title.to_owned()
    } else {
        format!("{class}: {title}")
    }
}

/// What a trial came to, in a few words.
#[must_use]
pub fn came_to(trial: &Trial) -> String {
    let seen = trial.seen.as_ref();
    let title = seen.map(|s| s.title.as_str()).filter(|t| !t.is_empty());
    let class = seen.and_then(|s| s.class.as_deref());
    let about = match (class, title) {
        (Some(class), Some(title)) => format!(" ({})", symptom(class, title)),
        (Some(word), None) | (None, Some(word)) => format!(" ({word})"),
        (None, None) => String::new(),
    };
    match trial.outcome {
        Outcome::Found { after_s } => format!("found after {after_s:.1} s{about}"),
        Outcome::Quiet { for_s } => format!("quiet for {for_s:.0} s"),
        Outcome::Skip { why } => format!("says nothing: it {}{about}", why.words()),
        Outcome::Told { bad: true } => "told to be bad".to_owned(),
        Outcome::Told { bad: false } => "told to be good".to_owned(),
    }
}
