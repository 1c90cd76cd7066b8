//! What applying series came to: the files that change, how exactly the patches fitted, or which did not.
//!
//! Not here: applying them (that is `apply`).

use super::cache::Scratch;
use super::manifest::Manifest;
use super::patch::FilePatch;
use super::series::SeriesKind;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How one patch fitted less than exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Of which series.
    pub series: String,
    /// Which patch.
    pub patch: String,
    /// In which file, where it is about one.
    pub file: Option<PathBuf>,
    /// What was not exact.
    #[serde(flatten)]
    pub what: Inexact,
}

/// What was not exact about applying a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum Inexact {
    /// A hunk went elsewhere than its header says, with all its context.
    Offset {
        /// Counted from 1.
        hunk: u32,
        /// Later in the file where positive.
        lines: i64,
    },
    /// A hunk was placed by less context than it has.
    Fuzz {
        /// Lines before and after that matched.
        context: String,
    },
    /// Merged with the version of the file that the patch was made on.
    ThreeWay,
    /// The patch itself was changed before.
    Converted {
        /// How.
        how: String,
    },
}

/// A patch that does not apply: a finding about its series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, miette::Diagnostic)]
#[error("series {series}: {patch} does not apply{at}: {reason}", at = self.at())]
#[diagnostic(help("rebase the series onto this source, or name the source that it was made for"))]
pub struct ApplyFailure {
    /// Which series.
    pub series: String,
    /// What it is for.
    pub kind: SeriesKind,
    /// Which of its patches.
    pub patch: String,
    /// The file that it does not fit, where one is to blame.
    pub file: Option<PathBuf>,
    /// The hunk: its number in that file and its header.
    pub hunk: Option<(u32, String)>,
    /// Why, a fragment.
    pub reason: String,
}

impl ApplyFailure {
    fn at(&self) -> String {
        let file = self
            .file
            .as_ref()
            .map(|f| format!(" to {}", f.display()))
            .unwrap_or_default();
        let hunk = self
            .hunk
            .as_ref()
            .map(|(n, h)| format!(", hunk {n} ({h})"))
            .unwrap_or_default();
        file + &hunk
    }
}

/// Which racepoint sites a kernel has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Racepoints {
    /// Sites that are in.
    pub applied: Vec<String>,
    /// Sites that did not fit, and why.
    pub dropped: Vec<(String, String)>,
}

/// One patch that is in, for blame.
#[derive(Debug, Clone)]
pub struct InPatch {
    /// Name of its series.
    pub series: String,
    /// What that is for.
    pub kind: SeriesKind,
    /// Name of the patch.
    pub patch: String,
    /// The racepoint site, where it is one.
    pub site: Option<String>,
    /// What it changes.
    pub files: Vec<FilePatch>,
}

/// What the series do to the tree.
#[derive(Debug)]
pub struct Delta {
    pub(super) scratch: Option<Scratch>,
    /// Files to write, relative to [`Delta::dir`] and to the tree alike.
    pub written: Vec<PathBuf>,
    /// Files to remove.
    pub removed: Vec<PathBuf>,
    /// Content of the written files.
    pub after: Manifest,
    /// What was not exact.
    pub notes: Vec<Note>,
    /// Racepoint sites.
    pub racepoints: Racepoints,
    /// The patches that are in, in order.
    pub patches: Vec<InPatch>,
}

impl Delta {
    /// The folder that holds the written files.
    #[must_use]
    pub fn dir(&self) -> Option<PathBuf> {
        self.scratch.as_ref().map(|s| s.path().join("work"))
    }
}
