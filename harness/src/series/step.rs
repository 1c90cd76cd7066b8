//! What the check of a series says on its way, beside what kernels and cells say of themselves.

use super::touched::Chosen;
use serde::{Deserialize, Serialize};

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The series was read.
    Read {
        /// Its title.
        title: String,
        /// Its patches' titles, in order.
        patches: Vec<String>,
        /// What was left out or mended, each a sentence.
        notes: Vec<String>,
    },
    /// Every patch applies.
    Applies {
        /// What was not exact about it, each a sentence.
        notes: Vec<String>,
    },
    /// A patch does not.
    DoesNotApply {
        /// Which, and where, in a sentence.
        what: String,
    },
    /// What will be run.
    Chosen {
        /// Workloads, and why each.
        workloads: Vec<Chosen>,
        /// Touched files that none of them exercises.
        not_exercised: Vec<String>,
    },
    /// What base's checkpatch.pl says of a patch: advice.
    Checkpatch {
        /// Counted from 1.
        patch: usize,
        /// Its lines.
        lines: Vec<String>,
    },
    /// Patched showed what base has not.
    Suspected {
        /// In which case.
        case: String,
        /// What.
        finding: String,
        /// Fewest fresh pairs after which the series can be blamed.
        least: u32,
    },
    /// Base and patched were run with the same seed.
    Pair {
        /// Which case.
        case: String,
        /// Whether it counts for a suspicion.
        tried: bool,
        /// Which pair, counted from 1.
        nth: u32,
        /// What base came to.
        base: String,
        /// What patched came to.
        patched: String,
    },
    /// A part of the series was run to find the patch to blame.
    Searched {
        /// Which case.
        case: String,
        /// With how many patches; 0 is base.
        patches: usize,
        /// Whether the finding showed.
        found: bool,
    },
}

impl Step {
    /// The lines that stay of it, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.told().iter().map(|line| super::report::tame(line)).collect()
    }

    fn told(&self) -> Vec<String> {
        match self {
            Self::Read {
                title,
                patches,
                notes,
            } => {
                let mut lines = vec![format!("series {title}: {} patches", patches.len())];
                lines.extend(notes.iter().map(|n| format!("  note: {n}")));
                lines
            }
            Self::Applies { notes } => {
                let mut lines = vec!["it applies".to_owned()];
                lines.extend(notes.iter().map(|n| format!("  note: {n}")));
                lines
            }
            Self::DoesNotApply { what } => vec![what.clone()],
            Self::Chosen {
                workloads,
                not_exercised,
            } => {
                let mut lines: Vec<String> = workloads
                    .iter()
                    .map(|c| format!("workload {}: {}", c.workload, c.because))
                    .collect();
                if workloads.is_empty() {
                    lines.push(
                        "no workload exercises what this series touches: boot only (--all runs all)"
                            .to_owned(),
                    );
                }
                if !not_exercised.is_empty() {
                    lines.push(format!("exercised by none of them: {}", not_exercised.join(", ")));
                }
                lines
            }
            Self::Checkpatch { patch, lines } => lines
                .iter()
                .map(|line| format!("checkpatch, patch {patch}: {line}"))
                .collect(),
            Self::Suspected { case, finding, least } => vec![format!(
                "{case}: {finding} on patched and not on base; at least {least} fresh pairs before anybody is blamed"
            )],
            Self::Pair {
                case,
                tried,
                nth,
                base,
                patched,
            } => {
                let what = if *tried { "tried" } else { "looked at" };
                vec![format!(
                    "{case}: pair {nth} {what}: base {base}, patched {patched}"
                )]
            }
            Self::Searched { case, patches, found } => {
                let what = if *found { "shows it" } else { "does not show it" };
                vec![format!("{case}: the series up to patch {patches} {what}")]
            }
        }
    }
}
