//! The dispatcher: puts events in order, records them, and decides what runs next.

use super::kernels::{self, Made};
use super::limits::Limits;
use super::stop::{StopWhy, Stops};
use super::{CellRecord, Event, KernelRecord, Summary};
use crate::host::Mode;
use crate::machine::agent;
use crate::plan::{Cell, Plan};
use crate::source::{Cache, CacheError};
use crate::spec::Spec;
use crate::store::{self, RunDir, RunHeader, ShardHeader, StoreError};
use crate::verdict::{self, Verdict};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Events that may wait for the dispatcher; executors then wait.
pub(super) const EVENTS_WAITING_MAX: usize = 1024;

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Kernels are made, nothing is booted.
    Built,
    /// Every cell has its verdict.
    Judged,
}

/// What a run is made of.
pub struct Config {
    /// How far it goes.
    pub until: Until,
    /// The matrix.
    pub spec: Arc<Spec>,
    /// What of it is to run.
    pub plan: Plan,
    /// Folder with kconfigs/ and patches/.
    pub root: PathBuf,
    /// Folder that gets the run's folder.
    pub runs: PathBuf,
    /// The folder of a run that was stopped and is to be finished; a new one otherwise.
    pub resume: Option<PathBuf>,
    /// Kernels, sources and build folders.
    pub cache: Cache,
    /// Whether patches are applied and built in the sandbox.
    pub sandbox: Mode,
    /// CPUs that builds and machines may use.
    pub cores: u32,
    /// What bounds it.
    pub limits: Limits,
    /// Whether a guest is stopped at its first finding, to be looked at.
    pub freeze: bool,
    /// Arguments as given, for the record.
    pub args: Vec<String>,
}

/// Why a run could not go on (a cell that fails is no reason).
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RunError {
    /// The run folder could not be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The cache could not be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
    /// The guest's root could not be made.
    #[error("could not make the guest's initramfs: {0}")]
    Initramfs(std::io::Error),
    /// A matrix of our own making can't be used.
    #[error("{0}")]
    Plan(String),
}

/// Runs a plan to its end. `show` gets each event in order; `cancel` turning true ends it early, with
/// everything recorded that was done.
///
/// # Errors
/// [`RunError`]: where no record can be kept, nothing is run on.
pub async fn run(
    config: Config,
    mut show: impl FnMut(&Event) + Send,
    cancel: watch::Receiver<bool>,
) -> Result<Summary, RunError> {
    let stops = Stops::new(cancel, config.limits.time_budget);
    let mut dispatch = Dispatch::start(&config, stops, &mut show)?;
    let made = dispatch.kernels(&config).await?;
    match config.until {
        Until::Built => dispatch.built(&config, &made),
        Until::Judged => {
            let cells = dispatch.cells(&config, &made).await?;
            dispatch.finish(&config, &made, cells)
        }
    }
}

pub(super) struct Dispatch<'a> {
    pub(super) dir: RunDir,
    header: RunHeader,
    show: &'a mut (dyn FnMut(&Event) + Send),
    pub(super) stops: Stops,
    /// Cells that an earlier go of this run had finished.
    pub(super) done: BTreeMap<String, CellRecord>,
    /// Ids of the cells of later rounds.
    pub(super) more: Vec<String>,
}

impl<'a> Dispatch<'a> {
    fn start(
        config: &Config,
        stops: Stops,
        show: &'a mut (dyn FnMut(&Event) + Send),
    ) -> Result<Self, RunError> {
        let (dir, header) = match &config.resume {
            Some(dir) => (RunDir::reopen(dir)?, store::read_json(&dir.join("run.json"))?),
            None => Self::create(config)?,
        };
        let done = if config.resume.is_some() {
            finished(dir.path(), &config.plan.cells)
        } else {
            BTreeMap::new()
        };
        let left = config.plan.cells.iter().filter(|c| !done.contains_key(&c.id));
        let kernels = kernel_names(left).len();
        let started = Event::RunStarted {
            run: dir.id().to_owned(),
            dir: dir.path().to_owned(),
            spec: config.spec.path.clone(),
            cells: config.plan.cells.len(),
            kernels,
            done: done.len(),
            notes: config.limits.notes(config.cores),
            defaults: agent::defaults(),
        };
        let mut dispatch = Self {
            dir,
            header,
            show,
            stops,
            done,
            more: Vec::new(),
        };
        dispatch.event(&started)?;
        Ok(dispatch)
    }

