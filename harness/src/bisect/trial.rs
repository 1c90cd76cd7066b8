//! One trial of one commit, and what came of it.

use serde::{Deserialize, Serialize};

/// Why a trial says nothing about the bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// The commit does not build: it never will.
    Build,
    /// It does not boot: it never will.
    Boot,
    /// Another bug came first.
    Other,
    /// The paths under test were not exercised, or the host was starved.
    Inconclusive,
    /// It lacks what the case needs: it always will.
    Lacks,
}

impl Skip {
    /// Whether another trial of the same commit would end the same way.
    #[must_use]
    pub fn lasting(self) -> bool {
        match self {
            Self::Build | Self::Boot | Self::Lacks => true,
            Self::Other | Self::Inconclusive => false,
        }
    }

    /// In words that follow "it".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Build => "does not build",
            Self::Boot => "does not boot",
            Self::Other => "shows another bug first",
            Self::Inconclusive => "proves nothing",
            Self::Lacks => "lacks what the case needs",
        }
    }
}

/// What came of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The bug was found.
    Found {
        /// Seconds of pressure until then.
        after_s: f64,
    },
    /// The bug did not show.
    Quiet {
        /// Seconds of pressure.
        for_s: f64,
    },
    /// Somebody's word from elsewhere, such as a log of git's: not a trial of ours.
    Told {
        /// Whether they called it bad.
        bad: bool,
    },
    /// Nothing was learned.
    Skip {
        /// Why.
        why: Skip,
    },
}

/// A finished trial, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The commit's id.
    pub commit: String,
    /// Which trial of this commit, counted from 0: seeds are made of it.
    pub nth: u32,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Seconds that building took; 0 where the kernel was there.
    pub build_s: f64,
    /// Seconds from the machine's start to the begin of the pressure.
    pub boot_s: f64,
    /// Seconds of pressure.
    pub run_s: f64,
    /// What was seen, for readers: the search does not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// What was seen in a trial, and where it lies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The verdict's word.
    pub verdict: String,
    /// The class of the first finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The function that it blames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Its title, or why it is no pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Folder with console and frames, below the search's own; none where nothing was booted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The kernel's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// When it ended, in milliseconds since 1970.
    #[serde(default)]
    pub at_ms: u64,
}

impl Trial {
    /// Seconds of machine time.
    #[must_use]
    pub fn took_s(&self) -> f64 {
        self.build_s + self.boot_s + self.run_s
    }
}
