//! One piece of evidence that the kernel misbehaved.

use crate::console;
use guest_tests::model;
use serde::{Deserialize, Serialize};

/// What kind of evidence a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", content = "kind", rename_all = "snake_case")]
pub enum Class {
    /// A page held what it must not hold.
    Mismatch(model::Class),
    /// The kernel's own report on the console.
    Splat(console::Kind),
    /// A worker or the whole guest made no progress.
    Hang,
    /// The guest ran out of memory outside of every limit that the workload had set.
    Oom,
    /// Something that had to be gone at teardown was still there.
    Leak,
    /// Counters that must agree at rest did not.
    Conservation,
    /// The taint mask grew.
    Taint,
    /// The guest died without a word.
    Lost,
    /// The kernel never reached the agent.
    Boot,
    /// A patch of the series does not apply.
    Apply,
    /// A line of the configuration was asked for and is not there.
    Config,
    /// The kernel does not build.
    Build,
}

impl Class {
    /// The word that YAML expectations, tables and JSON use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Mismatch(class) => class.word(),
            Self::Splat(kind) => kind.name(),
            Self::Hang => "hang",
            Self::Oom => "oom",
            Self::Leak => "leak",
            Self::Conservation => "conservation",
            Self::Taint => "taint",
            Self::Lost => "lost",
            Self::Boot => "boot",
            Self::Apply => "apply",
            Self::Config => "config",
            Self::Build => "build",
        }
    }

    /// Where several pieces of evidence carry the same time: what counts as the cause (smallest first).
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Apply | Self::Config | Self::Build => 0,
            Self::Mismatch(_) | Self::Splat(_) => 1,
            Self::Conservation | Self::Leak | Self::Oom | Self::Taint => 2,
            Self::Hang => 3,
            Self::Boot | Self::Lost => 4,
        }
    }
}

/// One piece of evidence that the kernel misbehaved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub class: Class,
    /// One line for people.
    pub title: String,
    /// The kernel function that is to blame, where the evidence names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The page of a mismatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Guest time since boot, in nanoseconds, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_ns: Option<u64>,
    /// More for people: lines of a report, context of a mismatch.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Finding {
    /// A finding that has only a class and a line for people.
    #[must_use]
    pub fn new(class: Class, title: impl Into<String>) -> Self {
        Self {
            class,
            title: title.into(),
            function: None,
            page: None,
            t_ns: None,
            detail: String::new(),
        }
    }
}