    /// Makes the folder of a new run, with what it was started with.
    fn create(config: &Config) -> Result<(RunDir, RunHeader), RunError> {
        let name = config
            .spec
            .path
            .file_stem()
            .map_or_else(|| "run".into(), |n| n.to_string_lossy());
        let dir = RunDir::create(&config.runs, &name)?;
        dir.write_bytes("spec.yaml", config.spec.text.as_bytes())?;
        let header = RunHeader {
            v: 1,
            run: dir.id().to_owned(),
            spec: std::path::absolute(&config.spec.path).unwrap_or_else(|_| config.spec.path.clone()),
            root: config.root.clone(),
            cells: config.plan.cells.iter().map(|c| c.id.clone()).collect(),
            shard: config.limits.shard.clone().map(|shard| ShardHeader {
                index: shard.index,
                count: shard.count,
                split: shard.digest,
                all: shard.all,
            }),
            agent: agent::hash().to_owned(),
            patchproof: env!("CARGO_PKG_VERSION").to_owned(),
            args: config.args.clone(),
            started: jiff::Timestamp::now().to_string(),
        };
        dir.write("run.json", &header)?;
        Ok((dir, header))
    }

    /// Writes down the cells that came up while the run went on, so that it can be finished.
    pub(super) fn keep_header(&mut self) -> Result<(), StoreError> {
        let known = self.header.cells.len();
        let more = self
            .more
            .iter()
            .filter(|id| !self.header.cells[..known].contains(id));
        let more: Vec<String> = more.cloned().collect();
        self.header.cells.extend(more);
        self.dir.write("run.json", &self.header)
    }

