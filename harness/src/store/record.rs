//! A run put together from its recorded events: what every report but the live ones is made of.
//!
//! A run that was killed has a record too: without an end, and perhaps with half a line as its last.
//! Not here: how any of it is shown.

use super::{RunHeader, read_json};
use crate::run::{CellRecord, Event, KernelRecord, Summary, Versioned};
use guest_tests::catalogue::Counter;
use guest_tests::model::Mismatch;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Most samples of a cell's counters that are kept; of more, every other one is dropped.
const SAMPLES_MAX: usize = 256;
/// Most mismatches of a cell that are kept.
const MISMATCHES_MAX: usize = 4;

/// A run, as its events tell it.
#[derive(Debug, Default)]
pub struct Record {
    /// The run's id.
    pub run: String,
    /// Its folder, where it was found.
    pub dir: PathBuf,
    /// The matrix file, as it was named.
    pub spec: PathBuf,
    /// Cells that were to run.
    pub planned: usize,
    /// When it began, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// When its last event came.
    pub to_ms: Option<u64>,
    /// Its kernels, in order.
    pub builds: Vec<Build>,
    /// Cells with a verdict: in the plan's order where the run came to its end, else as they ended.
    pub cells: Vec<Cell>,
    /// Cells that are known to have no verdict.
    pub not_run: Vec<String>,
    /// Why they have none, in words, where the run was ended in good order.
    pub not_run_why: Option<String>,
    /// What a reader must know of how it was run.
    pub notes: Vec<String>,
    /// Hash of all workloads' parameters and defaults; empty in records of before.
    pub defaults: String,
    /// The exit code; `None` where the run has no end.
    pub exit: Option<u8>,
    /// Lines of the record that could not be read.
    pub unread: usize,
    under_way: BTreeMap<String, Cell>,
}

/// A kernel and how it was come by.
#[derive(Debug)]
pub struct Build {
    /// Name in the matrix.
    pub kernel: String,
    /// What was made; `None` where it could not be, or the run was stopped.
    pub made: Option<KernelRecord>,
    /// Why it could not be made.
    pub failure: Option<String>,
    /// When it was begun.
    pub from_ms: Option<u64>,
    /// When it was ready or had failed.
    pub to_ms: Option<u64>,
}

/// A cell and what happened on the way to its verdict.
#[derive(Debug, Default)]
pub struct Cell {
    /// Its result; `None` where it has none.
    pub result: Option<Box<CellRecord>>,
    /// When its machine was started (the last time, of several).
    pub from_ms: Option<u64>,
    /// When the guest said hello.
    pub booted_ms: Option<u64>,
    /// When the guest told its first finding.
    pub found_ms: Option<u64>,
    /// When it had its verdict.
    pub to_ms: Option<u64>,
    /// Accelerator, and why that one.
    pub accel: Option<(String, String)>,
    /// Counters over time.
    pub samples: Vec<Sample>,
    /// Pages that held what they must not hold, the first ones.
    pub mismatches: Vec<Mismatch>,
    sample_every: usize,
    samples_seen: usize,
}

/// Counters at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Since the case started, in guest milliseconds.
    pub elapsed_ms: u64,
    /// Totals since then.
    pub counters: BTreeMap<Counter, u64>,
}

