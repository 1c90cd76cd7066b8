//! What several formats say of a run and its cells in the same words.

use crate::run::CellRecord;
use crate::store::Record;
use crate::verdict::Verdict;

/// `PASS`, `FAIL` …, and whether that was expected, as tables show it.
pub(super) fn verdict_words(cell: &CellRecord) -> String {
    let word = cell.verdict.to_uppercase();
    match (cell.as_expected, cell.verdict.as_str()) {
        (true, "pass") => word,
        (true, _) => format!("{word} (as expected)"),
        (false, _) => format!("{word} (not expected)"),
    }
}

/// One line for a cell that is done: also what a log shows.
pub(super) fn cell_line(cell: &CellRecord) -> String {
    let mut line = format!("{}: {}", cell.id, verdict_words(cell));
    if !cell.reason.is_empty() {
        line.push_str(&format!(": {}", cell.reason));
    }
    if let Some(detect_s) = cell.detect_s {
        line.push_str(&format!(", after {detect_s:.1} s"));
    }
    line
}

/// The last word on a run.
pub(super) fn closing(record: &Record) -> &'static str {
    match record.exit {
        Some(exit) => closing_words(exit, record.not_run.len()),
        None => "the run has no end: it was killed, or it still goes on",
    }
}

/// Why cells have no verdict.
pub(super) fn not_run(record: &Record) -> String {
    let why = record.not_run_why.as_deref().unwrap_or("the run was stopped");
    format!("not run: {}", tame(why))
}

/// What an exit code means.
pub(super) fn closing_words(exit: u8, not_run: usize) -> &'static str {
    match (exit, not_run) {
        (0, 0) => "everything came out as expected",
        (0, _) => "what was run came out as expected, but not everything was run",
        (3, 1..) => "stopped before everything was run; what was done is kept",
        (1, _) => "a kernel failed, or an expected defect was not found",
        (3, _) => "the harness or the host broke: nothing is said about the kernels concerned",
        (4, _) => "nothing was proved: see the reasons above",
        _ => "the run did not end as it should",
    }
}

/// What is wrong with a cell, in one line; for one that came out as expected, what it came to.
pub(super) fn short(cell: &CellRecord) -> String {
    match (&cell.full, cell.as_expected) {
        (Verdict::Pass, true) => "passed".to_owned(),
        (Verdict::Pass, false) => format!("passed, though `{}` was expected", cell.expected),
        (Verdict::Fail { first, .. }, _) => format!("{}: {}", first.class.word(), first.title),
        (Verdict::Inconclusive { .. } | Verdict::Skip { .. } | Verdict::Infra { .. }, _) => {
            format!("{}: {}", cell.verdict, cell.reason)
        }
    }
}

/// `1 cell`, `2 cells`.
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// Text of the kernel or the guest with nothing in it that moves a terminal or breaks a line.
pub(super) fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The first `max` characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).map_or(text, |(at, _)| &text[..at])
}