    /// The cells that no earlier go has finished.
    pub(super) fn left<'c>(&self, config: &'c Config) -> Vec<&'c Cell> {
        let cells = config.plan.cells.iter();
        cells.filter(|cell| !self.done.contains_key(&cell.id)).collect()
    }

    /// Records an event, then shows it.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        if !matches!(event, Event::KernelStep { .. }) {
            self.dir.event(event)?;
        }
        (self.show)(event);
        Ok(())
    }

    /// Stops the run, and says why, once.
    pub(super) fn stop(&mut self, why: StopWhy) -> Result<(), StoreError> {
        if self.stops.why().is_some() {
            return Ok(());
        }
        self.stops.stop(why);
        let event = if why == StopWhy::Signal {
            Event::Interrupted
        } else {
            Event::Stopping { why }
        };
        self.event(&event)
    }

    /// Makes every kernel that the cells need, one after the other.
    async fn kernels(&mut self, config: &Config) -> Result<BTreeMap<String, Made>, RunError> {
        let mut all = BTreeMap::new();
        for name in kernel_names(self.left(config)) {
            if let Some(why) = self.stops.new_reason() {
                self.stop(why)?;
            }
            if self.stops.why().is_some() {
                break;
            }
            self.event(&Event::KernelStarted {
                kernel: name.to_owned(),
            })?;
            let (tx, mut rx) = mpsc::channel(EVENTS_WAITING_MAX);
            let mut making = std::pin::pin!(kernels::make(config, name, tx, self.stops.halted()));
            let made = loop {
                tokio::select! {
                    Some(event) = rx.recv() => self.event(&event)?,
                    why = self.stops.asked() => self.stop(why)?,
                    made = &mut making => break made,
                }
            };
            match &made {
                Made::Ready { record, .. } => self.event(&Event::KernelReady(record.clone()))?,
                Made::Failed(_) if self.stops.why().is_some() => break,
                Made::Failed(verdict) => {
                    self.event(&Event::KernelFailed {
                        kernel: name.to_owned(),
                        verdict: verdict.clone(),
                    })?;
                }
            }
            all.insert(name.to_owned(), made);
        }
        Ok(all)
    }

    /// Ends a run that was only to make kernels: the exit code tells whether all could be made.
    fn built(mut self, config: &Config, made: &BTreeMap<String, Made>) -> Result<Summary, RunError> {
        let all = kernel_names(self.left(config)).len() == made.len();
        let failed = made.values().filter_map(|m| match m {
            Made::Failed(verdict) => Some((verdict, false)),
            Made::Ready { .. } => None,
        });
        let exit = match (failed.clone().next(), all) {
            (Some(_), _) => verdict::exit_code(failed),
            (None, true) => 0,
            (None, false) => 3,
        };
        self.summarise(made, Vec::new(), Vec::new(), exit)
    }

    fn finish(
        mut self,
        config: &Config,
        made: &BTreeMap<String, Made>,
        mut records: BTreeMap<String, CellRecord>,
    ) -> Result<Summary, RunError> {
        let mut cells = Vec::new();
        let mut not_run = Vec::new();
        for cell in &config.plan.cells {
            match records.remove(&cell.id) {
                Some(record) => cells.push(record),
                None => not_run.push(cell.id.clone()),
            }
        }
        // A round that a finding ended need not be complete.
        cells.extend(self.more.iter().filter_map(|id| records.remove(id)));
        let mut exit = verdict::exit_code(cells.iter().map(|c| (&c.full, c.as_expected)));
        // A run that was given so much time, or was to end so, has ended as it should: what was run decides.
        let as_told = matches!(
            self.stops.why(),
            Some(StopWhy::TimeBudget | StopWhy::FailFast | StopWhy::Found)
        );
        if !not_run.is_empty() && exit != 1 && !as_told {
            exit = 3;
        }
        self.summarise(made, cells, not_run, exit)
    }

    fn summarise(
        &mut self,
        made: &BTreeMap<String, Made>,
        cells: Vec<CellRecord>,
        not_run: Vec<String>,
        exit: u8,
    ) -> Result<Summary, RunError> {
        let kernels: Vec<KernelRecord> = made
            .values()
            .filter_map(|m| match m {
                Made::Ready { record, .. } => Some(record.clone()),
                Made::Failed(_) => None,
            })
            .collect();
        let why = self.stops.why().filter(|_| !not_run.is_empty());
        let summary = Summary {
            run: self.dir.id().to_owned(),
            cells,
            kernels,
            not_run,
            not_run_why: why.map(|why| why.words().to_owned()),
            exit,
        };
        self.dir.summary(&summary)?;
        self.event(&Event::Summary(summary.clone()))?;
        Ok(summary)
    }
}

/// The records of cells that came to a verdict in an earlier go. One that was broken by the harness or the
/// host did not, and neither did one whose record can't be read.
fn finished(dir: &Path, cells: &[Cell]) -> BTreeMap<String, CellRecord> {
    let record = |cell: &Cell| {
        let path = dir.join("cells").join(&cell.id).join("cell.json");
        store::read_json::<CellRecord>(&path)
            .ok()
            .filter(|record| record.id == cell.id && !matches!(record.full, Verdict::Infra { .. }))
    };
    cells
        .iter()
        .filter_map(record)
        .map(|record| (record.id.clone(), record))
        .collect()
}

/// Names of the kernels that cells need, each once, in order.
fn kernel_names<'c>(cells: impl IntoIterator<Item = &'c Cell>) -> Vec<&'c str> {
    let mut names: Vec<&str> = Vec::new();
    for cell in cells {
        if !names.contains(&cell.kernel.as_str()) {
            names.push(&cell.kernel);
        }
    }
    names
}

/// A verdict for a cell that never ran.
pub(super) fn infra(error: impl ToString) -> Verdict {
    Verdict::Infra {
        error: error.to_string(),
    }
}
