//! Repeats of a cell taken together: found how often, and how soon (pure).
//!
//! What is reported is what was seen, not what was expected.

use crate::run::CellRecord;
use crate::store::median;
use std::collections::BTreeMap;

/// The repeats of one cell.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) name: &'a str,
    pub(super) cells: Vec<&'a CellRecord>,
    /// Detection times in guest seconds, ascending.
    pub(super) after: Vec<f64>,
}

/// All groups, in the cells' order.
pub(super) fn groups<'a>(cells: impl IntoIterator<Item = &'a CellRecord>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut place: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in cells {
        let at = *place.entry(&cell.group).or_insert_with(|| {
            groups.push(Group {
                name: &cell.group,
                cells: Vec::new(),
                after: Vec::new(),
            });
            groups.len() - 1
        });
        groups[at].cells.push(cell);
    }
    for group in &mut groups {
        group.after = group.failed().filter_map(|c| c.detect_s).collect();
        group.after.sort_by(f64::total_cmp);
    }
    groups
}

impl<'a> Group<'a> {
    /// Those that failed.
    pub(super) fn failed(&self) -> impl Iterator<Item = &'a CellRecord> + '_ {
        self.cells.iter().copied().filter(|c| c.verdict == "fail")
    }

    /// How many passed.
    pub(super) fn clean(&self) -> usize {
        self.cells.iter().filter(|c| c.verdict == "pass").count()
    }

    /// How many proved something. What proved nothing is no trial.
    pub(super) fn trials(&self) -> usize {
        self.failed().count() + self.clean()
    }

    /// Wilson's score interval of the share that failed, at 95 %.
    pub(super) fn interval(&self) -> (f64, f64) {
        wilson(self.failed().count(), self.trials())
    }

    /// The median detection time, in guest seconds.
    pub(super) fn median(&self) -> Option<f64> {
        median(&self.after)
    }

    /// Classes and titles of what stood first, the most frequent class first, with how often.
    pub(super) fn symptoms(&self) -> Vec<(&'a str, &'a str, usize)> {
        let mut classes: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for first in self.failed().filter_map(|c| c.findings.first()) {
            classes.entry(&first.class).or_insert((0, &first.title)).0 += 1;
        }
        let mut classes: Vec<_> = classes.into_iter().map(|(c, (n, title))| (c, title, n)).collect();
        classes.sort_by_key(|(_, _, times)| std::cmp::Reverse(*times));
        classes
    }
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
}
