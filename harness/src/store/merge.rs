//! Joining the run folders of several hosts (shards of one matrix, or filters of it) into one.
//!
//! Nothing is lost by it: what two runs both have is told, and of two verdicts on one cell the worse one
//! counts; what no run has is told and marked as not run. The folders that are joined stay as they are.

use super::record::read_event;
use super::{Record, RunHeader, ShardHeader, StoreError, at, read_json, write_json};
use crate::run::{CellRecord, Event, KernelRecord, Summary, Versioned};
use crate::verdict::{self, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Why runs could not be joined.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum MergeError {
    /// They are runs of different matrices.
    #[error("{first} and {other} ran different matrices", first = .first.display(), other = .other.display())]
    #[diagnostic(help("only runs whose spec.yaml is the same can be joined; compare the two files"))]
    Matrices {
        /// A run.
        first: PathBuf,
        /// One with another matrix.
        other: PathBuf,
    },
    /// One run was named twice.
    #[error("{path} is named twice", path = .path.display())]
    Twice {
        /// Which.
        path: PathBuf,
    },
    /// The folder for the result has something in it.
    #[error("{path} exists already", path = .path.display())]
    #[diagnostic(help("name a folder that does not exist yet"))]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// What came of joining.
#[derive(Debug)]
pub struct Merged {
    /// The new run's folder.
    pub dir: PathBuf,
    /// What a reader must know: shards that are missing, cells that two runs have …
    pub told: Vec<String>,
    /// The new run's end.
    pub summary: Summary,
}

/// A run that is joined.
struct Part {
    dir: PathBuf,
    header: RunHeader,
    record: Record,
}

/// Which part has what.
struct Choice<'p> {
    /// The part whose verdict counts, by cell.
    cells: BTreeMap<&'p str, usize>,
    /// The part that made a kernel, or at least tried.
    kernels: BTreeMap<&'p str, usize>,
}

/// Joins runs into a new folder.
///
/// # Errors
/// [`MergeError`]; the new folder may then be there in part.
pub fn merge(runs: &[PathBuf], out: &Path) -> Result<Merged, MergeError> {
    let parts = read(runs)?;
    if out.exists() {
        return Err(MergeError::Exists { path: out.to_owned() });
    }
    let all = all_ids(&parts);
    let mut told = told_of_runs(&parts);
    let choice = choose(&parts, &mut told);
    fs::create_dir_all(out).map_err(at(out))?;
    let dir = std::path::absolute(out).map_err(at(out))?;
    for (id, part) in &choice.cells {
        copy(
            &parts[*part].dir.join("cells").join(id),
            &dir.join("cells").join(id),
        )?;
    }
    let summary = summary(&parts, &choice, &all, &dir, &mut told);
    for cell in &summary.cells {
        write_json(&dir.join("cells").join(&cell.id).join("cell.json"), cell)?;
    }
    write_header(&parts, all, &dir)?;
    write_events(&parts, &choice, &summary, &told, &dir)?;
    write_json(
        &dir.join("summary.json"),
        &Versioned::new(Event::Summary(summary.clone())),
    )?;
    Ok(Merged { dir, told, summary })
}

/// Reads all runs; they must be of one matrix.
fn read(runs: &[PathBuf]) -> Result<Vec<Part>, MergeError> {
    let mut seen = BTreeSet::new();
    let mut parts: Vec<Part> = Vec::new();
    let mut matrix: Option<(Vec<u8>, PathBuf)> = None;
    for dir in runs {
        if !seen.insert(fs::canonicalize(dir).map_err(at(dir))?) {
            return Err(MergeError::Twice { path: dir.clone() });
        }
        let header: RunHeader = read_json(&dir.join("run.json"))?;
        let spec = dir.join("spec.yaml");
        let text = fs::read(&spec).map_err(at(&spec))?;
        match &matrix {
            Some((first, path)) if *first != text => {
                return Err(MergeError::Matrices {
                    first: path.clone(),
                    other: dir.clone(),
                });
            }
            Some(_) => {}
            None => matrix = Some((text, dir.clone())),
        }
        let events = dir.join("events.jsonl");
        let record = Record::read(dir).map_err(at(&events))?;
        parts.push(Part {
            dir: dir.clone(),
            header,
            record,
        });
    }
    Ok(parts)
}

/// The ids of all cells there should be, in the plan's order as far as it is known.
fn all_ids(parts: &[Part]) -> Vec<String> {
    let whole = parts.iter().filter_map(|p| p.header.shard.as_ref());
    let whole = whole.max_by_key(|shard| shard.all.len()).map(|shard| &shard.all);
    let own = parts.iter().map(|p| &p.header.cells);
    let results = parts.iter().flat_map(|p| p.record.results()).map(|(_, r)| &r.id);
    let mut seen = BTreeSet::new();
    whole
        .into_iter()
        .chain(own)
        .flatten()
        .chain(results)
        .filter(|id| seen.insert(id.as_str()))
        .cloned()
        .collect()
}

/// What a reader must know of the runs as wholes.
fn told_of_runs(parts: &[Part]) -> Vec<String> {
    let mut told = Vec::new();
    let shards: Vec<&ShardHeader> = parts.iter().filter_map(|p| p.header.shard.as_ref()).collect();
    if let Some(first) = shards.first() {
        if let Some(other) = shards.iter().find(|s| s.split != first.split) {
            told.push(format!(
                "shard {}/{} is of the split {}, shard {}/{} of the split {}: they were made with other durations or \
                 other cells, and may overlap or leave cells out",
                first.index, first.count, first.split, other.index, other.count, other.split
            ));
        }
        let there: BTreeSet<u32> = shards.iter().map(|s| s.index).collect();
        for missing in (1..=first.count).filter(|index| !there.contains(index)) {
            told.push(format!("shard {missing}/{} is missing", first.count));
        }
    }
    let agents: BTreeSet<&str> = parts.iter().map(|p| p.header.agent.as_str()).collect();
    if agents.len() > 1 {
        told.push("the runs had different guest suites (another patchproof)".to_owned());
    }
    for part in parts.iter().filter(|p| p.record.exit.is_none()) {
        told.push(format!(
            "{} has no end: it was killed, or it still goes on",
            part.dir.display()
        ));
    }
    told
}

fn choose<'p>(parts: &'p [Part], told: &mut Vec<String>) -> Choice<'p> {
    let mut cells: BTreeMap<&str, (usize, &CellRecord)> = BTreeMap::new();
    let mut kernels: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for (place, part) in parts.iter().enumerate() {
        for (_, result) in part.record.results() {
            let Some((other, first)) = cells.get(result.id.as_str()).copied() else {
                cells.insert(&result.id, (place, result));
                continue;
            };
            let chosen = if weight(result) > weight(first) {
                place
            } else {
                other
            };
            told.push(format!(
                "{} is in {} ({}) and in {} ({}): {} counts",
                result.id,
                parts[other].dir.display(),
                first.verdict,
                part.dir.display(),
                result.verdict,
                parts[chosen].dir.display()
            ));
            if chosen == place {
                cells.insert(&result.id, (place, result));
            }
        }
        for build in &part.record.builds {
            let made = build.made.is_some();
            match kernels.get(build.kernel.as_str()) {
                Some((_, before)) if *before || !made => {}
                Some(_) | None => {
                    kernels.insert(&build.kernel, (place, made));
                }
            }
        }
    }
    Choice {
        cells: cells.into_iter().map(|(id, (place, _))| (id, place)).collect(),
        kernels: kernels
            .into_iter()
            .map(|(name, (place, _))| (name, place))
            .collect(),
    }
}

