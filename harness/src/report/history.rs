//! The history as a table.

use super::markdown;
use crate::store::history::Line;

const HEAD: [&str; 8] = [
    "case",
    "kernel",
    "pass rate",
    "flaky",
    "found after",
    "runs",
    "unproved",
    "last",
];
const CASE_CHARS_MAX: usize = 64;

/// The lines of a history as a table for people, each without a newline at its end.
#[must_use]
pub fn history_table(lines: &[Line]) -> Vec<String> {
    let percent =
        |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |s| format!("{:.0} %", 100.0 * s));
    let row = |line: &Line| {
        let key = line
            .key
            .as_deref()
            .map_or("not built", |key| key.get(..8).unwrap_or(key));
        [
            markdown::cell(&line.case, CASE_CHARS_MAX),
            format!("{} ({key})", line.kernel),
            percent(line.pass_rate()),
            percent(line.flakiness()),
            line.detect_s()
                .map_or_else(|| "-".to_owned(), |s| format!("{s:.1} s")),
            (line.passed + line.failed + line.unproved).to_string(),
            line.unproved.to_string(),
            jiff::Timestamp::from_millisecond(line.last_ms)
                .map_or_else(|_| "-".to_owned(), |at| at.strftime("%F %H:%M").to_string()),
        ]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    markdown::table(HEAD, &(2..7), &rows)
}
