//! Builds and boots over time, packed into as few lanes as ran side by side.

use super::{Look, duration};
use crate::run::CellRecord;
use crate::store::{Cell, Record};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Timeline {
    lanes: Vec<Lane>,
    axis: Vec<(String, String)>,
    took: String,
}

#[derive(Debug, Serialize)]
struct Lane {
    name: String,
    bars: Vec<Bar>,
}

#[derive(Debug, Serialize)]
struct Bar {
    left: String,
    width: String,
    /// Share of the bar that was spent until the guest said hello, in per cent.
    boot: Option<String>,
    /// Where the first finding stands in the bar, in per cent.
    found: Option<String>,
    class: &'static str,
    title: String,
    #[serde(skip)]
    to_ms: u64,
}

/// The timeline; none where the events carry no times (records of old versions do not).
pub(super) fn timeline(record: &Record) -> Option<Timeline> {
    let (from, to) = (record.from_ms?, record.to_ms?);
    let scale = Scale {
        from,
        whole: to.saturating_sub(from).max(1) as f64,
    };
    let builds = record.builds.iter().filter_map(|build| {
        let class = if build.made.is_some() { "build" } else { "fail" };
        scale.bar(
            build.from_ms?,
            build.to_ms?,
            class,
            format!("kernel {}", build.kernel),
        )
    });
    let mut lanes = vec![Lane {
        name: "builds".to_owned(),
        bars: builds.collect(),
    }];
    let mut cells: Vec<(u64, Bar)> = record
        .results()
        .filter_map(|(cell, result)| scale.cell(cell, result))
        .collect();
    cells.sort_by_key(|(from, _)| *from);
    for (from, bar) in cells {
        let is_free = |lane: &&mut Lane| lane.bars.last().is_none_or(|last| last.to_ms <= from);
        match lanes[1..].iter_mut().find(is_free) {
            Some(lane) => lane.bars.push(bar),
            None => {
                let name = format!("VM {}", lanes.len());
                lanes.push(Lane {
                    name,
                    bars: vec![bar],
                });
            }
        }
    }
    Some(Timeline {
        lanes,
        axis: scale.marks(),
        took: duration(scale.whole / 1e3),
    })
}

struct Scale {
    from: u64,
    whole: f64,
}

impl Scale {
    fn percent(&self, ms: u64) -> f64 {
        100.0 * ms as f64 / self.whole
    }

    fn bar(&self, from: u64, to: u64, class: &'static str, title: String) -> Option<Bar> {
        let took = to.checked_sub(from)?;
        Some(Bar {
            left: format!("{:.2}", self.percent(from.checked_sub(self.from)?)),
            width: format!("{:.2}", self.percent(took)),
            boot: None,
            found: None,
            class,
            title: format!("{title}: {}", duration(took as f64 / 1e3)),
            to_ms: to,
        })
    }

    fn cell(&self, cell: &Cell, result: &CellRecord) -> Option<(u64, Bar)> {
        let (from, to) = (cell.from_ms?, cell.to_ms?);
        let look = Look::of(result);
        let mut bar = self.bar(from, to, look.class, format!("{}: {}", result.id, look.words))?;
        let share = |at: u64| {
            Some(format!(
                "{:.1}",
                100.0 * at.checked_sub(from)? as f64 / (to - from).max(1) as f64
            ))
        };
        bar.boot = cell.booted_ms.and_then(share);
        bar.found = cell.found_ms.and_then(share);
        Some((from, bar))
    }

    /// Up to six round times.
    fn marks(&self) -> Vec<(String, String)> {
        let whole_s = self.whole / 1e3;
        let steps = [
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0,
            86400.0,
        ];
        let step = steps.into_iter().find(|s| whole_s / s <= 5.0).unwrap_or(whole_s);
        let mark = |i: u32| {
            let s = f64::from(i) * step;
            (s <= whole_s).then(|| (format!("{:.2}", 100.0 * s / whole_s), short(s)))
        };
        (0..7).map_while(mark).collect()
    }
}

fn short(s: f64) -> String {
    match s as u64 {
        0 => "0".to_owned(),
        s @ 1..60 => format!("{s} s"),
        s @ 60..3600 if s % 60 == 0 => format!("{} min", s / 60),
        s @ 60..3600 => format!("{}:{:02} min", s / 60, s % 60),
        s => format!("{}:{:02} h", s / 3600, s % 3600 / 60),
    }
}
