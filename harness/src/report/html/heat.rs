//! The matrix as a heat map: a column a kernel, a row a machine, case and racepoint.

use super::Look;
use super::cells::Shown;
use crate::report::groups::{Group, groups};
use crate::store::Record;
use serde::Serialize;
use std::collections::BTreeMap;

/// Repeats that get a mark of their own.
const REPEATS_SHOWN_MAX: usize = 12;

#[derive(Debug, Serialize)]
pub(super) struct Heat {
    kernels: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    machine: String,
    case: String,
    squares: Vec<Option<Square>>,
}

#[derive(Debug, Serialize)]
struct Square {
    look: Look,
    /// Where it leads: the number of a cell on the page.
    to: usize,
    name: String,
    /// What is said below the word.
    small: String,
    /// How strong its colour is, in per cent: the sooner found, the stronger.
    strength: u32,
    repeats: Vec<Look>,
}

pub(super) fn heat(record: &Record, shown: &[Shown]) -> Heat {
    let number: BTreeMap<&str, usize> = shown.iter().map(|cell| (cell.id(), cell.number())).collect();
    let mut kernels: Vec<String> = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut place: BTreeMap<String, usize> = BTreeMap::new();
    for group in groups(record.results().map(|(_, cell)| cell)) {
        let kernel = &group.cells[0].kernel;
        let column = kernels.iter().position(|k| k == kernel).unwrap_or_else(|| {
            kernels.push(kernel.clone());
            kernels.len() - 1
        });
        let rest = group.cells[0].case();
        let at = *place.entry(rest.to_owned()).or_insert_with(|| {
            let (machine, case) = rest.split_once('.').unwrap_or(("", rest));
            rows.push(Row {
                machine: machine.to_owned(),
                case: case.replace('.', " · "),
                squares: Vec::new(),
            });
            rows.len() - 1
        });
        let squares = &mut rows[at].squares;
        squares.resize_with(squares.len().max(column + 1), || None);
        squares[column] = Some(square(&group, &number));
    }
    for row in &mut rows {
        row.squares.resize_with(kernels.len(), || None);
    }
    Heat { kernels, rows }
}

fn square(group: &Group<'_>, number: &BTreeMap<&str, usize>) -> Square {
    let looks: Vec<Look> = group.cells.iter().map(|cell| Look::of(cell)).collect();
    let worst = (0..looks.len()).rev().max_by_key(|i| looks[*i].rank).unwrap_or(0);
    let look = looks[worst];
    let (failed, all) = (group.failed().count(), looks.len());
    let small = match (group.median(), all) {
        (Some(s), 1) => format!("after {s:.1} s"),
        (Some(s), _) => format!("found in {failed} of {all}, median {s:.1} s"),
        (None, 1) => String::new(),
        (None, _) => format!("{} of {all}", looks.iter().filter(|l| **l == look).count()),
    };
    // From 0.1 s, full strength, to 1000 s.
    let strength = group
        .median()
        .map_or(60, |s| 100 - (15.0 * (s.clamp(0.1, 1000.0).log10() + 1.0)) as u32);
    Square {
        look,
        to: number.get(group.cells[worst].id.as_str()).copied().unwrap_or(0),
        name: group.name.to_owned(),
        small,
        strength,
        repeats: if (2..=REPEATS_SHOWN_MAX).contains(&looks.len()) {
            looks
        } else {
            Vec::new()
        },
    }
}
