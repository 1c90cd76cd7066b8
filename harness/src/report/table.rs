//! The table at the end of a run.

use super::verdict_words;
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
    let head = HEAD.map(str::to_owned);
    let width: Vec<usize> = (0..HEAD.len())
        .map(|i| {
            rows.iter()
                .chain([&head])
                .map(|r| r[i].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String; 9]| {
        let shown: Vec<String> = cells
            .iter()
            .zip(&width)
            .enumerate()
            .map(|(i, (cell, &w))| {
                if FIGURES.contains(&i) {
                    format!("{cell:>w$}")
                } else {
                    format!("{cell:<w$}")
                }
            })
            .collect();
        format!("| {} |", shown.join(" | "))
    };
    let rule: Vec<String> = width
        .iter()
        .enumerate()
        .map(|(i, &w)| {
            if FIGURES.contains(&i) {
                format!("{}:", "-".repeat(w + 1))
            } else {
                "-".repeat(w + 2)
            }
        })
        .collect();
    let mut lines = vec![line(&head), format!("|{}|", rule.join("|"))];
    lines.extend(rows.iter().map(line));
    lines
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
    let text = text.replace('|', "/");
    if text.chars().count() <= FINDING_CHARS_MAX {
        return text;
    }
    let cut: String = text.chars().take(FINDING_CHARS_MAX - 1).collect();
    format!("{}…", cut.trim_end())
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
