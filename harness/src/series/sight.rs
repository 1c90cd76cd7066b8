//! What a cell's record means to a comparison and to the search for a patch (pure).

use super::compare::{Case, Seen, Signature};
use super::culprit::Tried;
use crate::run::CellRecord;
use crate::verdict::{Class, Finding, Verdict};

/// What tells a finding from another one.
pub(super) fn signature(finding: &Finding) -> Signature {
    let class = finding.class.word();
    Signature(match (finding.class, &finding.function) {
        (Class::Mismatch(_), _) => "a page with wrong content".to_owned(),
        (_, Some(function)) => format!("{class} in {function}"),
        (Class::Splat(_), None) => format!("{class}: {}", finding.title),
        (_, None) => class.to_owned(),
    })
}

/// What a cell's verdict means to a comparison.
pub(super) fn seen(record: &CellRecord) -> Seen {
    match &record.full {
        Verdict::Pass => Seen::Clean,
        Verdict::Fail { .. } => Seen::Found(record.full.findings().map(signature).collect()),
        Verdict::Inconclusive { .. } | Verdict::Skip { .. } | Verdict::Infra { .. } => Seen::Unproved(
            format!("{} proved nothing: {}", record.kernel, record.full.reason()),
        ),
    }
}

/// What it means to the search for what a case suspects.
pub(super) fn tried_by(record: &CellRecord, case: &Case) -> Tried {
    let seen = seen(record);
    match &seen {
        Seen::Unproved(_) => Tried::Nothing,
        Seen::Found(_) if case.shows(&seen) => {
            Tried::Found(record.detect_s.unwrap_or(record.guest_s).max(0.1))
        }
        // Another finding ended it: until then it had not shown this one.
        Seen::Found(_) => Tried::Quiet(record.detect_s.unwrap_or(record.guest_s)),
        Seen::Clean => Tried::Quiet(record.guest_s),
    }
}

/// What it came to, in a word or two.
pub(super) fn word_of(record: &CellRecord, seen: &Seen) -> String {
    match seen {
        Seen::Found(found) => found
            .first()
            .map_or_else(|| record.verdict.clone(), |s| s.0.clone()),
        Seen::Clean | Seen::Unproved(_) => record.verdict.clone(),
    }
}
