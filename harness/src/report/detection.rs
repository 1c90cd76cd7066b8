//! How surely and how soon: repeats of a cell taken together.
//!
//! Printed where a matrix repeats cells. A group's figures say what was seen, not what was expected: the
//! table of cells has that.

use super::markdown;
use crate::run::{CellRecord, Summary};
use std::collections::BTreeMap;

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
    let mut groups: Vec<(&str, Vec<&CellRecord>)> = Vec::new();
    for cell in &summary.cells {
        match groups.iter_mut().find(|(name, _)| *name == cell.group) {
            Some((_, cells)) => cells.push(cell),
            None => groups.push((&cell.group, vec![cell])),
        }
    }
    if groups.iter().all(|(_, cells)| cells.len() < 2) {
        return Vec::new();
    }
    let rows: Vec<_> = groups.iter().map(|(name, cells)| row(name, cells)).collect();
    markdown::table(HEAD, &(1..6), &rows)
}

fn row(name: &str, cells: &[&CellRecord]) -> [String; 7] {
    let failed: Vec<&&CellRecord> = cells.iter().filter(|c| c.verdict == "fail").collect();
    let clean = cells.iter().filter(|c| c.verdict == "pass").count();
    // What proved nothing is no trial.
    let trials = failed.len() + clean;
    let mut after: Vec<f64> = failed.iter().filter_map(|c| c.detect_s).collect();
    after.sort_by(f64::total_cmp);
    let seconds = |s: Option<f64>| s.map_or_else(|| "-".to_owned(), |s| format!("{s:.1} s"));
    let (low, high) = wilson(failed.len(), trials);
    let unproved = cells.len() - trials;
    let clean = if unproved == 0 {
        clean.to_string()
    } else {
        format!("{clean} (+{unproved} unproved)")
    };
    [
        name.to_owned(),
        format!("{} of {trials}", failed.len()),
        format!("{:.0}–{:.0} %", 100.0 * low, 100.0 * high),
        seconds(median(&after)),
        seconds(after.last().copied()),
        clean,
        symptom(&failed),
    ]
}

/// The finding that stood first most often, with how often where there were others.
fn symptom(failed: &[&&CellRecord]) -> String {
    let mut classes: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for first in failed.iter().filter_map(|c| c.findings.first()) {
        classes.entry(&first.class).or_insert((0, &first.title)).0 += 1;
    }
    let mut classes: Vec<_> = classes.into_iter().collect();
    classes.sort_by_key(|(_, (times, _))| std::cmp::Reverse(*times));
    let Some((class, (_, title))) = classes.first() else {
        return "-".to_owned();
    };
    let others: Vec<String> = classes[1..]
        .iter()
        .map(|(class, (times, _))| format!("{class} {times}×"))
        .collect();
    let also = if others.is_empty() {
        String::new()
    } else {
        format!("; also {}", others.join(", "))
    };
    let room = SYMPTOM_CHARS_MAX.saturating_sub(also.chars().count()).max(20);
    markdown::cell(&format!("{class}: {title}"), room) + &also
}

fn median(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (
        sorted.get(sorted.len().checked_sub(1)? / 2)?,
        sorted.get(sorted.len() / 2)?,
    );
    Some(f64::midpoint(*low, *high))
}

/// Wilson's score interval of `found` in `trials`, at 95 %.
fn wilson(found: usize, trials: usize) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (trials as f64, 1.959_964);
    let p = found as f64 / n;
    let shrink = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / shrink;
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / shrink;
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Computed by hand from the formula.
        for (found, trials, low, high) in [(10, 10, 72.2, 100.0), (0, 10, 0.0, 27.8), (19, 20, 76.4, 99.1)] {
            let (l, h) = wilson(found, trials);
            assert!((100.0 * l - low).abs() < 0.1, "{found}/{trials}: {l}");
            assert!((100.0 * h - high).abs() < 0.1, "{found}/{trials}: {h}");
        }
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0]), Some(1.0));
        assert_eq!(median(&[1.0, 2.0, 4.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 8.0]), Some(3.0));
    }
}
