//! The table at the end of a run.

use super::{markdown, verdict_words};
use crate::run::{CellRecord, Summary};

const HEAD: [&str; 9] = [
    "cell",
    "verdict",
    "finding",
    "found after",
    "pages verified",
    "round trips",
    "pages/s",
    "boot",
    "build",
];
/// Columns that hold figures stand to the right.
const FIGURES: std::ops::Range<usize> = 3..9;
const FINDING_CHARS_MAX: usize = 60;

/// The summary as a table for people, in Markdown's form, each line without a newline at its end.
#[must_use]
pub fn table(summary: &Summary) -> Vec<String> {
    let mut rows: Vec<[String; 9]> = summary.cells.iter().map(row).collect();
    for id in &summary.not_run {
        let mut not_run: [String; 9] = std::array::from_fn(|_| "-".to_owned());
        not_run[0].clone_from(id);
        not_run[1] = "not run".to_owned();
        rows.push(not_run);
    }
    if rows.is_empty() {
        return Vec::new();
    }
    markdown::table(HEAD, &FIGURES, &rows)
}

fn row(cell: &CellRecord) -> [String; 9] {
    let dash = || "-".to_owned();
    let per_s = if cell.guest_s > 0.0 {
        format!("{:.0}", cell.pages_verified as f64 / cell.guest_s)
    } else {
        dash()
    };
    [
        cell.id.clone(),
        verdict_words(cell),
        finding_words(cell),
        cell.detect_s.map_or_else(dash, |s| format!("{s:.1} s")),
        grouped(cell.pages_verified),
        grouped(cell.round_trips),
        per_s,
        cell.boot_s.map_or_else(dash, |s| format!("{s:.1} s")),
        match cell.build_s {
            Some(s) => format!("{s:.0} s"),
            None if cell.attempts == 0 => dash(),
            None => "cached".to_owned(),
        },
    ]
}

fn finding_words(cell: &CellRecord) -> String {
    let text = match cell.findings.first() {
        Some(first) => format!("{}: {}", first.class, first.title),
        None if cell.reason.is_empty() => "-".to_owned(),
        None => cell.reason.clone(),
    };
    markdown::cell(&text, FINDING_CHARS_MAX)
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
    }
}
