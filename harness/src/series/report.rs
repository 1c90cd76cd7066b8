//! What the check of a series comes to: the one value that the terminal, `--json` and the reply are made of.
//!
//! Not here: how it is found out (`ci`), and the words of a mail (`reply`).

use super::compare::Outcome;
use super::touched::Chosen;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The result of checking a series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where the series came from, as given.
    pub series: String,
    /// Its title.
    pub title: String,
    /// Its patches, in order.
    pub patches: Vec<PatchLine>,
    /// What it was put on.
    pub base: String,
    /// The commit that it says it is made on.
    pub base_commit: Option<String>,
    /// In one word.
    pub verdict: Word,
    /// What is the series' fault.
    pub problems: Vec<Problem>,
    /// What base shows by itself: nothing of it is the series' fault.
    pub on_base: Vec<String>,
    /// What keeps an answer from being one, each a sentence.
    pub open: Vec<String>,
    /// Why these workloads.
    pub workloads: Vec<Chosen>,
    /// What was compared.
    pub cases: Vec<CaseLine>,
    /// Touched files that no workload of this run exercises.
    pub not_exercised: Vec<String>,
    /// Touched files that this configuration does not compile.
    pub not_compiled: Vec<String>,
    /// Whatever else a reader must know, each a sentence.
    pub notes: Vec<String>,
    /// What was done in all.
    pub totals: Totals,
    /// How sure it is.
    pub rates: Rates,
    /// Whether patches were applied and built in the sandbox.
    pub sandbox: bool,
    /// The run's id.
    pub run: String,
    /// The command that checks it again, with `SERIES` in place of the series.
    pub again: String,
    /// The reply, in the run's folder.
    pub reply: Option<PathBuf>,
    /// The exit code.
    pub exit: u8,
}

/// The verdict on a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Nothing is wrong with it, as far as was looked.
    Pass,
    /// Something is.
    Fail,
    /// Nothing was proved.
    Inconclusive,
    /// The harness or the host broke.
    #[default]
    Infra,
}

/// One patch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PatchLine {
    /// Counted from 1.
    pub number: usize,
    /// Its subject without tags.
    pub title: String,
    /// Its file in the run's folder.
    pub file: String,
    /// The commit that it was made of.
    pub commit: Option<String>,
    /// Whether the tree builds with it and those before it; none where that was not tried.
    pub builds: Option<bool>,
    /// Seconds that took; none where it was in the cache.
    pub build_s: Option<f64>,
    /// Compiler warnings in touched files that the tree before it did not have: `mm/zswap.c:12: …`.
    pub warnings: Vec<String>,
    /// What base's checkpatch.pl says; advice only.
    pub advice: Vec<String>,
}

/// Something that is the series' fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Problem {
    /// A patch does not apply.
    Apply {
        /// Which, counted from 1.
        patch: usize,
        /// To which file.
        file: Option<PathBuf>,
        /// At which hunk: number and header.
        hunk: Option<(u32, String)>,
        /// Why.
        reason: String,
    },
    /// The tree does not build with a patch and those before it.
    Build {
        /// Which, counted from 1.
        patch: usize,
        /// The file of the first error.
        file: Option<PathBuf>,
        /// Its line.
        line: Option<u32>,
        /// The first error.
        message: String,
        /// The patch with which it builds again.
        mended_by: Option<usize>,
    },
    /// Patched shows what base does not.
    Finding(Box<FindingProblem>),
}

/// A finding that the series brings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingProblem {
    /// The case that shows it.
    pub case: String,
    /// Its class: `foreign`, `oops` …
    pub class: String,
    /// One line for people.
    pub title: String,
    /// The patches to blame, counted from 1: one, or the few that nothing tells apart; empty where none
    /// could be named.
    pub patches: Vec<usize>,
    /// The probability that the culprit is among them.
    pub confidence: f64,
    /// How often which part of the series showed it.
    pub shown: Vec<Shown>,
    /// Guest seconds to the first evidence, first seen.
    pub detect_s: Option<f64>,
    /// Lines of the evidence.
    pub evidence: Vec<String>,
    /// The command that runs such a cell again.
    pub repeat: String,
}

/// How often a part of the series showed a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// How many patches; 0 is base.
    pub patches: usize,
    /// Runs that proved something.
    pub runs: u32,
    /// Of them, with the finding.
    pub found: u32,
}

/// A case that was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseLine {
    /// Its name: `boot`, or the workload.
    pub case: String,
    /// What it came to.
    pub outcome: Outcome,
    /// Pairs that were looked at.
    pub looked: u32,
    /// Pairs that were tried for a suspicion.
    pub tried: u32,
    /// A bug that shows in this share of the runs would have shown.
    pub would_have_shown: Option<f64>,
    /// The suspicion, where there was one.
    pub suspect: Option<String>,
}

/// What was done in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Guests that were booted.
    pub cells: usize,
    /// Pages verified in full after they left and came back.
    pub round_trips: u64,
    /// Pages compared with the model.
    pub pages_verified: u64,
    /// Guest seconds of pressure.
    pub guest_s: f64,
}

