//! The dispatcher: puts events in order, records them, and decides what runs next.

use super::cells::{self, CellContext};
use super::kernels::{self, Made};
use super::{CellRecord, Event, KernelRecord, Summary};
use crate::host::Mode;
use crate::machine::agent;
use crate::plan::{Cell, Plan};
use crate::source::{Cache, CacheError};
use crate::spec::Spec;
use crate::store::{self, RunDir, RunHeader, StoreError};
use crate::verdict::{self, Verdict};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Events that may wait for the dispatcher; executors then wait.
const EVENTS_WAITING_MAX: usize = 1024;

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
    let mut dispatch = Dispatch::start(&config, &mut show)?;
    let made = dispatch.kernels(&config, &cancel).await?;
    match config.until {
        Until::Built => dispatch.built(&config, &made),
        Until::Judged => {
            let cells = dispatch.cells(&config, &made, &cancel).await?;
            dispatch.finish(&config, &made, cells)
        }
    }
}

struct Dispatch<'a> {
    dir: RunDir,
    show: &'a mut (dyn FnMut(&Event) + Send),
    interrupted: bool,
    /// Cells that an earlier go of this run had finished.
    done: BTreeMap<String, CellRecord>,
}

impl<'a> Dispatch<'a> {
    fn start(config: &Config, show: &'a mut (dyn FnMut(&Event) + Send)) -> Result<Self, RunError> {
        let dir = match &config.resume {
            Some(dir) => RunDir::reopen(dir)?,
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
        };
        let mut dispatch = Self {
            dir,
            show,
            interrupted: false,
            done,
        };
        dispatch.event(&started)?;
        Ok(dispatch)
    }

    /// Makes the folder of a new run, with what it was started with.
    fn create(config: &Config) -> Result<RunDir, RunError> {
        let name = config
            .spec
            .path
            .file_stem()
            .map_or_else(|| "run".into(), |n| n.to_string_lossy());
        let dir = RunDir::create(&config.runs, &name)?;
        dir.write_bytes("spec.yaml", config.spec.text.as_bytes())?;
        dir.write(
            "run.json",
            &RunHeader {
                v: 1,
                run: dir.id().to_owned(),
                spec: std::path::absolute(&config.spec.path).unwrap_or_else(|_| config.spec.path.clone()),
                root: config.root.clone(),
                cells: config.plan.cells.iter().map(|c| c.id.clone()).collect(),
                agent: agent::hash().to_owned(),
                patchproof: env!("CARGO_PKG_VERSION").to_owned(),
                args: config.args.clone(),
                started: jiff::Timestamp::now().to_string(),
            },
        )?;
        Ok(dir)
    }

