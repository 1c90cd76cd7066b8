//! KTAP 1, as the kernel's own tests write it and `kunit.py parse` reads it.
//!
//! What was expected to fail and did is `ok … # XFAIL`; what proved nothing is a skip, never a plain `ok`.
//! The plan counts every cell: a record without an end reads as a crash.

use super::words::{self, short, tame};
use crate::run::CellRecord;
use crate::store::Record;
use crate::verdict::Verdict;

/// Most lines of a finding's detail.
const DETAIL_LINES_MAX: usize = 40;

pub(super) fn ktap(record: &Record) -> String {
    let total = match record.exit {
        Some(_) => record.results().count() + record.not_run.len(),
        None => record.planned.max(record.results().count() + 1),
    };
    let mut out = String::from("KTAP version 1\n");
    comment(
        &mut out,
        &format!("patchproof run {} of {}", record.run, record.spec.display()),
    );
    out.push_str(&format!("1..{total}\n"));
    let mut number = 0;
    for (_, cell) in record.results() {
        number += 1;
        details(&mut out, cell);
        let (ok, directive) = result(cell);
        let ok = if ok { "ok" } else { "not ok" };
        out.push_str(&format!("{ok} {number} {}{directive}\n", name(&cell.id)));
    }
    if record.exit.is_some() {
        for id in &record.not_run {
            number += 1;
            out.push_str(&format!(
                "ok {number} {} # SKIP {}\n",
                name(id),
                words::not_run(record)
            ));
        }
    }
    comment(&mut out, words::closing(record));
    out
}

fn result(cell: &CellRecord) -> (bool, String) {
    let directive = |word: &str| format!(" # {word} {}", tame(&short(cell)));
    match (&cell.full, cell.as_expected) {
        (Verdict::Pass, true) => (true, String::new()),
        (Verdict::Pass | Verdict::Fail { .. }, false) => (false, String::new()),
        (Verdict::Fail { .. }, true) => (true, directive("XFAIL")),
        (Verdict::Inconclusive { .. } | Verdict::Skip { .. }, _) => (true, directive("SKIP")),
        (Verdict::Infra { .. }, _) => (false, directive("ERROR")),
    }
}

fn details(out: &mut String, cell: &CellRecord) {
    if cell.as_expected && matches!(cell.full, Verdict::Pass) {
        return;
    }
    comment(out, &words::cell_line(cell));
    if cell.as_expected {
        return;
    }
    for finding in cell.full.findings() {
        for line in finding.detail.lines().take(DETAIL_LINES_MAX) {
            comment(out, line);
        }
    }
    comment(out, &format!("to repeat: {}", cell.repeat));
}

/// A line that no parser takes for a result.
fn comment(out: &mut String, text: &str) {
    out.push_str(&format!("# {}\n", tame(text)));
}

/// A test's name must hold no `#`: that begins a directive.
fn name(id: &str) -> String {
    id.chars()
        .map(|c| match c {
            '#' => '.',
            c if c.is_control() || c.is_whitespace() => '_',
            c => c,
        })
        .collect()
}