/// How sure an answer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Greatest chance that a series that is no worse is blamed, over all its cases together.
    pub false_blame: f64,
    /// Greatest chance that one that is worse by `odds` is cleared, for each case.
    pub false_clear: f64,
    /// How many times base's odds of failing.
    pub odds: f64,
}

impl Report {
    /// The lines that end a run, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.told().iter().map(|line| tame(line)).collect()
    }

    fn told(&self) -> Vec<String> {
        let mut out = vec![String::new(), format!("series {} on {}", self.title, self.base)];
        for patch in &self.patches {
            let built = match (patch.builds, patch.build_s) {
                (None, _) => "not built".to_owned(),
                (Some(false), _) => "DOES NOT BUILD".to_owned(),
                (Some(true), None) => "builds (cached)".to_owned(),
                (Some(true), Some(s)) => format!("builds ({s:.0} s)"),
            };
            out.push(format!(
                "  {}/{} {}: {built}",
                patch.number,
                self.patches.len(),
                patch.title
            ));
            out.extend(patch.warnings.iter().map(|w| format!("      new warning: {w}")));
            out.extend(patch.advice.iter().map(|a| format!("      checkpatch: {a}")));
        }
        for case in &self.cases {
            out.push(format!("  {}", case.line(&self.rates)));
        }
        out.extend(self.problems.iter().map(|p| format!("FAIL: {}", p.line(self))));
        out.extend(
            self.on_base
                .iter()
                .map(|f| format!("on base as well, not this series' fault: {f}")),
        );
        out.extend(self.open.iter().map(|o| format!("open: {o}")));
        for (what, files) in [
            (
                "touched, but exercised by no workload of this run",
                &self.not_exercised,
            ),
            (
                "touched, but not compiled in this configuration",
                &self.not_compiled,
            ),
        ] {
            if !files.is_empty() {
                out.push(format!("{what}: {}", files.join(", ")));
            }
        }
        out.extend(self.notes.iter().map(|n| format!("note: {n}")));
        if let Some(reply) = &self.reply {
            out.push(format!("a reply is in {}", reply.display()));
        }
        out
    }
}

impl CaseLine {
    /// What a case came to, in one line.
    #[must_use]
    pub fn line(&self, rates: &Rates) -> String {
        let pairs = format!("{} looked at, {} tried", plural(self.looked, "pair"), self.tried);
        let suspect = self.suspect.as_deref().unwrap_or("something");
        let what = match self.outcome {
            Outcome::NothingNew => match self.would_have_shown {
                Some(share) => format!(
                    "nothing new (what shows in {:.0} % of the runs would have been missed with a chance of {:.0} %)",
                    share * 100.0,
                    rates.false_clear * 100.0
                ),
                None => "nothing that base does not show".to_owned(),
            },
            Outcome::Worse => format!("{suspect}: on patched, not on base"),
            Outcome::NotWorse => format!("{suspect}: as often on base"),
            Outcome::NotAgain => format!("{suspect}: seen once on patched, and never again"),
            Outcome::Undecided => format!("{suspect}: the pairs do not decide it"),
            Outcome::Unproved => "proved nothing".to_owned(),
        };
        format!("{}: {what}; {pairs}", self.case)
    }
}

impl Problem {
    /// One line for people.
    #[must_use]
    pub fn line(&self, report: &Report) -> String {
        let patch = |n: usize| {
            let title = report
                .patches
                .get(n.wrapping_sub(1))
                .map_or("", |p| p.title.as_str());
            format!("patch {n}/{} ({title})", report.patches.len())
        };
        match self {
            Self::Apply {
                patch: n,
                file,
                hunk,
                reason,
            } => {
                let file = file
                    .as_ref()
                    .map_or_else(String::new, |f| format!(" to {}", f.display()));
                let hunk = hunk
                    .as_ref()
                    .map_or_else(String::new, |(n, h)| format!(", hunk {n} ({h})"));
                format!("{} does not apply{file}{hunk}: {reason}", patch(*n))
            }
            Self::Build {
                patch: n,
                file,
                line,
                message,
                mended_by,
            } => {
                let at = place(file.as_ref(), *line);
                let again =
                    mended_by.map_or_else(String::new, |n| format!(" (it builds again with patch {n})"));
                format!("the tree does not build with {}: {at}{message}{again}", patch(*n))
            }
            Self::Finding(finding) => {
                let by = match finding.patches.as_slice() {
                    [] => "no single patch could be named".to_owned(),
                    [one] => format!("brought by {}", patch(*one)),
                    some => {
                        let some: Vec<String> = some.iter().map(|n| patch(*n)).collect();
                        format!("brought by one of {}", some.join(", "))
                    }
                };
                format!("{}: {}: {}; {by}", finding.case, finding.class, finding.title)
            }
        }
    }
}

pub(super) fn place(file: Option<&PathBuf>, line: Option<u32>) -> String {
    match (file, line) {
        (Some(file), Some(line)) => format!("{}:{line}: ", file.display()),
        (Some(file), None) => format!("{}: ", file.display()),
        (None, _) => String::new(),
    }
}

/// What a sender or a build wrote, with nothing in it that moves a terminal.
pub(super) fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

pub(super) fn plural(n: u32, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}
