//! `run` and `replay`.

use super::Done;
use super::args::{Build, How, Left, Replay, Run, Sandbox, Selection};
use super::plan_args::{Bounds, Part};
use super::show::Failure;
use crate::host::Mode;
use crate::host::{self, dirs};
use crate::plan::{self, Durations, Plan};
use crate::report::{self, Reporter};
use crate::run::{self, Config, Event, Limits};
use crate::spec::{self, Folders, Spec};
use crate::store::{self, RunHeader};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A matrix that was read and expanded.
pub(super) struct Read {
    pub(super) spec: Spec,
    pub(super) plan: Plan,
    pub(super) root: PathBuf,
    /// The run that it finishes, where it is none of its own.
    resume: Option<PathBuf>,
}

/// Reads a matrix and picks its cells.
pub(super) fn read(what: &Selection) -> Result<Read, Failure> {
    let root = match &what.root {
        Some(root) => root.clone(),
        None => root_above(&what.matrix)?,
    };
    let spec = spec::load(&what.matrix, &folders(&root))?;
    let plan = plan::expand(&spec)?;
    let plan = if what.filter.is_empty() {
        plan
    } else {
        plan.select(&what.filter)?
    };
    Ok(Read {
        spec,
        plan,
        root,
        resume: None,
    })
}

/// Reads a matrix from its text; relative paths in it start at the folder of `path`.
pub(super) fn read_text(path: &Path, text: &[u8], root: PathBuf) -> Result<Read, Failure> {
    let spec = spec::parse(path, text, &folders(&root))?;
    let plan = plan::expand(&spec)?;
    Ok(Read {
        spec,
        plan,
        root,
        resume: None,
    })
}

fn folders(root: &Path) -> Folders {
    Folders {
        kconfigs: root.join("kconfigs"),
        patches: root.join("patches"),
    }
}

/// The nearest folder at or above a matrix that has kconfigs/ and patches/. A matrix that does not
/// exist is left to whoever reads it: that error is the better one.
fn root_above(matrix: &Path) -> Result<PathBuf, Failure> {
    let full = std::path::absolute(matrix).unwrap_or_else(|_| matrix.to_owned());
    let has = |dir: &&Path| dir.join("kconfigs").is_dir() && dir.join("patches").is_dir();
    let found = full.ancestors().skip(1).find(has);
    match found {
        Some(root) => Ok(root.to_owned()),
        None if !matrix.is_file() => Ok(PathBuf::from(".")),
        None => Err(Failure::NoRoot(matrix.to_owned())),
    }
}

/// Where run folders are.
pub(super) fn runs() -> Result<PathBuf, Failure> {
    Ok(dirs::state()?.join("runs"))
}

pub(super) fn run(what: &Run, json: bool) -> Done {
    let Some(matrix) = &what.matrix else {
        return resume(what, json);
    };
    let mut read = read(&Selection {
        matrix: matrix.clone(),
        filter: what.filter.clone(),
        root: what.root.clone(),
    })?;
    let mut limits = limits(&what.bounds)?;
    if let Some(shard) = what.bounds.part.shard {
        let (plan, of) = read.plan.shard(&limits.durations, shard.index, shard.count)?;
        (read.plan, limits.shard) = (plan, Some(of));
    }
    judge(read, &what.how, limits, what.freeze_on_finding, &what.left, json)
}

/// What bounds a run, as the command line says it.
fn limits(bounds: &Bounds) -> Result<Limits, Failure> {
    Ok(Limits {
        overcommit: bounds.overcommit.unwrap_or(1),
        memory: bounds
            .memory
            .or_else(host::memory_for_machines)
            .unwrap_or(u64::MAX),
        time_budget: bounds.time_budget,
        fail_fast: bounds.fail_fast,
        rounds_max: bounds.repeat_until_fail.unwrap_or(1),
        durations: durations(&bounds.part)?,
        shard: None,
    })
}

/// What cells took in earlier runs: as a file says, else this host's history.
pub(super) fn durations(part: &Part) -> Result<Durations, Failure> {
    let Some(path) = &part.durations else {
        return Ok(super::history::durations());
    };
    let text = std::fs::read(path).map_err(|e| Failure::File(path.clone(), e))?;
    let read: Durations =
        serde_json::from_slice(&text).map_err(|e| Failure::Durations(path.clone(), e.to_string()))?;
    if !read.is_known() {
        let why = format!("its version is {}, which this patchproof does not know", read.v);
        return Err(Failure::Durations(path.clone(), why));
    }
    Ok(read)
}

/// Finishes a run that was stopped, in its own folder.
fn resume(what: &Run, json: bool) -> Done {
    let dir = store::find(&runs()?, what.resume.as_deref().unwrap_or("last"))?;
    let (mut read, header) = recorded(&dir, json)?;
    if !header.cells.is_empty() {
        read.plan.cells = header.cells.iter().filter_map(|id| read.plan.cell(id)).collect();
    }
    read.resume = Some(dir);
    let limits = limits(&what.bounds)?;
    judge(read, &what.how, limits, what.freeze_on_finding, &what.left, json)
}

