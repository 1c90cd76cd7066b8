//! Evidence → verdict: a pure function ([`judge`]) over what one cell left behind.
//!
//! It fails closed: green needs proof (the guest said done, every counter reached its floor, console
//! and taint are clean, every frame is there), and anything unknown is never green. It looks at
//! evidence only: not at names, versions, expectations. Whether a verdict is the *expected* one is
//! asked afterwards, by whoever knows the expectation.

mod evidence;
mod exit;
mod finding;
mod judge;
#[cfg(test)]
mod tests;

pub use evidence::{Ending, Evidence, HostShare, Planned, Stream, Waited};
pub use exit::exit_code;
pub use finding::{Class, Finding};
pub use judge::judge;

use serde::{Deserialize, Serialize};

/// The outcome of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The kernel was exercised and kept its promises.
    Pass,
    /// The kernel broke a promise.
    Fail {
        /// The first cause.
        first: Finding,
        /// What came after it.
        later: Vec<Finding>,
    },
    /// Nothing was proved: the paths under test were not exercised enough, or the host starved the guest.
    Inconclusive {
        /// Every reason.
        why: Vec<String>,
    },
    /// The kernel lacks what the case needs.
    Skip {
        /// What is missing.
        why: String,
    },
    /// We or the host broke; nothing is said about the kernel.
    Infra {
        /// What broke.
        error: String,
    },
}

impl Verdict {
    /// The word that reports and programs use: `pass`, `fail`, `inconclusive`, `skip`, `infra`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail { .. } => "fail",
            Self::Inconclusive { .. } => "inconclusive",
            Self::Skip { .. } => "skip",
            Self::Infra { .. } => "infra",
        }
    }

    /// All findings, first cause first; empty unless failed.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        let (first, later) = match self {
            Self::Fail { first, later } => (Some(first), later.as_slice()),
            Self::Pass | Self::Inconclusive { .. } | Self::Skip { .. } | Self::Infra { .. } => {
                (None, &[][..])
            }
        };
        first.into_iter().chain(later)
    }

    /// The findings as reports show them, first cause first: a page that was seen wrong in the same way
    /// twice (under pressure and again at teardown) once. The record keeps all of them.
    pub fn told(&self) -> impl Iterator<Item = &Finding> {
        let mut seen = Vec::new();
        self.findings().filter(move |finding| {
            let key = finding.page.map(|page| (finding.class, page));
            let again = key.is_some_and(|key| seen.contains(&key));
            seen.extend(key);
            !again
        })
    }

    /// Why it is not a pass, in one line; empty for a pass.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Pass => String::new(),
            Self::Fail { first, .. } => first.title.clone(),
            Self::Inconclusive { why } => why.join("; "),
            Self::Skip { why } => why.clone(),
            Self::Infra { error } => error.clone(),
        }
    }

    /// A failure with one cause.
    #[must_use]
    pub fn fail(first: Finding) -> Self {
        Self::Fail {
            first,
            later: Vec::new(),
        }
    }
}
