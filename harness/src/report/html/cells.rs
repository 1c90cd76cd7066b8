//! One cell on the page: what was found, where, and how it went.

use super::console::{self, Piece};
use super::lines::{self, Map};
use super::{Look, draw, duration};
use crate::report::table;
use crate::report::words::{cut, short};
use crate::run::CellRecord;
use crate::store::{Cell, Record};
use guest_tests::catalogue::Counter;
use serde::Serialize;
use std::cmp::Reverse;

/// Room on the page for all consoles together, and for one.
const CONSOLES_LEN_MAX: usize = 1_200_000;
const CONSOLE_LEN: std::ops::Range<usize> = 1024..24_576;
/// Room for the details of all findings together, and for one, in characters.
const DETAILS_LEN_MAX: usize = 600_000;
const DETAIL_LEN: std::ops::Range<usize> = 400..12_288;
/// Points of all sparklines of one kind together, and of one.
const POINTS_MAX: usize = 12_000;
const POINTS: std::ops::Range<usize> = 12..60;
/// Counters of all cells together, and of one.
const SPARKS_MAX: usize = 6000;
const SPARKS: std::ops::Range<usize> = 4..32;
/// Longest title, and longest line for a cell that is not open, in characters.
const TITLE_CHARS_MAX: usize = 400;
const SUMMARY_CHARS_MAX: usize = 200;
/// Findings of a cell that are told with their details.
const FINDINGS_MAX: usize = 8;

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    number: usize,
    id: String,
    look: Look,
    as_expected: bool,
    summary: String,
    facts: Vec<(&'static str, String)>,
    repeat: String,
    why: Option<String>,
    findings: Vec<Finding>,
    more_findings: usize,
    accel: Option<String>,
    counters: Vec<Spark>,
    console: Vec<Piece>,
    evidence: Option<String>,
    open: bool,
}

#[derive(Debug, Serialize)]
struct Finding {
    class: &'static str,
    title: String,
    detail: String,
    at: Vec<String>,
    map: Option<Map>,
    #[serde(skip)]
    page: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Spark {
    words: &'static str,
    total: String,
    per_s: String,
    path: String,
}

impl Shown {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }
}

/// What one cell may weigh on the page.
struct Room {
    console: usize,
    detail: usize,
    points: usize,
    sparks: usize,
}

/// All cells, those that did not come out as expected first.
pub(super) fn cells(record: &Record) -> Vec<Shown> {
    let mut all: Vec<(&Cell, &CellRecord)> = record.results().collect();
    all.sort_by_key(|(_, result)| {
        Reverse(if result.as_expected {
            0
        } else {
            Look::of(result).rank
        })
    });
    let told = all.iter().filter(|(_, result)| tells(result)).count().max(1);
    let room = Room {
        console: (CONSOLES_LEN_MAX / told).clamp(CONSOLE_LEN.start, CONSOLE_LEN.end),
        detail: (DETAILS_LEN_MAX / told).clamp(DETAIL_LEN.start, DETAIL_LEN.end),
        points: (POINTS_MAX / all.len().max(1)).clamp(POINTS.start, POINTS.end),
        sparks: (SPARKS_MAX / all.len().max(1)).clamp(SPARKS.start, SPARKS.end),
    };
    let wrong = all.iter().filter(|(_, result)| !result.as_expected).count();
    all.iter()
        .enumerate()
        .map(|(i, (cell, result))| {
            let mut shown = shown(record, cell, result, &room);
            shown.number = i + 1;
            shown.open = !result.as_expected && wrong <= 2;
            shown
        })
        .collect()
}

/// Whether there is something to look at besides figures.
fn tells(cell: &CellRecord) -> bool {
    cell.verdict != "pass" && cell.verdict != "skip"
}

fn shown(record: &Record, cell: &Cell, result: &CellRecord, room: &Room) -> Shown {
    let attempt = format!("cells/{}/attempt-{}", result.id, result.attempts);
    let dir = record.dir.join(&attempt);
    let mut findings = told(cell, result, room.detail);
    let more_findings = findings.len().saturating_sub(FINDINGS_MAX);
    findings.truncate(FINDINGS_MAX);
    Shown {
        number: 0,
        id: result.id.clone(),
        look: Look::of(result),
        as_expected: result.as_expected,
        summary: if matches!(result.full, crate::verdict::Verdict::Pass) && result.as_expected {
            format!("{} round trips", table::grouped(result.round_trips))
        } else {
            cut(&short(result), SUMMARY_CHARS_MAX).to_owned()
        },
        facts: facts(result),
        repeat: result.repeat.clone(),
        why: (findings.is_empty() && !result.reason.is_empty())
            .then(|| cut(&result.reason, room.detail).to_owned()),
        findings,
        more_findings,
        accel: cell.accel.as_ref().map(|(accel, why)| format!("{accel}: {why}")),
        counters: sparks(cell, room),
        console: if tells(result) && result.attempts > 0 {
            console::excerpt(&dir, room.console)
        } else {
            Vec::new()
        },
        evidence: (result.attempts > 0).then(|| attempt.clone()),
        open: false,
    }
}

/// The findings, each once: a reader that looks again at a wrong page says the same again.
fn told(cell: &Cell, result: &CellRecord, detail_max: usize) -> Vec<Finding> {
    let mut told: Vec<Finding> = Vec::new();
    for finding in result.full.findings() {
        let class = finding.class.word();
        let at = finding
            .t_ns
            .map(|ns| format!("{:.3} s after boot", ns as f64 / 1e9));
        let is_again = |t: &&mut Finding| {
            t.class == class
                && (t.title == cut(&finding.title, TITLE_CHARS_MAX)
                    || (t.page.is_some() && t.page == finding.page))
        };
        if let Some(same) = told.iter_mut().find(is_again) {
            same.at.extend(at);
            continue;
        }
        // What came later is told in short.
        let room = if told.is_empty() {
            detail_max
        } else {
            detail_max / 8
        };
        let map = cell.mismatches.iter().find(|m| m.title() == finding.title);
        told.push(Finding {
            class,
            title: cut(&finding.title, TITLE_CHARS_MAX).to_owned(),
            detail: cut(finding.detail.trim_end(), room).to_owned(),
            at: at.into_iter().collect(),
            map: map.map(lines::map),
            page: finding.page,
        });
    }
    told
}

fn facts(result: &CellRecord) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("verdict", result.verdict.clone()),
        ("expected", result.expected.clone()),
        ("workload", result.workload.clone()),
    ];
    if let Some(s) = result.detect_s {
        facts.push(("found after", duration(s)));
    }
    if result.attempts > 0 {
        facts.push(("under pressure", duration(result.guest_s)));
        facts.push(("pages verified", table::grouped(result.pages_verified)));
        facts.push(("round trips", table::grouped(result.round_trips)));
    }
    if let Some(s) = result.boot_s {
        facts.push(("boot", duration(s)));
    }
    if result.attempts > 1 {
        facts.push(("attempts", result.attempts.to_string()));
    }
    facts
}

fn sparks(cell: &Cell, room: &Room) -> Vec<Spark> {
    let Some(last) = cell.samples.last() else {
        return Vec::new();
    };
    let whole_s = last.elapsed_ms as f64 / 1e3;
    let spark = |(counter, total): (&Counter, &u64)| {
        let path = draw::spark(&cell.samples, *counter, room.points);
        (!path.is_empty()).then(|| Spark {
            words: counter.words(),
            total: table::grouped(*total),
            per_s: table::grouped((*total as f64 / whole_s.max(0.001)) as u64),
            path,
        })
    };
    last.counters.iter().filter_map(spark).take(room.sparks).collect()
}