    /// The cells that no earlier go has finished.
    fn left<'c>(&self, config: &'c Config) -> Vec<&'c Cell> {
        let cells = config.plan.cells.iter();
        cells.filter(|cell| !self.done.contains_key(&cell.id)).collect()
    }

    /// Records an event, then shows it.
    fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        if !matches!(event, Event::KernelStep { .. }) {
            self.dir.event(event)?;
        }
        (self.show)(event);
        Ok(())
    }

    /// Notices a cancellation, once.
    fn note_cancel(&mut self, cancel: &watch::Receiver<bool>) -> Result<bool, StoreError> {
        let stop = *cancel.borrow();
        if stop && !self.interrupted {
            self.interrupted = true;
            self.event(&Event::Interrupted)?;
        }
        Ok(stop)
    }

    /// Makes every kernel that the cells need, one after the other.
    async fn kernels(
        &mut self,
        config: &Config,
        cancel: &watch::Receiver<bool>,
    ) -> Result<BTreeMap<String, Made>, RunError> {
        let mut all = BTreeMap::new();
        for name in kernel_names(self.left(config)) {
            if self.note_cancel(cancel)? {
                break;
            }
            self.event(&Event::KernelStarted {
                kernel: name.to_owned(),
            })?;
            let (tx, mut rx) = mpsc::channel(EVENTS_WAITING_MAX);
            let mut making = std::pin::pin!(kernels::make(config, name, tx, cancel.clone()));
            let made = loop {
                tokio::select! {
                    Some(event) = rx.recv() => self.event(&event)?,
                    made = &mut making => break made,
                }
            };
            self.note_cancel(cancel)?;
            match &made {
                Made::Ready { record, .. } => self.event(&Event::KernelReady(record.clone()))?,
                Made::Failed(_) if *cancel.borrow() => break,
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

    /// Runs every cell whose kernel was made; the others are judged by why it wasn't.
    async fn cells(
        &mut self,
        config: &Config,
        made: &BTreeMap<String, Made>,
        cancel: &watch::Receiver<bool>,
    ) -> Result<BTreeMap<String, CellRecord>, RunError> {
        let (tx, mut rx) = mpsc::channel(EVENTS_WAITING_MAX);
        let context = Arc::new(CellContext::new(config, self.dir.path())?);
        let cpus = Arc::new(Semaphore::new(config.cores.max(1) as usize));
        let mut running = JoinSet::new();
        let left = self.left(config);
        let mut records = std::mem::take(&mut self.done);
        for cell in left {
            match made.get(&cell.kernel) {
                None => {}
                Some(Made::Failed(verdict)) => {
                    let record = context.unrun(cell, verdict.clone());
                    self.done(&mut records, record)?;
                }
                Some(Made::Ready { built, record }) => {
                    let want = cell.machine.spec.cpus.min(config.cores).max(1);
                    let job = CellJob {
                        context: Arc::clone(&context),
                        cell: cell.clone(),
                        kernel: Arc::clone(built),
                        build_s: record.build_s,
                        cpus: Arc::clone(&cpus),
                        want,
                        events: tx.clone(),
                        cancel: cancel.clone(),
                    };
                    running.spawn(job.run());
                }
            }
        }
        drop(tx);
        let mut watch_cancel = cancel.clone();
        let mut watching = true;
        loop {
            tokio::select! {
                event = rx.recv() => match event {
                    Some(Event::CellDone(record)) => self.done(&mut records, *record)?,
                    Some(event) => self.event(&event)?,
                    None => break,
                },
                changed = watch_cancel.changed(), if watching => {
                    watching = changed.is_ok();
                    self.note_cancel(cancel)?;
                }
            }
        }
        // Every sender is gone, so every task has ended; a panic of one is ours and must show.
        while let Some(ended) = running.join_next().await {
            if let Err(e) = ended
                && e.is_panic()
            {
                std::panic::resume_unwind(e.into_panic());
            }
        }
        Ok(records)
    }

    fn done(
        &mut self,
        records: &mut BTreeMap<String, CellRecord>,
        record: CellRecord,
    ) -> Result<(), StoreError> {
        self.event(&Event::CellDone(Box::new(record.clone())))?;
        records.insert(record.id.clone(), record);
        Ok(())
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
        let mut exit = verdict::exit_code(cells.iter().map(|c| (&c.full, c.as_expected)));
        if !not_run.is_empty() && exit != 1 {
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
        let summary = Summary {
            run: self.dir.id().to_owned(),
            cells,
            kernels,
            not_run,
            exit,
        };
        self.dir.summary(&summary)?;
        self.event(&Event::Summary(summary.clone()))?;
        Ok(summary)
    }
}

/// One cell that waits for CPUs and then runs.
struct CellJob {
    context: Arc<CellContext>,
    cell: Cell,
    kernel: Arc<crate::kernel::Built>,
    build_s: Option<f64>,
    cpus: Arc<Semaphore>,
    want: u32,
    events: mpsc::Sender<Event>,
    cancel: watch::Receiver<bool>,
}

impl CellJob {
    async fn run(mut self) {
        let held = tokio::select! {
            held = self.cpus.clone().acquire_many_owned(self.want) => held.ok(),
            _ = self.cancel.wait_for(|stop| *stop) => None,
        };
        if held.is_none() || *self.cancel.borrow() {
            return;
        }
        let job = cells::Run {
            context: &self.context,
            cell: &self.cell,
            kernel: &self.kernel,
            build_s: self.build_s,
        };
        if let Some(record) = job.run(&self.events, self.cancel.clone()).await {
            let _ = self.events.send(Event::CellDone(Box::new(record))).await;
        }
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
