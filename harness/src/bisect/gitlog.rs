//! The log that `git bisect replay` takes, and reading one back.
//!
//! git knows good, bad and skip; a commit is written as good or bad once it is that with the confidence
//! asked for. Each trial rides along in a comment, which git ignores, so that our own log read back
//! loses nothing. Of a log that git wrote, a `bad` counts as a finding and a `good` as somebody's word:
//! it makes a bad commit ten times less likely, not impossible.

use super::answer::Ending;
use super::problem::Problem;
use super::search::Search;
use super::step::Step;
use super::trial::{Outcome, Skip, Trial};
use std::fmt::Write as _;

/// What a comment with a trial starts with.
const TRIAL: &str = "# patchproof: ";

/// Writes the log, from which git concludes the same where one commit is named; `subject` gives a commit's first line.
#[must_use]
pub fn write(search: &Search, subject: impl Fn(usize) -> String) -> String {
    let history = search.history();
    let bad = search.bad();
    let sure = search.rule().confidence;
    let mut text = String::from("git bisect start\n# status: waiting for both good and bad commits\n");
    let mut marked = vec![false; history.len()];
    let mut mark = |commit: usize, term: &str| {
        if !std::mem::replace(&mut marked[commit], true) {
            let id = history.id(commit);
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "# {term}: [{id}] {}\ngit bisect {term} {id}",
                subject(commit)
            );
        }
    };
    let answer = match search.step(&[]) {
        Step::Done(answer) if answer.ending == Ending::Sure => Some(answer),
        Step::Done(_) | Step::Try(_) | Step::Wait | Step::Bad(_) => None,
    };
    let named = answer.map(|answer| answer.named).unwrap_or_default();
    let last = if let [one] = named.as_slice() {
        Some(*one)
    } else {
        None
    };
    mark(history.bad(), "bad");
    mark(0, "good");
    let tried = search
        .log()
        .iter()
        .filter_map(|trial| history.find(&trial.commit));
    for commit in tried.filter(|&commit| Some(commit) != last) {
        let tally = search.tally(commit);
        if tally.skip.is_some() {
            mark(commit, "skip");
        } else if bad[commit] >= sure {
            mark(commit, "bad");
        } else if bad[commit] <= 1.0 - sure {
            mark(commit, "good");
        }
    }
    // git keeps the last bad commit only, and concludes nothing from two on different branches. So the
    // culprit comes last, and its parents before it, tried or not: that is what is believed of them.
    if let Some(culprit) = last {
        for parent in history.parents(culprit) {
            mark(parent, "good");
        }
        mark(culprit, "bad");
    }
    for trial in search.log() {
        // What was seen is for readers of the report.
        let bare = Trial {
            seen: None,
            ..trial.clone()
        };
        let _ = writeln!(text, "{TRIAL}{}", super::state::line(&bare).trim_end());
    }
    let one = if last.is_some() {
        "first bad commit"
    } else {
        "possible first bad commit"
    };
    for &commit in &named {
        let _ = writeln!(text, "# {one}: [{}] {}", history.id(commit), subject(commit));
    }
    text
}

/// Reads trials out of a log: our own ones where it has them, else what git was told.
///
/// # Errors
/// [`Problem::Log`] names the line that is no line of such a log.
pub fn read(text: &str) -> Result<Vec<Trial>, Problem> {
    let mut own = Vec::new();
    let mut told = Vec::new();
    let (mut bad_terms, mut good_terms) = (vec!["bad", "new"], vec!["good", "old"]);
    for (at, line) in text.lines().enumerate() {
        let wrong = |what: String| Problem::Log { line: at + 1, what };
        if let Some(trial) = line.strip_prefix(TRIAL) {
            own.push(serde_json::from_str(trial).map_err(|e| wrong(e.to_string()))?);
            continue;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let rest = line
            .strip_prefix("git bisect ")
            .or_else(|| line.strip_prefix("git-bisect "))
            .ok_or_else(|| wrong(format!("`{line}` is no line of a bisect log")))?;
        let mut words = rest.split_whitespace().map(|word| word.trim_matches('\''));
        let term = words.next().unwrap_or_default();
        let why = if term == "start" {
            // `start [--term-new=WORD] [BAD [GOOD…]]`; a bare `--` ends it.
            let mut revisions = 0;
            for word in words.take_while(|word| *word != "--") {
                match word.split_once('=') {
                    Some(("--term-new" | "--term-bad", term)) => bad_terms.push(term),
                    Some(("--term-old" | "--term-good", term)) => good_terms.push(term),
                    _ if word.starts_with("--") => {}
                    _ => {
                        told.push(trial(word, Outcome::Told { bad: revisions == 0 }));
                        revisions += 1;
                    }
                }
            }
            continue;
        } else if term == "skip" {
            Outcome::Skip { why: Skip::Build }
        } else if bad_terms.contains(&term) {
            Outcome::Told { bad: true }
        } else if good_terms.contains(&term) {
            Outcome::Told { bad: false }
        } else {
            return Err(wrong(format!("`git bisect {term}` tells nothing about a commit")));
        };
        told.extend(words.map(|word| trial(word, why)));
    }
    Ok(if own.is_empty() { told } else { own })
}

fn trial(commit: &str, outcome: Outcome) -> Trial {
    Trial {
        commit: commit.to_owned(),
        nth: 0,
        outcome,
        build_s: 0.0,
        boot_s: 0.0,
        run_s: 0.0,
        seen: None,
    }
}
