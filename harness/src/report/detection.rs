//! How surely and how soon: the table of repeats.
//!
//! Printed where a matrix repeats cells. A group's figures say what was seen, not what was expected: the
//! table of cells has that.

use super::groups::{Group, groups};
use super::markdown;
use crate::run::Summary;

const HEAD: [&str; 7] = [
    "cell",
    "found",
    "95 % interval",
    "median",
    "slowest",
    "clean",
    "first symptom",
];
const SYMPTOM_CHARS_MAX: usize = 72;

/// The table of groups, or nothing where no cell was repeated.
#[must_use]
pub fn detection(summary: &Summary) -> Vec<String> {
    let groups = groups(&summary.cells);
    if groups.iter().all(|group| group.cells.len() < 2) {
        return Vec::new();
    }
    let rows: Vec<_> = groups.iter().map(row).collect();
    markdown::table(HEAD, &(1..6), &rows)
}

fn row(group: &Group<'_>) -> [String; 7] {
    let seconds = |s: Option<f64>| s.map_or_else(|| "-".to_owned(), |s| format!("{s:.1} s"));
    let (low, high) = group.interval();
    let (trials, clean) = (group.trials(), group.clean());
    let unproved = group.cells.len() - trials;
    let clean = if unproved == 0 {
        clean.to_string()
    } else {
        format!("{clean} (+{unproved} unproved)")
    };
    [
        group.name.to_owned(),
        format!("{} of {trials}", group.failed().count()),
        format!("{:.0}–{:.0} %", 100.0 * low, 100.0 * high),
        seconds(group.median()),
        seconds(group.after.last().copied()),
        clean,
        symptom(group),
    ]
}

/// The finding that stood first most often, with how often where there were others.
fn symptom(group: &Group<'_>) -> String {
    let classes = group.symptoms();
    let Some((class, title, _)) = classes.first() else {
        return "-".to_owned();
    };
    let others: Vec<String> = classes[1..]
        .iter()
        .map(|(class, _, times)| format!("{class} {times}×"))
        .collect();
    let also = if others.is_empty() {
        String::new()
    } else {
        format!("; also {}", others.join(", "))
    };
    let room = SYMPTOM_CHARS_MAX.saturating_sub(also.chars().count()).max(20);
    markdown::cell(&format!("{class}: {title}"), room) + &also
}