/// Which of two verdicts on one cell counts: never the better one, but any rather than none.
fn weight(cell: &CellRecord) -> u8 {
    match (&cell.full, cell.as_expected) {
        (Verdict::Infra { .. }, false) => 0,
        (_, true) => 1,
        (Verdict::Inconclusive { .. } | Verdict::Skip { .. }, false) => 2,
        (Verdict::Pass | Verdict::Fail { .. }, false) => 3,
    }
}

fn summary(
    parts: &[Part],
    choice: &Choice<'_>,
    all: &[String],
    dir: &Path,
    told: &mut Vec<String>,
) -> Summary {
    let mut by_id: BTreeMap<&str, CellRecord> = BTreeMap::new();
    for (place, part) in parts.iter().enumerate() {
        let own = part.record.results().map(|(_, result)| result);
        for result in own.filter(|r| choice.cells.get(r.id.as_str()) == Some(&place)) {
            by_id.insert(&result.id, moved(result, dir));
        }
    }
    let not_run: Vec<String> = all
        .iter()
        .filter(|id| !by_id.contains_key(id.as_str()))
        .cloned()
        .collect();
    let cells: Vec<CellRecord> = all.iter().filter_map(|id| by_id.remove(id.as_str())).collect();
    if !not_run.is_empty() {
        told.push(format!("{} of {} cells were not run", not_run.len(), all.len()));
    }
    let mut exit = verdict::exit_code(cells.iter().map(|c| (&c.full, c.as_expected)));
    // Cells that a run left out as it was told to are no defect of it; those that nobody had are.
    let as_told: BTreeSet<&String> = parts
        .iter()
        .filter(|p| !matches!(p.record.exit, None | Some(3)))
        .flat_map(|p| &p.record.not_run)
        .collect();
    if exit != 1 && not_run.iter().any(|id| !as_told.contains(id)) {
        exit = 3;
    }
    let kernels: Vec<KernelRecord> = choice
        .kernels
        .iter()
        .filter_map(|(name, place)| {
            let builds = &parts.get(*place)?.record.builds;
            builds.iter().rev().find(|b| b.kernel == *name)?.made.clone()
        })
        .collect();
    let whys = parts.iter().filter_map(|p| p.record.not_run_why.clone());
    let why = whys.reduce(|a, b| if a == b { a } else { format!("{a}; {b}") });
    Summary {
        run: name_of(dir),
        cells,
        kernels,
        not_run_why: why.filter(|_| !not_run.is_empty()),
        not_run,
        exit,
    }
}

