//! JUnit XML: a suite a kernel, a test a cell, `classname` the cell's group (GitLab shows it as the suite).
//!
//! Names are cells' ids, which are unique: GitLab drops what repeats a name. What was expected to fail and
//! did is a success here; what proved nothing is skipped.

use super::words::{not_run, short};
use crate::run::CellRecord;
use crate::store::Record;
use crate::verdict::Verdict;
use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

pub(super) fn junit(record: &Record) -> Result<String, SerializeError> {
    let mut report = Report::new(format!("patchproof {}", record.run));
    if let (Some(from), Some(to)) = (record.from_ms, record.to_ms) {
        report.set_time(Duration::from_millis(to.saturating_sub(from)));
    }
    let mut suites: Vec<(&str, TestSuite)> = Vec::new();
    for (cell, result) in record.results() {
        let mut test = case(result);
        if let (Some(from), Some(to)) = (cell.from_ms, cell.to_ms) {
            test.set_time(Duration::from_millis(to.saturating_sub(from)));
        }
        suite(&mut suites, &result.kernel).add_test_case(test);
    }
    for id in &record.not_run {
        let mut status = TestCaseStatus::skipped();
        status.set_message(not_run(record));
        suite(&mut suites, "not run").add_test_case(TestCase::new(id.as_str(), status));
    }
    if record.exit.is_none() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message("the run has no end: it was killed, or it still goes on");
        suite(&mut suites, "patchproof").add_test_case(TestCase::new("the run came to its end", status));
    }
    report.add_test_suites(suites.into_iter().map(|(_, suite)| suite));
    report.to_string()
}

fn suite<'s, 'n>(suites: &'s mut Vec<(&'n str, TestSuite)>, name: &'n str) -> &'s mut TestSuite {
    let at = suites.iter().position(|(n, _)| *n == name).unwrap_or_else(|| {
        suites.push((name, TestSuite::new(name)));
        suites.len() - 1
    });
    &mut suites[at].1
}

fn case(cell: &CellRecord) -> TestCase {
    let status = match (&cell.full, cell.as_expected) {
        (Verdict::Pass | Verdict::Fail { .. }, true) => TestCaseStatus::success(),
        (Verdict::Pass | Verdict::Fail { .. }, false) => wrong(cell, NonSuccessKind::Failure),
        (Verdict::Infra { .. }, _) => wrong(cell, NonSuccessKind::Error),
        (Verdict::Inconclusive { .. } | Verdict::Skip { .. }, _) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(short(cell));
            status
        }
    };
    let mut test = TestCase::new(cell.id.as_str(), status);
    test.set_classname(cell.group.as_str());
    test.set_time(Duration::try_from_secs_f64(cell.guest_s).unwrap_or_default());
    test.add_property(Property::new("verdict", cell.verdict.as_str()));
    test.add_property(Property::new("expected", cell.expected.as_str()));
    test.add_property(Property::new("pages_verified", cell.pages_verified.to_string()));
    test.add_property(Property::new("round_trips", cell.round_trips.to_string()));
    if let Some(detect_s) = cell.detect_s {
        test.add_property(Property::new("detect_s", format!("{detect_s:.3}")));
    }
    test.set_system_out(format!("{}\nto repeat: {}\n", short(cell), cell.repeat));
    test
}

fn wrong(cell: &CellRecord, kind: NonSuccessKind) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    let class = cell
        .findings
        .first()
        .map_or(cell.verdict.as_str(), |f| f.class.as_str());
    status.set_message(short(cell)).set_type(class);
    let told: Vec<String> = cell
        .full
        .findings()
        .map(|f| format!("{}: {}\n{}", f.class.word(), f.title, f.detail))
        .collect();
    status.set_description(format!("{}\nto repeat: {}\n", told.join("\n"), cell.repeat));
    status
}
