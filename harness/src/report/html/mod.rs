//! One self-contained page of a run: nothing outside of it is loaded, and it works from a file.
//!
//! This module makes the view that `page.html` shows; the template escapes whatever it is given. The few
//! pictures are drawn here in SVG and consist of numbers only. What the page may weigh is bounded: the more
//! cells, the less of each console.

mod cells;
mod console;
mod draw;
mod heat;
mod lines;
mod timeline;

use super::groups;
use super::words::{closing, count, not_run};
use crate::store::{Build, Record};
use minijinja::{Environment, context};
use serde::Serialize;

/// Writes the page.
pub(super) fn html(record: &Record) -> Result<String, minijinja::Error> {
    let mut env = Environment::new();
    env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.add_template("page.html", include_str!("page.html"))?;
    let head = head(record);
    let cells = cells::cells(record);
    // Nothing that a kernel says can know the nonce of the page's one script: it is a hash of all that.
    let nonce = blake3::hash(format!("{head:?}{cells:?}").as_bytes()).to_hex();
    let page = env.get_template("page.html")?.render(context! {
        css => include_str!("page.css"),
        script => include_str!("page.js"),
        nonce => &nonce[..32],
        head => head,
        heat => heat::heat(record, &cells),
        timeline => timeline::timeline(record),
        detection => detection(record),
        cells => cells,
        not_run => &record.not_run,
        not_run_why => not_run(record),
        notes => &record.notes,
        defaults => &record.defaults,
        kernels => kernels(record),
    })?;
    // The engine escapes slashes too, which says nothing more and weighs much.
    let page = page.replace("&#x2f;", "/");
    Ok(page.chars().filter(|c| !hides(*c)).collect())
}