/// A result whose command for repeating it names the new folder.
fn moved(result: &CellRecord, dir: &Path) -> CellRecord {
    CellRecord {
        repeat: format!("patchproof replay {} {}", dir.display(), result.id),
        ..result.clone()
    }
}

fn name_of(dir: &Path) -> String {
    dir.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn write_header(parts: &[Part], all: Vec<String>, dir: &Path) -> Result<(), StoreError> {
    let Some(first) = parts.first() else {
        return Ok(());
    };
    let started = parts.iter().map(|p| p.header.started.clone()).min();
    let header = RunHeader {
        run: name_of(dir),
        cells: all,
        shard: None,
        args: std::env::args().collect(),
        started: started.unwrap_or_default(),
        ..first.header.clone()
    };
    write_json(&dir.join("run.json"), &header)?;
    let (from, to) = (first.dir.join("spec.yaml"), dir.join("spec.yaml"));
    fs::copy(&from, &to).map(|_| ()).map_err(at(&from))
}

/// Writes what happened in all runs in order of time: of each cell and kernel, from the run that counts.
fn write_events(
    parts: &[Part],
    choice: &Choice<'_>,
    summary: &Summary,
    told: &[String],
    dir: &Path,
) -> Result<(), StoreError> {
    let mut events: Vec<(u64, Event)> = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let path = part.dir.join("events.jsonl");
        let lines = BufReader::new(fs::File::open(&path).map_err(at(&path))?).split(b'\n');
        let mut last_ms = 0;
        for line in lines {
            let Some((at_ms, event)) = read_event(&line.map_err(at(&path))?) else {
                continue;
            };
            // What has no time of its own stays behind what came before it.
            last_ms = at_ms.unwrap_or(last_ms);
            if counts(&event, place, choice) {
                events.push((last_ms, event));
            }
        }
    }
    events.sort_by_key(|(at_ms, _)| *at_ms);
    let notes = parts.iter().flat_map(|p| p.record.notes.iter().cloned());
    let started = Event::RunStarted {
        run: summary.run.clone(),
        dir: dir.to_owned(),
        spec: parts.first().map(|p| p.record.spec.clone()).unwrap_or_default(),
        cells: summary.cells.len() + summary.not_run.len(),
        kernels: choice.kernels.len(),
        done: 0,
        notes: notes.chain(told.iter().cloned()).collect(),
        defaults: parts
            .first()
            .map(|p| p.record.defaults.clone())
            .unwrap_or_default(),
    };
    let first_ms = events.first().map_or(0, |(at_ms, _)| *at_ms);
    let last_ms = events.last().map_or(0, |(at_ms, _)| *at_ms);
    events.insert(0, (first_ms, started));
    events.push((last_ms, Event::Summary(summary.clone())));
    let path = dir.join("events.jsonl");
    let mut out = io::BufWriter::new(fs::File::create(&path).map_err(at(&path))?);
    for (at_ms, event) in events {
        let event = if let Event::CellDone(cell) = event {
            Event::CellDone(Box::new(moved(&cell, dir)))
        } else {
            event
        };
        let line = Versioned {
            v: 1,
            at_ms: Some(at_ms),
            what: event,
        };
        let mut line = super::to_json(&path, &line, false)?;
        line.push(b'\n');
        out.write_all(&line).map_err(at(&path))?;
    }
    out.flush().map_err(at(&path))
}

/// Whether an event of a part belongs to what counts.
fn counts(event: &Event, place: usize, choice: &Choice<'_>) -> bool {
    match event {
        Event::RunStarted { .. }
        | Event::Summary(_)
        | Event::SeriesStep(_)
        | Event::Series(_)
        | Event::Interrupted
        | Event::Stopping { .. } => false,
        Event::KernelStarted { kernel }
        | Event::KernelStep { kernel, .. }
        | Event::KernelFailed { kernel, .. } => choice.kernels.get(kernel.as_str()) == Some(&place),
        Event::KernelReady(made) => choice.kernels.get(made.kernel.as_str()) == Some(&place),
        Event::CellStarted { cell }
        | Event::CellBooted { cell, .. }
        | Event::CellProgress { cell, .. }
        | Event::CellFinding { cell, .. }
        | Event::CellFrozen { cell, .. } => choice.cells.get(cell.as_str()) == Some(&place),
        Event::CellDone(cell) => choice.cells.get(cell.id.as_str()) == Some(&place),
    }
}

/// Copies what is left of a cell, symbolic links and special files left out. A cell that never ran has nothing.
fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    if !from.is_dir() {
        return Ok(());
    }
    for entry in walkdir::WalkDir::new(from).follow_links(false) {
        let entry = entry.map_err(|e| at(from)(e.into()))?;
        let Ok(rest) = entry.path().strip_prefix(from) else {
            continue;
        };
        let to = to.join(rest);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&to).map_err(at(&to))?;
        } else if entry.file_type().is_file() {
            fs::copy(entry.path(), &to).map_err(at(entry.path()))?;
        }
    }
    Ok(())
}