/// The matrix of an earlier run, as it was then.
fn recorded(dir: &Path, json: bool) -> Result<(Read, RunHeader), Failure> {
    let header: RunHeader = store::read_json(&dir.join("run.json"))?;
    let path = dir.join("spec.yaml");
    let text = std::fs::read(&path).map_err(|e| Failure::File(path, e))?;
    // Parsed under its old name, so that relative paths in it still start at its folder.
    let spec = spec::parse(&header.spec, &text, &folders(&header.root))?;
    let plan = plan::expand(&spec)?;
    if header.agent != crate::machine::agent::hash() && !json {
        eprintln!(
            "note: the guest suite has changed since that run ({} then)",
            header.agent
        );
    }
    let root = header.root.clone();
    Ok((
        Read {
            spec,
            plan,
            root,
            resume: None,
        },
        header,
    ))
}

pub(super) fn build(what: &Build, json: bool) -> Done {
    let read = read(&what.what)?;
    let config = config(read, &what.how, run::Until::Built)?;
    start(config, &what.left, json)
}

pub(super) fn replay(what: &Replay, json: bool) -> Done {
    let run = store::find(&runs()?, &what.run)?;
    let (mut read, _) = recorded(&run, json)?;
    let Some(cell) = read.plan.cell(&what.cell) else {
        return Err(Failure::NoCell(what.cell.clone()));
    };
    read.plan.cells = vec![cell];
    let limits = Limits::default();
    judge(read, &what.how, limits, what.freeze_on_finding, &what.left, json)
}

/// What a run is made of, as the command line says it.
pub(super) fn config(read: Read, how: &How, until: run::Until) -> Result<Config, Failure> {
    let cores = how.cores.or_else(|| {
        std::thread::available_parallelism()
            .ok()
            .and_then(|n| u32::try_from(n.get()).ok())
    });
    Ok(Config {
        spec: Arc::new(read.spec),
        plan: read.plan,
        root: read.root,
        runs: runs()?,
        resume: read.resume,
        cache: super::cache::open()?,
        sandbox: match how.sandbox {
            Sandbox::On => Mode::Bubblewrap,
            Sandbox::Off => Mode::Off,
        },
        cores: cores.unwrap_or(1),
        limits: Limits::default(),
        until,
        freeze: false,
        args: std::env::args().collect(),
    })
}

/// Runs cells to their verdicts.
fn judge(read: Read, how: &How, limits: Limits, freeze: bool, left: &Left, json: bool) -> Done {
    let config = Config {
        freeze,
        limits,
        ..config(read, how, run::Until::Judged)?
    };
    start(config, left, json)
}

fn start(config: Config, left: &Left, json: bool) -> Done {
    let mut dir = None;
    let mut reporter = report::for_output(json, std::io::stdout().is_terminal());
    // One worker is plenty: everything that takes CPU runs in children or on blocking threads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::Own(format!("could not start: {e}")))?;
    let code = runtime.block_on(drive(config, reporter.as_mut(), &mut dir))?;
    let Some(dir) = dir else { return Ok(code) };
    super::history::remember(&dir);
    write_reports(&dir, left, code, json)
}

/// Writes the reports that were asked for; returns the exit code, all told.
pub(super) fn write_reports(dir: &Path, left: &Left, code: u8, json: bool) -> Done {
    let mut all_written = true;
    for (format, file) in &left.report {
        if let Err(e) = report::write(dir, *format, Some(file)) {
            super::show::failure(&e.into(), json);
            all_written = false;
        }
    }
    // What was found of the kernels counts for more than a report that could not be written.
    Ok(if all_written || code == 1 { code } else { 3 })
}

async fn drive(config: Config, reporter: &mut dyn Reporter, dir: &mut Option<PathBuf>) -> Done {
    let (stop, stopped) = watch::channel(false);
    watch(stop)?;
    let show = |event: &Event| {
        if let Event::RunStarted { dir: at, .. } = event {
            *dir = Some(at.clone());
        }
        reporter.event(event);
    };
    let summary = run::run(config, show, stopped).await?;
    Ok(summary.exit)
}

/// Has signals stop a run.
pub(super) fn watch(stop: watch::Sender<bool>) -> Result<(), Failure> {
    let interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::Own(e.to_string()))?;
    let terminate = signal(SignalKind::terminate()).map_err(|e| Failure::Own(e.to_string()))?;
    tokio::spawn(watch_signals(interrupt, terminate, stop));
    Ok(())
}

/// The first signal stops the run in good order; the second one at once (the keeper then ends every child).
pub(super) async fn watch_signals(
    mut interrupt: tokio::signal::unix::Signal,
    mut terminate: tokio::signal::unix::Signal,
    stop: watch::Sender<bool>,
) {
    for second in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if second {
            std::process::exit(3);
        }
        let _ = stop.send(true);
    }
}