impl Record {
    /// Reads the record of a run folder.
    ///
    /// # Errors
    /// Those of reading `events.jsonl`.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut record = Self {
            dir: dir.to_owned(),
            ..Self::default()
        };
        let mut lines = BufReader::new(File::open(dir.join("events.jsonl"))?);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            match read_event(&line) {
                Some((at_ms, event)) => record.take(event, at_ms),
                None => record.unread += 1,
            }
            line.clear();
        }
        let begun = std::mem::take(&mut record.under_way);
        if record.exit.is_none() {
            let header = read_json::<RunHeader>(&dir.join("run.json"));
            let planned = header.map(|header| header.cells).unwrap_or_default();
            let all: BTreeSet<String> = begun.into_keys().chain(planned).collect();
            let done: BTreeSet<&str> = record.results().map(|(_, r)| r.id.as_str()).collect();
            record.not_run = all.into_iter().filter(|id| !done.contains(id.as_str())).collect();
        }
        Ok(record)
    }

    /// Every cell with a verdict, and that.
    pub fn results(&self) -> impl Iterator<Item = (&Cell, &CellRecord)> {
        self.cells
            .iter()
            .filter_map(|cell| Some((cell, cell.result.as_deref()?)))
    }

    /// The run's summary, as far as it goes; a run without an end has the exit code of a broken harness.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            run: self.run.clone(),
            cells: self.results().map(|(_, result)| result.clone()).collect(),
            kernels: self.builds.iter().filter_map(|b| b.made.clone()).collect(),
            not_run: self.not_run.clone(),
            not_run_why: self.not_run_why.clone(),
            exit: self.exit.unwrap_or(3),
        }
    }

    fn take(&mut self, event: Event, at_ms: Option<u64>) {
        self.from_ms = self.from_ms.or(at_ms);
        self.to_ms = at_ms.or(self.to_ms);
        match event {
            Event::RunStarted {
                run,
                spec,
                cells,
                notes,
                defaults,
                ..
            } => {
                (self.run, self.spec, self.planned) = (run, spec, cells);
                (self.notes, self.defaults) = (notes, defaults);
                // A run that was stopped may be finished by a later go.
                (self.exit, self.not_run) = (None, Vec::new());
            }
            Event::KernelStarted { kernel } => self.builds.push(Build {
                kernel,
                made: None,
                failure: None,
                from_ms: at_ms,
                to_ms: None,
            }),
            Event::KernelReady(made) => {
                if let Some(build) = self.build(&made.kernel) {
                    (build.to_ms, build.made) = (at_ms, Some(made));
                }
            }
            Event::KernelFailed { kernel, verdict } => {
                if let Some(build) = self.build(&kernel) {
                    (build.to_ms, build.failure) = (at_ms, Some(verdict.reason()));
                }
            }
            Event::CellDone(result) => self.done(result, at_ms),
            Event::Summary(summary) => self.end(summary),
            Event::CellStarted { cell } => {
                let begun = Cell {
                    from_ms: at_ms,
                    ..Cell::default()
                };
                self.under_way.insert(cell, begun);
            }
            Event::CellBooted {
                cell,
                accel,
                accel_why,
                ..
            } => {
                let cell = self.under_way.entry(cell).or_default();
                (cell.booted_ms, cell.accel) = (at_ms, Some((accel, accel_why)));
            }
            Event::CellProgress {
                cell,
                elapsed_ms,
                counters,
                ..
            } => self
                .under_way
                .entry(cell)
                .or_default()
                .sample(elapsed_ms, counters),
            Event::CellFinding { cell, mismatch, .. } => {
                let cell = self.under_way.entry(cell).or_default();
                cell.found_ms = cell.found_ms.or(at_ms);
                if cell.mismatches.len() < MISMATCHES_MAX {
                    cell.mismatches.extend(mismatch.map(|m| *m));
                }
            }
            Event::KernelStep { .. }
            | Event::CellFrozen { .. }
            | Event::SeriesStep(_)
            | Event::Series(_)
            | Event::Interrupted
            | Event::Stopping { .. } => {}
        }
    }

    fn done(&mut self, result: Box<CellRecord>, at_ms: Option<u64>) {
        let mut cell = self.under_way.remove(&result.id).unwrap_or_default();
        // A run that was finished later judges a broken cell again.
        self.cells
            .retain(|c| c.result.as_ref().is_none_or(|r| r.id != result.id));
        (cell.to_ms, cell.result) = (at_ms, Some(result));
        self.cells.push(cell);
    }

    fn end(&mut self, summary: Summary) {
        self.exit = Some(summary.exit);
        self.not_run = summary.not_run;
        self.not_run_why = summary.not_run_why;
        let place: BTreeMap<&str, usize> = summary
            .cells
            .iter()
            .enumerate()
            .map(|(i, c)| (c.id.as_str(), i))
            .collect();
        self.cells
            .sort_by_key(|c| c.result.as_ref().and_then(|r| place.get(r.id.as_str()).copied()));
    }

    fn build(&mut self, kernel: &str) -> Option<&mut Build> {
        self.builds.iter_mut().rev().find(|b| b.kernel == kernel)
    }
}

impl Cell {
    fn sample(&mut self, elapsed_ms: u64, counters: BTreeMap<Counter, u64>) {
        let every = self.sample_every.max(1);
        self.samples_seen += 1;
        if !(self.samples_seen - 1).is_multiple_of(every) {
            return;
        }
        self.samples.push(Sample { elapsed_ms, counters });
        if self.samples.len() > SAMPLES_MAX {
            let mut odd = false;
            self.samples.retain(|_| {
                odd = !odd;
                odd
            });
            self.sample_every = every * 2;
        }
    }
}

/// One line of a record; `None` for what this version does not know, and for half a line.
pub(crate) fn read_event(line: &[u8]) -> Option<(Option<u64>, Event)> {
    let line: Versioned<Event> = serde_json::from_slice(line).ok()?;
    Some((line.at_ms, line.what))
}