/// Whether a character is nothing to read, or turns around what is read after it.
pub(crate) fn hides(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[derive(Debug, Serialize)]
struct Head {
    title: String,
    good: bool,
    matrix: String,
    run: String,
    dir: String,
    started: Option<String>,
    took: Option<String>,
    tally: Vec<Tally>,
    proved: Vec<(String, &'static str)>,
    unread: usize,
}

/// How many cells came to one end.
#[derive(Debug, Serialize)]
struct Tally {
    look: Look,
    n: usize,
}

/// How a verdict looks: a class for its colour, a sign and words for everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Look {
    class: &'static str,
    sign: &'static str,
    words: &'static str,
    /// The worse, the higher.
    rank: u8,
}

impl Look {
    const NOT_RUN: Self = Self::new("skip", "·", "not run", 1);

    const fn new(class: &'static str, sign: &'static str, words: &'static str, rank: u8) -> Self {
        Self {
            class,
            sign,
            words,
            rank,
        }
    }

    fn of(cell: &crate::run::CellRecord) -> Self {
        use crate::verdict::Verdict::{Fail, Inconclusive, Infra, Pass, Skip};
        match (&cell.full, cell.as_expected) {
            (Pass, true) => Self::new("pass", "✓", "pass", 0),
            (Pass, false) => Self::new("missed", "✗", "pass, fail expected", 6),
            (Fail { .. }, true) => Self::new("found", "✓", "found, as expected", 2),
            (Fail { .. }, false) => Self::new("fail", "✗", "fail", 7),
            (Inconclusive { .. }, true) => Self::new("unsure", "?", "inconclusive, as expected", 3),
            (Inconclusive { .. }, false) => Self::new("unsure", "?", "inconclusive", 4),
            (Skip { .. }, _) => Self::new("skip", "–", "skipped", 1),
            (Infra { .. }, _) => Self::new("infra", "!", "harness or host broke", 5),
        }
    }
}

fn head(record: &Record) -> Head {
    let mut tally: Vec<Tally> = Vec::new();
    let ends = record.results().map(|(_, cell)| Look::of(cell));
    for look in ends.chain(record.not_run.iter().map(|_| Look::NOT_RUN)) {
        match tally.iter_mut().find(|t| t.look == look) {
            Some(t) => t.n += 1,
            None => tally.push(Tally { look, n: 1 }),
        }
    }
    tally.sort_by_key(|t| std::cmp::Reverse(t.look.rank));
    let sum = |of: fn(&crate::run::CellRecord) -> u64| record.results().map(|(_, c)| of(c)).sum::<u64>();
    let guest_s: f64 = record.results().map(|(_, c)| c.guest_s).sum();
    let grouped = super::table::grouped;
    Head {
        title: capital(closing(record)),
        good: record.exit == Some(0),
        matrix: record.spec.display().to_string(),
        run: record.run.clone(),
        dir: record.dir.display().to_string(),
        started: record.from_ms.and_then(date),
        took: record
            .from_ms
            .zip(record.to_ms)
            .map(|(from, to)| duration(to.saturating_sub(from) as f64 / 1e3)),
        tally,
        proved: vec![
            (grouped(sum(|c| c.pages_verified)), "pages verified"),
            (grouped(sum(|c| c.round_trips)), "round trips"),
            (duration(guest_s), "under pressure"),
        ],
        unread: record.unread,
    }
}

/// The sentence with a capital letter.
fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A group's detection times.
#[derive(Debug, Serialize)]
struct Detection {
    rows: Vec<DetectionRow>,
    /// Marks of the axis: place in per cent, and what it says.
    axis: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct DetectionRow {
    name: String,
    found: String,
    interval: String,
    median: String,
    dots: Vec<String>,
    symptom: String,
}

fn detection(record: &Record) -> Option<Detection> {
    let groups = groups::groups(record.results().map(|(_, cell)| cell));
    let groups: Vec<_> = groups.iter().filter(|g| !g.after.is_empty()).collect();
    let last = groups
        .iter()
        .filter_map(|g| g.after.last())
        .copied()
        .fold(0.0, f64::max);
    let scale = draw::LogScale::new(0.1, last)?;
    let rows = groups.iter().map(|group| {
        let (low, high) = group.interval();
        DetectionRow {
            name: group.name.to_owned(),
            found: format!("{} of {}", group.failed().count(), group.trials()),
            interval: format!("{:.0}–{:.0} %", 100.0 * low, 100.0 * high),
            median: group.median().map_or_else(String::new, |s| format!("{s:.1} s")),
            dots: group.after.iter().map(|s| scale.percent(*s)).collect(),
            symptom: group
                .symptoms()
                .first()
                .map_or("", |(class, ..)| class)
                .to_owned(),
        }
    });
    Some(Detection {
        rows: rows.collect(),
        axis: scale.marks(),
    })
}

#[derive(Debug, Serialize)]
struct Kernel {
    name: String,
    key: Option<String>,
    how: String,
    notes: Vec<String>,
    good: bool,
}

fn kernels(record: &Record) -> Vec<Kernel> {
    let kernel = |build: &Build| {
        let made = build.made.as_ref();
        let how = match (made.map(|m| m.build_s), &build.failure) {
            (Some(Some(s)), _) => format!("built in {}", duration(s)),
            (Some(None), _) => "from the cache".to_owned(),
            (None, Some(why)) => why.clone(),
            (None, None) => "not made: the run was stopped".to_owned(),
        };
        let notes = made.map_or(&[][..], |m| &m.notes);
        Kernel {
            name: build.kernel.clone(),
            key: made.map(|m| m.key.clone()),
            how: if notes.is_empty() {
                how
            } else {
                format!("{how}; {}", count(notes.len(), "note"))
            },
            notes: notes.to_vec(),
            good: made.is_some(),
        }
    };
    record.builds.iter().map(kernel).collect()
}

fn date(ms: u64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// `0.8 s`, `45 s`, `12 min 5 s`, `3 h 20 min`.
fn duration(s: f64) -> String {
    let whole = s.round() as u64;
    match whole {
        0..10 => format!("{s:.1} s"),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        7200.. => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}
