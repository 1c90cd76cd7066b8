//! The end of a comparison that patched has lost: which patch brings it.

use super::{CaseText, Check, End, Works};
use crate::run::CellRecord;
use crate::series::compare::Case;
use crate::series::culprit::{Ask, Culprit, Named, Tried};
use crate::series::report::{FindingProblem, Problem, Shown};
use crate::series::sight::tried_by;
use crate::series::step::Step;
use crate::verdict::Finding;
use std::collections::BTreeMap;

/// Lines of evidence that are kept.
const EVIDENCE_MAX: usize = 60;

/// What the pair that raised a suspicion left.
pub(super) struct Evidence {
    /// The run of the patched kernel.
    pub(super) record: CellRecord,
    /// What it showed.
    pub(super) finding: Finding,
    /// The case that it is tried with.
    pub(super) again: CaseText,
    /// The search, with the pairs that were tried.
    pub(super) culprit: Culprit,
}

impl<W: Works> Check<'_, W> {
    /// Searches the patch that brings a finding.
    pub(super) async fn blame(&mut self, case: &Case, evidence: Evidence) -> Result<(), End<W::Error>> {
        let Evidence {
            record,
            finding,
            again,
            mut culprit,
        } = evidence;
        let ((on_base, on_whole), pairs) = (case.findings(), case.counted());
        let whole = self.report.patches.len();
        let mut shown: BTreeMap<usize, (u32, u32)> =
            BTreeMap::from([(0, (pairs, on_base)), (whole, (pairs, on_whole))]);
        for (index, patch) in self.report.patches.iter().enumerate() {
            if patch.builds == Some(false) {
                culprit.take(index + 1, Tried::Unbuilt);
            }
        }
        let mut runs = 0;
        let named: Named = loop {
            match culprit.next(runs) {
                Ask::Named(named) => break named,
                Ask::Run { prefix, nth } => {
                    runs += 1;
                    let record = self.run(prefix, &again.name, nth + 1).await?;
                    let tried = tried_by(&record, case);
                    culprit.take(prefix, tried);
                    let (had, found) = shown.entry(prefix).or_default();
                    match tried {
                        Tried::Found(_) => (*had, *found) = (*had + 1, *found + 1),
                        Tried::Quiet(_) => *had += 1,
                        Tried::Nothing | Tried::Unbuilt => {}
                    }
                    self.works.tell(Step::Searched {
                        case: again.name.clone(),
                        patches: prefix,
                        found: matches!(tried, Tried::Found(_)),
                    })?;
                }
            }
        };
        let shown = shown
            .into_iter()
            .map(|(patches, (runs, found))| Shown { patches, runs, found });
        self.report
            .problems
            .push(Problem::Finding(Box::new(FindingProblem {
                case: again.name.trim_end_matches("-again").to_owned(),
                class: finding.class.word().to_owned(),
                title: finding.title.clone(),
                patches: named.patches,
                confidence: named.confidence,
                shown: shown.collect(),
                detect_s: record.detect_s,
                evidence: finding
                    .detail
                    .lines()
                    .take(EVIDENCE_MAX)
                    .map(str::to_owned)
                    .collect(),
                repeat: record.repeat.clone(),
            })));
        Ok(())
    }
}
